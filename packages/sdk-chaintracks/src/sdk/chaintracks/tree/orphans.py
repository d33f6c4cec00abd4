"""Headers whose parent has not come yet; bounded."""

from __future__ import annotations

from collections import OrderedDict


class OrphanPool:
    """At most ``limit`` headers, oldest forgotten first. The caller checks their proof of work before adding."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._by_hash: OrderedDict[bytes, tuple[bytes, bytes]] = OrderedDict()  # hash -> (previous hash, raw)
        self._children: dict[bytes, list[bytes]] = {}

    def __len__(self) -> int:
        return len(self._by_hash)

    def __contains__(self, block_hash: object) -> bool:
        return block_hash in self._by_hash

    def add(self, block_hash: bytes, previous_hash: bytes, raw: bytes) -> None:
        if block_hash in self._by_hash or self.limit < 1:
            return
        while len(self._by_hash) >= self.limit:
            self._forget(next(iter(self._by_hash)))
        self._by_hash[block_hash] = (previous_hash, raw)
        self._children.setdefault(previous_hash, []).append(block_hash)

    def take_children(self, block_hash: bytes) -> list[bytes]:
        """The raw headers that waited for ``block_hash``, in the order they came; they leave the pool."""
        return [self._by_hash.pop(child)[1] for child in self._children.pop(block_hash, ())]

    def missing_ancestor(self, block_hash: bytes) -> bytes:
        """The hash of the header that the orphan ``block_hash`` and those before it wait for."""
        while block_hash in self._by_hash:
            block_hash = self._by_hash[block_hash][0]
        return block_hash

    def _forget(self, block_hash: bytes) -> None:
        previous_hash, _ = self._by_hash.pop(block_hash)
        siblings = self._children[previous_hash]
        siblings.remove(block_hash)
        if not siblings:
            del self._children[previous_hash]
