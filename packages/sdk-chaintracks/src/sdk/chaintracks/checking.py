"""Checks long runs of headers piece by piece."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from sdk.chaintracks.consensus import check_batch
from sdk.chaintracks.consensus.fields import HEADER
from sdk.chaintracks.errors import InvalidHeader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sdk.chaintracks.consensus import Rules, Window

PIECE: Final = 8192
"""Headers of a piece."""


class Piece(NamedTuple):
    """Headers that hold, and their hashes, 32 bytes each."""

    raw: bytes
    hashes: bytes


class HeaderChecker:
    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    async def check(self, raw: bytes, first: int, parent_hash: bytes, window: Window, now: int) -> AsyncIterator[Piece]:
        """The pieces of a run that starts at height ``first``, in order, each as soon as it is known to hold.

        Ends before a header whose time lies too far ahead, unless it is the first. Raises ``InvalidHeader`` at the
        piece that has a fault.
        """
        height = first
        for at in range(0, len(raw), PIECE * HEADER):
            part = raw[at : at + PIECE * HEADER]
            try:
                batch = check_batch(self._rules, part, height, parent_hash, window, now)
            except InvalidHeader as error:
                if not error.temporary or error.height == first:
                    raise
                part = part[: (error.height - height) * HEADER]
                if part:
                    batch = check_batch(self._rules, part, height, parent_hash, window, now)
                    yield Piece(part, b"".join(batch.hashes))
                return
            yield Piece(part, b"".join(batch.hashes))
            height, parent_hash, window = batch.last + 1, batch.hashes[-1], batch.window
            await asyncio.sleep(0)
