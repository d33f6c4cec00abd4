"""A ``ChainTracker`` that remembers roots and forgets them in time.

The reference remembers every root for ever, and so believes in blocks that are gone. Here a root is remembered if its
block is so deep that no reorganisation reaches it, or for as long as a subscription would tell that it is gone.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Self

from sdk.chaintracks.client.client import ChaintracksClient
from sdk.chaintracks.client.updates import HeadersUpdate
from sdk.core.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from sdk.chaintracks.client.stream import UpdateStream

SAFE_DEPTH: Final = 100
"""Blocks above one whose root may be remembered come what may."""
MAX_ROOTS: Final = 20_000


class ChaintracksTracker:
    """``source`` is a client, or addresses for one; either is closed with it. ``follow`` makes it subscribe.

    Both questions raise ``ServiceUnavailable`` when nobody can tell (R52).
    """

    def __init__(
        self,
        source: str | Sequence[str] | ChaintracksClient,
        *,
        safe_depth: int = SAFE_DEPTH,
        max_roots: int = MAX_ROOTS,
    ) -> None:
        self.client = source if isinstance(source, ChaintracksClient) else ChaintracksClient(source)
        self._safe_depth, self._max_roots = safe_depth, max_roots
        self._roots: OrderedDict[int, str] = OrderedDict()
        self._recent: dict[int, str] = {}
        self._changes = self._connections = 0
        self._stream: UpdateStream | None = None
        self._task: asyncio.Task[None] | None = None

    def follow(self) -> None:
        """From now on recent roots are remembered too, while the subscription is up. Of several servers one may know
        less than the one that is subscribed to, so there they are not."""
        if self._task is None and self.client.servers == 1:
            self._stream = self.client.header_updates()
            self._task = asyncio.create_task(self._watch(self._stream), name="follow header updates")

    async def is_valid_root_for_height(self, root: str, height: int) -> bool:
        """Whether the block at ``height`` has merkle root ``root`` (display hex). Of a height above the tip a service
        has no verdict: ``ServiceUnavailable``."""
        return await self._root(height) == root.lower()

    async def current_height(self) -> int:
        return await self.client.current_height()

    async def _root(self, height: int) -> str:
        if height in self._roots:
            self._roots.move_to_end(height)
            return self._roots[height]
        live = self._is_live()
        if live and height in self._recent:
            return self._recent[height]
        changes = self._changes, self._connections
        header = await self.client.header_at(height)
        if header is None:
            raise ServiceUnavailable(self.client.name, f"knows no block at height {height}")
        if height + self._safe_depth <= await self.client.current_height():
            self._roots[height] = header.merkle_root
            if len(self._roots) > self._max_roots:
                self._roots.popitem(last=False)
        elif live and self._is_live() and changes == (self._changes, self._connections):
            self._recent[height] = header.merkle_root
        return header.merkle_root

    def _is_live(self) -> bool:
        """What was remembered over an earlier connection is forgotten: its changes are only now about to be told."""
        if self._stream is None or not self._stream.live:
            return False
        if self._stream.connections != self._connections:
            self._connections = self._stream.connections
            self._recent.clear()
        return True

    async def _watch(self, stream: UpdateStream) -> None:
        async for update in stream:
            self._changes += 1
            first = update.first if isinstance(update, HeadersUpdate) else 0
            self._recent = {height: root for height, root in self._recent.items() if height < first}

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.client.destroy()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()
