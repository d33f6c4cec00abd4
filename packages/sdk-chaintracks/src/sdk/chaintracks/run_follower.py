"""Follows a source that is asked what comes after the blocks we have (``RunSource``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sdk.chaintracks.consensus.fields import HEADER, header_hash, previous_hash
from sdk.chaintracks.errors import InvalidHeader, SourceLied, SourceUnavailable, UnknownParent
from sdk.chaintracks.follower import CHUNK, MAX_BRANCH
from sdk.chaintracks.source_loop import SourceLoop

if TYPE_CHECKING:
    from sdk.chaintracks.chain import HeaderChain
    from sdk.chaintracks.sources import RunSource

_ATTEMPTS: Final = 8
"""Answers that may be refused in one look before the source as a whole is left alone for a while."""


class RunFollower(SourceLoop):
    """A new block is fetched when it is announced, and ``interval`` after the last look at the latest."""

    source: RunSource

    async def synchronise(self) -> int:
        reason = ""
        for _ in range(_ATTEMPTS):
            try:
                await self._catch_up()
                return self.chain.tip.height
            except InvalidHeader as error:
                if error.temporary:
                    raise SourceUnavailable(self.source.name, str(error)) from error
                reason = str(error)
            except (UnknownParent, SourceLied) as error:
                reason = str(error)
            await self.source.refuse(reason)
        raise SourceUnavailable(self.source.name, f"{_ATTEMPTS} answers were refused, the last because {reason}")

    async def _catch_up(self) -> None:
        """Take run after run. One that leaves our chain counts by its whole work, so it is held until it ends."""
        known = await locator_of(self.chain)
        locator, held = known, b""
        while raw := await self.source.after(locator, self.chain.tip.height):
            self.claimed = self.source.claimed
            if not held and previous_hash(raw) == self.chain.tip.hash:
                await self.chain.extend(raw)
            else:
                held += raw
                if len(held) > MAX_BRANCH * HEADER:
                    raise SourceLied(self.source.name, f"a branch of over {MAX_BRANCH} headers")
            if len(raw) < CHUNK * HEADER:
                break
            locator = [header_hash(raw[-HEADER:]), *known]
        if held:
            await self.chain.extend(held)


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
