"""Answers one JSON request a line, ``{"op", ...}``, with ``{"result"}`` or ``{"error"}``: bsv-wallet-toolbox at work.
Run by the interpreter of the peers' environment.

The toolbox as published signs nothing: a debug line of its signer calls ``PublicKey.to_hex``, which does not exist, and
the error is swallowed. One line here gives it that method, so that it does the work it is compared at.
"""

import logging
import time

from _driver import answer, rate_of
from bsv.keys import PrivateKey, PublicKey
from bsv.wallet import KeyDeriver
from bsv_wallet_toolbox.storage.db import create_sqlite_engine
from bsv_wallet_toolbox.storage.models import Base
from bsv_wallet_toolbox.storage.provider import StorageProvider
from bsv_wallet_toolbox.wallet import Wallet
from sqlalchemy import event

PublicKey.to_hex = PublicKey.hex
logging.disable(logging.CRITICAL)
PAYEE = "76a914" + "ab" * 20 + "88ac"
opened = {}


def open(path, root):
    engine = create_sqlite_engine(path)

    @event.listens_for(engine, "connect")
    def durable(connection, _record):
        connection.execute("PRAGMA synchronous=FULL")

    Base.metadata.create_all(engine)
    storage = StorageProvider(engine=engine, chain="main", storage_identity_key="02" + "5e" * 32)
    storage.make_available()
    opened["wallet"] = Wallet("main", key_deriver=KeyDeriver(PrivateKey(bytes.fromhex(root))), storage_provider=storage)
    return True


def internalize(args):
    args["tx"] = list(bytes.fromhex(args["tx"]))
    return opened["wallet"].internalize_action(args)["accepted"]


def create():
    return opened["wallet"].create_action(
        {
            "description": "a test action",
            "labels": ["pay"],
            "outputs": [{"lockingScript": PAYEE, "satoshis": 100, "outputDescription": "a payment"}],
        }
    )


def list_outputs():
    return opened["wallet"].list_outputs(
        {"basket": "default", "limit": 100, "include": "locking scripts", "includeTags": True, "includeLabels": True}
    )


def list_actions(label):
    return opened["wallet"].list_actions(
        {
            "labels": [label],
            "limit": 10,
            "includeLabels": True,
            "includeInputs": True,
            "includeInputSourceLockingScripts": True,
            "includeInputUnlockingScripts": True,
            "includeOutputs": True,
            "includeOutputLockingScripts": True,
        }
    )


JOBS = {"create": create, "list_outputs": list_outputs, "list_actions": list_actions}


def rate(job, seconds, **given):
    JOBS[job](**given)
    most = 80 if job == "create" else None  # each takes one of its outputs, of which it may have a hundred
    return rate_of(lambda: JOBS[job](**given), seconds, time.perf_counter, most)


def rate_internalize(receipts):
    start = time.perf_counter()
    for each in receipts:
        internalize(each)
    return len(receipts) / (time.perf_counter() - start)


def created():
    """What one createAction gives, to see that it is signed."""
    result = create()
    tx = result.get("tx")
    return {"txid": result.get("txid"), "size": len(tx or b"")}


answer(open, internalize, rate, rate_internalize, created)
