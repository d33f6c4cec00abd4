"""Follows one source: asks what its tip is, finds where its chain leaves ours, and fetches what we lack.

A source decides nothing. What it sends is checked; what fails the check is refused as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.chaintracks.consensus.fields import HEADER, display, header_hash
from sdk.chaintracks.errors import InvalidHeader, SourceLied, SourceUnavailable, UnknownParent
from sdk.chaintracks.source_loop import SourceLoop

if TYPE_CHECKING:
    from sdk.chaintracks.errors import SourceError
    from sdk.chaintracks.sources import HeaderSource, SourceTip

CHUNK = 2000
"""Headers of a full answer of a node, and what sources without files are asked for at a time."""
MAX_BRANCH = 50_000
"""Headers of a branch that are held until all of it can be compared with ours."""


def too_new(source: str, height: int) -> SourceUnavailable:
    """Headers that were not taken, because their time lies ahead, are no lie, but the source's tip is not ours."""
    return SourceUnavailable(source, f"its headers above height {height} are too new, if the clock here is right")


class Follower(SourceLoop):
    """One source that is asked for headers by height."""

    source: HeaderSource

    async def synchronise(self) -> int:
        tip = await self.source.tip()
        self.claimed = tip.height
        while not await self._has(tip):
            fork = await self._fork(tip)
            if fork < self.chain.tip.height:
                await self._take_branch(fork + 1, tip)
                break
            if not await self._grow(fork + 1, tip):
                break
        return tip.height

    async def _has(self, tip: SourceTip) -> bool:
        return tip.hash in self.chain.tree or await self.chain.hash_at(tip.height) == tip.hash

    async def _grow(self, first: int, tip: SourceTip) -> bool:
        """Add headers after our tip, in stretches that end where files of as many would; whether another source has
        overtaken this one meanwhile."""
        at_once = self.source.at_once
        while first <= tip.height:
            if self.chain.tip.height >= first:
                return True
            last = min((first // at_once + 1) * at_once - 1, tip.height)
            await self._take(await self._fetch(first, last))
            if self.chain.tip.height < last:
                raise too_new(self.source.name, self.chain.tip.height)
            first = last + 1
        return False

    async def _fork(self, tip: SourceTip) -> int:
        """A height at which the source has our block, and above which it may not; steps back in doubling strides."""
        height, stride = min(self.chain.tip.height, tip.height), 1
        while True:
            theirs = await self._fetch(height, height)
            if header_hash(theirs) == await self.chain.hash_at(height):
                return height
            if height == 0:
                raise SourceLied(
                    self.source.name, f"it follows another network: its first block is not {self._genesis}"
                )
            height, stride = max(0, height - stride), stride * 2

    @property
    def _genesis(self) -> str:
        return display(header_hash(self.chain.rules.genesis))

    async def _take_branch(self, first: int, tip: SourceTip) -> None:
        """A branch counts by its whole work, so it is fetched whole before it is offered."""
        if tip.height - first >= MAX_BRANCH:
            raise SourceLied(self.source.name, f"its chain leaves ours at height {first}, too far below {tip.height}")
        at_once = self.source.at_once
        parts = [
            await self._fetch(at, min(at + at_once - 1, tip.height)) for at in range(first, tip.height + 1, at_once)
        ]
        await self._take(b"".join(parts))

    async def _fetch(self, first: int, last: int) -> bytes:
        raw = await self.source.headers(first, last)
        if len(raw) != (last - first + 1) * HEADER:
            raise SourceUnavailable(self.source.name, f"sent {len(raw)} bytes for headers {first}-{last}")
        return raw

    async def _take(self, raw: bytes) -> None:
        try:
            await self.chain.extend(raw)
        except UnknownParent as error:
            raise SourceUnavailable(self.source.name, f"its chain changed while it was read: {error}") from error
        except InvalidHeader as error:
            kind: type[SourceError] = SourceLied
            if error.temporary or error.rule == "prev-blk-not-found":
                kind = SourceUnavailable
            raise kind(self.source.name, str(error)) from error
