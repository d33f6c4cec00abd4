"""Who waits for which answer. Bounded by those who wait: an entry lives no longer than its last waiter."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from sdk.module_runtime.errors import LinkClosed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

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
        self._loop: asyncio.AbstractEventLoop | None = None

    def __contains__(self, key: K) -> bool:
        return key in self._expected

    def __len__(self) -> int:
        return len(self._expected)

    def expecting(self, key: K) -> _Expecting[K, V]:
        """``with pending.expecting(key) as answer``: what will come for ``key``. ``LinkClosed`` if nothing can.

        Await it shielded if others may wait for it too.
        """
        return _Expecting(self, key)

    def begin(self, key: K) -> _Expected[V]:
        if self._closed:
            raise LinkClosed("the link to the orchestrator has ended")
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # once, for Python 3.11 asks the system each time
        expected = self._expected.get(key)
        if expected is None:
            expected = self._expected[key] = _Expected(self._loop.create_future())
        expected.waiters += 1
        return expected

    def end(self, key: K, expected: _Expected[V]) -> None:
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


class _Expecting(Generic[K, V]):
    """A class and not a generator, because every request goes through it."""

    __slots__ = ("_expected", "_key", "_pending")

    def __init__(self, pending: Pending[K, V], key: K) -> None:
        self._pending, self._key = pending, key
        self._expected: _Expected[V] | None = None

    def __enter__(self) -> asyncio.Future[V]:
        self._expected = self._pending.begin(self._key)
        return self._expected.answer

    def __exit__(self, *_: object) -> None:
        assert self._expected is not None
        self._pending.end(self._key, self._expected)


class Turns(Generic[V]):
    """Answers that do not say what they belong to: one question at a time, and an answer is for the oldest."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()
        self._asked: deque[asyncio.Future[V]] = deque()
        self._closed = False

    async def ask(self, send: Callable[[], Awaitable[None]]) -> V:
        """The answer to what ``send`` sends. If nobody waits any more, it still comes, and is nobody else's."""
        async with self._one_at_a_time:
            if self._closed:
                raise LinkClosed("the link to the orchestrator has ended")
            answer: asyncio.Future[V] = asyncio.get_running_loop().create_future()
            self._asked.append(answer)
            await send()
            return await answer

    def answer(self, value: V) -> bool:
        """Whether anybody had asked."""
        if not self._asked:
            return False
        oldest = self._asked.popleft()
        if not oldest.done():
            oldest.set_result(value)
        return True

    def close(self) -> None:
        self._closed = True
        for each in self._asked:
            if not each.done():
                each.set_exception(LinkClosed("the link ended before the answer came"))
        self._asked.clear()
