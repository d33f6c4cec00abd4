"""Sizes and fees of transactions that are not built yet. Sizes in bytes, fee rates in satoshis per 1,000 bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.encodings import varint_size

if TYPE_CHECKING:
    from collections.abc import Iterable

P2PKH_LOCKING_SIZE = 25
P2PKH_UNLOCKING_SIZE = 107
"""A 72-byte signature with its push, a compressed key with its push; 106 or fewer for one in two signatures."""


def input_size(unlocking_size: int) -> int:
    """Bytes an input takes with an unlocking script of this size."""
    return 40 + varint_size(unlocking_size) + unlocking_size


def output_size(locking_size: int) -> int:
    """Bytes an output takes with a locking script of this size."""
    return 8 + varint_size(locking_size) + locking_size


def transaction_size(unlocking_sizes: Iterable[int], locking_sizes: Iterable[int]) -> int:
    """Bytes of a transaction with scripts of these sizes."""
    inputs, outputs = list(unlocking_sizes), list(locking_sizes)
    return (
        8
        + varint_size(len(inputs))
        + varint_size(len(outputs))
        + sum(map(input_size, inputs))
        + sum(map(output_size, outputs))
    )


def fee_for_size(size: int, rate: int) -> int:
    """Satoshis that pay ``rate`` in full: rounded up, as the reference wallet does (spec/wallet-stack.md §8)."""
    return -(-size * rate // 1000)


def node_fee_for_size(size: int, rate: int) -> int:
    """Satoshis the node demands: rounded down, at least 1 unless size or rate is zero (spec/consensus.md §4.9)."""
    return size * rate // 1000 or int(size > 0 and rate > 0)
