"""Blocks, their proof of work, and the first one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

from sdk.core.chain import MOCK
from sdk.core.encodings import hash256, to_display
from sdk.core.header import BlockHeader
from sdk.core.merkle_path import MerklePath, merkle_root
from sdk.core.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCK_VERSION = 0x20000000
_GENESIS_TRANSACTION = (
    "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff4d04ffff001d0104455468652054696d"
    "65732030332f4a616e2f32303039204368616e63656c6c6f72206f6e206272696e6b206f66207365636f6e64206261696c6f757420666f7220"
    "62616e6b73ffffffff0100f2052a01000000434104678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f"
    "4cef38c4f35504e51ec112de5c384df7ba0b8d578a4c702b6bf11d5fac00000000"
)


@dataclass(frozen=True)
class Block:
    header: BlockHeader
    transactions: tuple[Transaction, ...]

    @cached_property
    def hash(self) -> str:
        return self.header.hash()

    @cached_property
    def txids(self) -> tuple[str, ...]:
        return tuple(each.txid() for each in self.transactions)

    @cached_property
    def positions(self) -> dict[str, int]:
        return {txid: index for index, txid in enumerate(self.txids)}

    @cached_property
    def size(self) -> int:
        return 80 + sum(each.size() for each in self.transactions)

    @cached_property
    def _levels(self) -> list[list[bytes]]:
        """The merkle tree below its root, leaves first: many proofs are asked of one block."""
        levels: list[list[bytes]] = []
        level = [each.hash() for each in self.transactions]
        while len(level) > 1:
            levels.append(level)
            paired = level if len(level) % 2 == 0 else [*level, level[-1]]
            level = [hash256(paired[i] + paired[i + 1]) for i in range(0, len(paired), 2)]
        return levels

    def merkle_path(self, txid: str, height: int) -> MerklePath:
        """Proof that this block, at ``height``, holds ``txid``; ``KeyError`` if it does not."""
        index = self.positions[txid]
        nodes: list[str] = []
        for depth, level in enumerate(self._levels):
            beside = (index >> depth) ^ 1
            nodes.append(to_display(level[beside]) if beside < len(level) else "*")
        return MerklePath.from_tsc(height, txid, index, nodes)


def genesis() -> Block:
    """The first block of the chain ``mock``, which is regtest's (§1.3)."""
    return Block(MOCK.genesis, (Transaction.from_hex(_GENESIS_TRANSACTION),))


def mine(previous_hash: str, transactions: Sequence[Transaction], time: int, bits: int) -> Block:
    """Find a nonce. At ``207fffff`` two tries do on average."""
    root = merkle_root([each.txid() for each in transactions])
    for nonce in count():
        header = BlockHeader(BLOCK_VERSION, previous_hash, root, time, bits, nonce)
        if header.meets_target():
            break
    return Block(header, tuple(transactions))
