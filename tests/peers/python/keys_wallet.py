"""Answers one JSON request a line, ``{"op", ...}``, with ``{"result"}`` or ``{"error"}``: bsv-sdk as a second opinion
on keys and scripts. Run by the interpreter of the peers' environment."""

import asyncio
from functools import cache

from _driver import answer, rate_of
from bsv import PrivateKey, PublicKey, Script, Transaction
from bsv.script.spend import Spend
from bsv.transaction.pushdrop import PushDrop
from bsv.wallet import ProtoWallet

PROTOCOL = [2, "benchmarks"]


def key(text):
    return PrivateKey(bytes.fromhex(text))


def quiet(root):
    return ProtoWallet(key(root), permission_callback=lambda action: True)


def answer_of(result):
    if isinstance(result, dict) and "error" in result:
        raise ValueError(result["error"])
    return {name: list(value) if isinstance(value, bytes) else value for name, value in result.items()}


def wallet(root, method, args):
    given = {name: bytes(value) if name in ("data", "signature") else value for name, value in args.items()}
    return answer_of(getattr(quiet(root), method)(given))


def derive_private(root, counterparty, invoice):
    return key(root).derive_child(PublicKey(counterparty), invoice).hex()


def derive_public(root, counterparty, invoice):
    return PublicKey(counterparty).derive_child(key(root), invoice).hex()


def key_forms(root):
    mine = key(root)
    return {"wif": mine.wif(), "address": mine.address(), "public_key": mine.public_key().hex()}


def spend_of(raw, index, satoshis, locking):
    tx = Transaction.from_hex(raw)
    spent = tx.inputs[index]
    return Spend(
        {
            "sourceTXID": spent.source_txid,
            "sourceOutputIndex": spent.source_output_index,
            "sourceSatoshis": satoshis,
            "lockingScript": Script(locking),
            "transactionVersion": tx.version,
            "otherInputs": [each for i, each in enumerate(tx.inputs) if i != index],
            "outputs": tx.outputs,
            "inputIndex": index,
            "unlockingScript": spent.unlocking_script,
            "inputSequence": spent.sequence,
            "lockTime": tx.locktime,
        }
    )


def spend(raw, index, satoshis, locking):
    return spend_of(raw, index, satoshis, locking).validate()


def shares(root, threshold, total):
    return key(root).to_backup_shares(threshold, total)


def from_shares(shares):
    return PrivateKey.from_backup_shares(shares).hex()


def many(count):
    return [PrivateKey(1000 + i).public_key() for i in range(count)]


def cycle(items):
    while True:
        yield from items


def job_derive_private():
    root, peers = key("11" * 32), cycle(many(400))
    return lambda: root.derive_child(next(peers), "2-3241645161d8-prefix suffix")


def job_derive_public():
    root, peers = key("11" * 32), cycle(many(400))
    return lambda: next(peers).derive_child(root, "2-3241645161d8-prefix suffix")


def named(counterparty, **args):
    return {"protocolID": PROTOCOL, "keyID": "1", "counterparty": counterparty, **args}


def job_encrypt():
    mine, peers, plaintext = quiet("11" * 32), cycle([each.hex() for each in many(400)]), bytes([7]) * 1024
    return lambda: answer_of(mine.encrypt(named(next(peers), plaintext=plaintext)))


def job_encrypt_seen():
    mine, peer, plaintext = quiet("11" * 32), many(1)[0].hex(), bytes([7]) * 1024
    return lambda: answer_of(mine.encrypt(named(peer, plaintext=plaintext)))


def job_decrypt():
    mine, plaintext = quiet("11" * 32), bytes([7]) * 1024
    peers = [each.hex() for each in many(400)]
    sealed = [answer_of(mine.encrypt(named(peer, plaintext=plaintext)))["ciphertext"] for peer in peers]
    letters = cycle([named(peer, ciphertext=bytes(each)) for peer, each in zip(peers, sealed, strict=True)])
    return lambda: answer_of(mine.decrypt(next(letters)))


def job_decrypt_seen():
    mine, peer, plaintext = quiet("11" * 32), many(1)[0].hex(), bytes([7]) * 1024
    letter = named(peer, ciphertext=bytes(answer_of(mine.encrypt(named(peer, plaintext=plaintext)))["ciphertext"]))
    return lambda: answer_of(mine.decrypt(letter))


def job_create_signature():
    mine, peer, data = quiet("11" * 32), many(1)[0].hex(), bytes([7]) * 100
    return lambda: answer_of(mine.create_signature(named(peer, data=data)))


def job_verify_signature():
    mine, peer, data = quiet("11" * 32), many(1)[0].hex(), bytes([7]) * 100
    signature = answer_of(mine.create_signature(named(peer, data=data)))["signature"]
    args = named(peer, data=data, signature=bytes(signature), forSelf=True)
    assert answer_of(mine.verify_signature(args))["valid"]
    return lambda: mine.verify_signature(args)


def job_spend(raw, satoshis, locking):
    assert spend(raw, 0, satoshis, locking)
    return lambda: spend(raw, 0, satoshis, locking)


def job_pushdrop_lock():
    token, fields = PushDrop(quiet("11" * 32)), [bytes([7]) * 40, bytes([8]) * 40]
    return lambda: token.lock(list(fields), PROTOCOL, "1", "self")


def job_pushdrop_decode(script):
    data = bytes.fromhex(script)
    assert PushDrop.decode(data)["fields"]
    return lambda: PushDrop.decode(data)


class Agreeing:
    async def is_valid_root_for_height(self, root, height):
        return True

    async def current_height(self):
        return 1_000_000


def job_beef(raw, txid):
    loop, data = asyncio.new_event_loop(), bytes.fromhex(raw)

    def run():
        tx = Transaction.from_beef(data)
        assert tx.txid() == txid
        assert loop.run_until_complete(tx.verify(Agreeing()))

    run()
    return run


JOBS = {name.removeprefix("job_"): value for name, value in list(globals().items()) if name.startswith("job_")}


@cache
def prepared(job, **request):
    return JOBS[job](**request)


def rate(job, seconds, **request):
    return rate_of(prepared(job, **request), seconds)


answer(wallet, derive_private, derive_public, key_forms, spend, shares, from_shares, rate)
