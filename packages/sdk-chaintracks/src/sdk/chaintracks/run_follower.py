"""Follows a source that is asked what comes after the blocks we have (``RunSource``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sdk.chaintracks.consensus.fields import HEADER, header_hash, previous_hash
from sdk.chaintracks.errors import InvalidHeader, SourceLied, SourceUnavailable, UnknownParent
from sdk.chaintracks.follower import CHUNK, MAX_BRANCH, too_new
from sdk.chaintracks.source_loop import SourceLoop

if TYPE_CHECKING:
    from collections.abc import Hashable

    from sdk.chaintracks.chain import HeaderChain
    from sdk.chaintracks.sources import RunSource

_ATTEMPTS: Final = 8
"""Answers that may be refused in one look before the source as a whole is left alone for a while."""
_TOGETHER: Final = 8 * CHUNK
"""Headers that are gathered before they are checked and written while the chain only grows."""


class RunFollower(SourceLoop):
    """A new block is fetched when it is announced, and ``interval`` after the last look at the latest."""

    source: RunSource

    async def synchronise(self) -> int:
        reason = ""
        for _ in range(_ATTEMPTS):
            gathered = _Gathered(self.chain)
            try:
                await self._catch_up(gathered)
                return self.chain.tip.height
            except InvalidHeader as error:
                if error.temporary:
                    raise SourceUnavailable(self.source.name, str(error)) from error
                reason = str(error)
            except (UnknownParent, SourceLied) as error:
                reason = str(error)
            await self.source.refuse(gathered.giver, reason)
        raise SourceUnavailable(self.source.name, f"{_ATTEMPTS} answers were refused, the last because {reason}")

    async def _catch_up(self, gathered: _Gathered) -> None:
        """Take run after run, until there is no more."""
        known = await locator_of(self.chain)
        locator, height = known, self.chain.tip.height
        try:
            while raw := await self.source.after(locator, height):
                self.claimed = self.source.claimed
                await gathered.add(raw, self.source.giver)
                if previous_hash(raw) != locator[0]:
                    parent = await self.chain.find(previous_hash(raw))
                    height = self.chain.tip.height if parent is None else parent[0]
                locator, height = [header_hash(raw[-HEADER:]), *known], height + len(raw) // HEADER
        except SourceUnavailable:
            await gathered.end()
            raise
        await gathered.end()


class _Gathered:
    """Headers of one giver that follow one another, until they are many.

    Those that leave our chain count by their whole work, so they are held until they end.
    """

    def __init__(self, chain: HeaderChain) -> None:
        self.giver: Hashable = None
        self._chain = chain
        self._raw = b""
        self._grows = False
        self._known = 0  # headers that came although they were here

    async def add(self, raw: bytes, giver: Hashable) -> None:
        if self._raw and (giver != self.giver or previous_hash(raw) != header_hash(self._raw[-HEADER:])):
            await self.end()
        if self._chain.knows(header_hash(raw[-HEADER:])):
            self._known += len(raw) // HEADER
            if self._known > MAX_BRANCH:
                self.giver = giver
                raise SourceLied(str(giver), f"over {MAX_BRANCH} headers that are known already")
        if not self._raw:
            self.giver, self._grows = giver, previous_hash(raw) == self._chain.tip.hash
        self._raw += raw
        if self._grows and len(self._raw) >= _TOGETHER * HEADER:
            await self.end()
        elif len(self._raw) > MAX_BRANCH * HEADER:
            raise SourceLied(str(self.giver), f"a branch of over {MAX_BRANCH} headers")

    async def end(self) -> None:
        """Take what was gathered."""
        raw, self._raw = self._raw, b""
        if raw:
            await self._chain.extend(raw)
            if self._grows and not self._chain.knows(header_hash(raw[-HEADER:])):
                raise too_new(str(self.giver), self._chain.tip.height)


async def locator_of(chain: HeaderChain) -> list[bytes]:
    """Hashes of our chain from the tip back to the first block, ever further apart (spec/consensus.md §3.3)."""
    heights = []
    height, step = chain.tip.height, 1
    while height > 0:
        heights.append(height)
        if len(heights) > 10:
            step *= 2
        height -= step
    hashes = [await chain.hash_at(each) for each in (*heights, 0)]
    return [each for each in hashes if each is not None]
