"""Answers one JSON request a line, ``{"op", ...}``, with ``{"result"}`` or ``{"error"}``: bsv-sdk as a second opinion
on the protocol types. Run by the interpreter of the peers' environment."""

from functools import cache

from _driver import answer, rate_of
from bsv import MerklePath, Script, Transaction
from bsv.transaction.beef import parse_beef, parse_beef_ex


def shown(tx):
    rebuilt = Transaction(tx.inputs, tx.outputs, tx.version, tx.locktime)
    return {
        "txid": tx.txid(),
        "version": tx.version,
        "lock_time": tx.locktime,
        "inputs": [
            [i.source_txid, i.source_output_index, i.unlocking_script.hex() if i.unlocking_script else "", i.sequence]
            for i in tx.inputs
        ],
        "outputs": [[o.satoshis, o.locking_script.hex()] for o in tx.outputs],
        "hex": rebuilt.hex(),
    }


def transaction(hex):
    tx = Transaction.from_hex(hex)
    if tx is None:
        raise ValueError("no transaction")
    return shown(tx)


def path(hex):
    parsed = MerklePath.from_hex(hex)
    return {"height": parsed.block_height, "root": parsed.compute_root(), "hex": parsed.to_hex()}


def combine(one, two):
    parsed = MerklePath.from_hex(one)
    parsed.combine(MerklePath.from_hex(two))
    return parsed.to_hex()


def beef(hex):
    parsed, subject, _ = parse_beef_ex(bytes.fromhex(hex))
    valid, roots = parsed.verify_valid(True)
    return {
        "txids": sorted(parsed.txs),
        "atomic": subject,
        "valid": valid,
        "roots": {str(height): root for height, root in roots.items()},
    }


def assembly(hex):
    return Script(hex).to_asm()


def assemble(asm):
    return Script.from_asm(asm).hex()


@cache
def job(work, hex, txid):
    data = bytes.fromhex(hex)
    parsed = MerklePath.from_binary(data) if work in ("path root", "path serialise") else None
    return {
        "transaction": lambda: Transaction.from_hex(data).serialize(),
        "beef": lambda: parse_beef(data).verify_valid(True),
        "path parse": lambda: MerklePath.from_binary(data),
        "path root": lambda: parsed.compute_root(txid),
        "path serialise": lambda: parsed.to_binary(),
    }[work]


def rate(work, hex, seconds, txid=None):
    return rate_of(job(work, hex, txid), seconds)


answer(transaction, path, combine, beef, assembly, assemble, rate)
