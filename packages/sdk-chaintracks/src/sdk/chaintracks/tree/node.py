"""One header in its place."""

from __future__ import annotations

from sdk.chaintracks.consensus.fields import header_bits, header_time


class Node:
    """A header, its height, the work of the chain up to and including it, and the order in which it came.

    ``parent`` is None for the root of the tree. ``order`` rises with each header inserted (first seen is lowest).
    """

    __slots__ = ("bits", "hash", "height", "order", "parent", "raw", "time", "work")

    def __init__(self, raw: bytes, hash_: bytes, height: int, work: int, parent: Node | None, order: int) -> None:
        self.raw = raw
        self.hash = hash_
        self.height = height
        self.work = work
        self.parent = parent
        self.order = order
        self.time = header_time(raw)
        self.bits = header_bits(raw)

    def __repr__(self) -> str:
        return f"Node({self.height}, {self.hash[::-1].hex()})"
