"""Runs of headers that wait for the chain, one at a time; those that follow one another are joined.

A write to disk costs the same for one header as for fifty, so that a queue is worked off many times faster than its
members would be alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from sdk.chaintracks.consensus.fields import HEADER, header_hash, previous_hash

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sdk.chaintracks.events import TipEvent


class Run(NamedTuple):
    """See ``HeaderChain.extend``."""

    raw: bytes
    anywhere: bool


class _Waiting:
    def __init__(self, run: Run) -> None:
        self.run = run
        self.done: asyncio.Future[TipEvent | None] = asyncio.get_running_loop().create_future()


class RunQueue:
    """``work`` takes one run; it is called under ``lock``. At most ``most`` headers are joined."""

    def __init__(self, work: Callable[[bytes, bool], Awaitable[TipEvent | None]], most: int) -> None:
        self.lock = asyncio.Lock()
        self._work, self._most = work, most
        self._waiting: deque[_Waiting] = deque()

    async def run(self, run: Run) -> TipEvent | None:
        """What ``work`` answers, or raises, for the run alone or together with its neighbours."""
        own = _Waiting(run)
        self._waiting.append(own)
        try:
            async with self.lock:
                if not own.done.done():
                    await self._serve(own)
        finally:
            if own in self._waiting:
                self._waiting.remove(own)
        return await own.done

    async def _serve(self, own: _Waiting) -> None:
        """Work on ``own`` and those that follow it; what is cut off is worked on again by whoever waits for it."""
        if own in self._waiting:
            self._waiting.remove(own)
        joined = [own, *self._following(own.run)]
        try:
            if len(joined) > 1:
                await self._together(joined)
            for each in joined:
                if not each.done.done():
                    await self._alone(each)
        finally:
            self._waiting.extendleft(each for each in reversed(joined[1:]) if not each.done.done())

    def _following(self, run: Run) -> list[_Waiting]:
        found: list[_Waiting] = []
        last, count = run, len(run.raw) // HEADER
        while self._waiting and not len(last.raw) % HEADER and last.raw:
            following = self._waiting[0].run
            count += len(following.raw) // HEADER
            joins = following.anywhere == run.anywhere and previous_hash(following.raw) == header_hash(
                last.raw[-HEADER:]
            )
            if not joins or count > self._most:
                break
            found.append(self._waiting.popleft())
            last = following
        return found

    async def _together(self, joined: list[_Waiting]) -> None:
        whole = b"".join(each.run.raw for each in joined)
        try:
            event = await self._work(whole, joined[0].run.anywhere)
        except Exception:  # noqa: BLE001 - each is tried alone, and then told its own error
            return
        for each in joined:
            _answer(each, event)

    async def _alone(self, each: _Waiting) -> None:
        try:
            event = await self._work(*each.run)
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            if not each.done.done():
                each.done.set_exception(error)
                each.done.exception()
        else:
            _answer(each, event)


def _answer(each: _Waiting, event: TipEvent | None) -> None:
    if not each.done.done():
        each.done.set_result(event)
