"""Which entry gives way when a cache in memory is full. Steps take constant time."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from typing import Final, Protocol

from sdk.module_runtime.data.cache.errors import CacheFull


class Order(Protocol):
    def add(self, key: str) -> None:
        """A new entry, or one with a new value."""
        ...

    def touch(self, key: str) -> None:
        """It was read."""
        ...

    def remove(self, key: str) -> None: ...

    def victim(self, but: str) -> str:
        """The key that is to go, other than ``but``. There must be one."""
        ...


class Fifo:
    """First in, first out; a new value makes an entry new."""

    def __init__(self) -> None:
        self._keys: OrderedDict[str, None] = OrderedDict()

    def add(self, key: str) -> None:
        self._keys[key] = None
        self._keys.move_to_end(key)

    def touch(self, key: str) -> None:
        """Reading changes nothing."""

    def remove(self, key: str) -> None:
        del self._keys[key]

    def victim(self, but: str) -> str:
        return next(key for key in self._keys if key != but)


class Lru(Fifo):
    """The least recently used goes."""

    def touch(self, key: str) -> None:
        self._keys.move_to_end(key)


class Mru(Lru):
    """The most recently used goes: for scans that come round again."""

    def victim(self, but: str) -> str:
        return next(key for key in reversed(self._keys) if key != but)


class Lfu:
    """The least frequently used goes, and of those the least recently used. A new value keeps the count and adds 1."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}
        self._with_count: defaultdict[int, OrderedDict[str, None]] = defaultdict(OrderedDict)
        self._least = 0

    def add(self, key: str) -> None:
        if key in self._count:
            self.touch(key)
            return
        self._count[key] = self._least = 1
        self._with_count[1][key] = None

    def touch(self, key: str) -> None:
        count = self._count[key]
        self._leave(key, count)
        self._count[key] = count + 1
        self._with_count[count + 1][key] = None
        if self._least not in self._with_count:
            self._least = count + 1

    def remove(self, key: str) -> None:
        self._leave(key, self._count.pop(key))
        if self._least not in self._with_count and self._count:
            self._least = min(self._with_count)  # as many counts as differ, and only after the last of the rarest went

    def victim(self, but: str) -> str:
        for key in self._with_count[self._least]:
            if key != but:
                return key
        least = min(count for count in self._with_count if count != self._least)
        return next(iter(self._with_count[least]))

    def _leave(self, key: str, count: int) -> None:
        del self._with_count[count][key]
        if not self._with_count[count]:
            del self._with_count[count]


class KeepAll(Fifo):
    def victim(self, but: str) -> str:
        raise CacheFull("there is no room, and the policy None evicts nothing; delete entries, or raise max_size_bytes")


ORDERS: Final[dict[str, type[Order]]] = {"LRU": Lru, "FIFO": Fifo, "MRU": Mru, "LFU": Lfu, "None": KeepAll}
