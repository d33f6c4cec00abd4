"""Who waits for which answer. Bounded by those who wait: an entry lives no longer than its last waiter."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from sdk.module_runtime.errors import LinkClosed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True, eq=False)
class _Expected(Generic[V]):
    answer: asyncio.Future[V]
    waiters: int = 0


class Pending(Generic[K, V]):
    """Answers by key. Several may wait for one."""

    def __init__(self) -> None:
        self._expected: dict[K, _Expected[V]] = {}
        self._closed = False

    def __contains__(self, key: K) -> bool:
        return key in self._expected

    def __len__(self) -> int:
        return len(self._expected)

    @asynccontextmanager
    async def expecting(self, key: K) -> AsyncIterator[asyncio.Future[V]]:
        """The answer that will come for ``key``. Await it shielded: others may wait for it too."""
        if self._closed:
            raise LinkClosed("the link to the orchestrator has ended")
        expected = self._expected.get(key)
        if expected is None:
            expected = self._expected[key] = _Expected(asyncio.get_running_loop().create_future())
        expected.waiters += 1
        try:
            yield expected.answer
        finally:
            expected.waiters -= 1
            if not expected.waiters:
                expected.answer.cancel()
                if self._expected.get(key) is expected:
                    del self._expected[key]

    def answer(self, key: K, value: V) -> bool:
        """Whether anybody waited for it."""
        expected = self._expected.pop(key, None)
        if expected is None or expected.answer.done():
            return False
        expected.answer.set_result(value)
        return True

    def close(self) -> None:
        """Everybody who waits, and who asks from now on, gets ``LinkClosed``."""
        self._closed = True
        for expected in self._expected.values():
            if not expected.answer.done():
                expected.answer.set_exception(LinkClosed("the link ended before the answer came"))
        self._expected.clear()
