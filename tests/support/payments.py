"""Chains of real P2PKH payments with real merkle paths, for tests of BEEF and SPV."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.beef import Beef
from sdk.core.merkle_path import MerklePath
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.keys import PrivateKey
from sdk.wallet.script import SignatureHasher
from sdk.wallet.script.templates import p2pkh
from sdk.wallet.script.templates.signing import Coin

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY = PrivateKey.from_int(777)
LOCK = p2pkh.lock_to_key(KEY.public_key)


class Tracker:
    """A chain tracker over a mapping of heights to roots; it counts what it is asked."""

    def __init__(self, roots: dict[int, str], height: int = 1_000_000) -> None:
        self.roots = roots
        self.height = height
        self.asked: list[int] = []

    async def is_valid_root_for_height(self, root: str, height: int) -> bool:
        self.asked.append(height)
        return self.roots.get(height) == root

    async def current_height(self) -> int:
        return self.height


def pay(
    sources: Sequence[tuple[Transaction, int]],
    amounts: Sequence[int],
    *,
    key: PrivateKey = KEY,
    lock: Script = LOCK,
    version: int = 1,
) -> Transaction:
    """A signed payment of outputs (transaction, number) to ``lock``."""
    outpoints = [OutPoint(source.txid(), vout) for source, vout in sources]
    outputs = [TransactionOutput(amount, lock) for amount in amounts]
    unsigned = Transaction(version, [TransactionInput(each, Script()) for each in outpoints], outputs)
    hasher = SignatureHasher(unsigned)
    inputs = []
    for index, (source, vout) in enumerate(sources):
        spent = source.outputs[vout]
        coin = Coin(hasher, index, spent.satoshis, spent.locking_script)
        inputs.append(TransactionInput(outpoints[index], p2pkh.unlock(key, coin)))
    return Transaction(version, inputs, outputs)


def mint(satoshis: int, seed: int = 1, outputs: int = 1) -> Transaction:
    """A transaction out of nowhere, to be proven by a path."""
    source = OutPoint(f"{seed:064x}", 0)
    return Transaction(
        1, [TransactionInput(source, Script(b"\x51"))], [TransactionOutput(satoshis, LOCK) for _ in range(outputs)]
    )


def coinbase(satoshis: int, height: int = 5) -> Transaction:
    script = Script(b"\x03" + height.to_bytes(3, "little"))
    return Transaction(
        1, [TransactionInput(OutPoint("0" * 64, 0xFFFFFFFF), script)], [TransactionOutput(satoshis, LOCK)]
    )


def prove(beef: Beef, transactions: Sequence[Transaction], height: int) -> str:
    """Add mined transactions with the path of a block that holds them; its root."""
    others = [f"{height:060x}{index:04x}" for index in range(3)]
    txids = [others[0], *(each.txid() for each in transactions), *others[1:]]
    for each in transactions:
        beef.merge_transaction(each)
    path = MerklePath.from_block(height, txids, [each.txid() for each in transactions])
    beef.merge_path(path)
    return path.compute_root()


def chain_of(length: int, height: int = 800_000) -> tuple[Beef, Transaction, Tracker]:
    """One mined transaction and ``length`` unproven ones, each spending the one before."""
    beef = Beef()
    last = mint(1_000_000_000)
    root = prove(beef, [last], height)
    for _ in range(length):
        last = pay([(last, 0)], [last.outputs[0].satoshis - 1])
        beef.merge_transaction(last)
    return beef, last, Tracker({height: root})
