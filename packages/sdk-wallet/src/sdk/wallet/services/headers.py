"""A header service, spoken to in three calls of the Chaintracks v1 API (spec/wallet-stack.md §6.2).

A block is on the best chain only if the service has it at its height. Roots are remembered only for blocks so deep that
no reorganisation reaches them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from sdk.core.errors import ServiceUnavailable
from sdk.service.header_calls import HeaderCalls
from sdk.service.http_client import HttpClient, HttpPolicy

if TYPE_CHECKING:
    from sdk.core.header import BlockHeader
    from sdk.wallet.services.providers import HeaderSource

SAFE_DEPTH = 100
"""As deep as a coinbase must be before it may be spent."""
MAX_ROOTS = 20_000
MAX_ANSWER = 64 * 1024


class HeaderTracker:
    """A ``ChainTracker`` over any header source."""

    def __init__(self, source: HeaderSource, *, safe_depth: int = SAFE_DEPTH, max_roots: int = MAX_ROOTS) -> None:
        self._source, self._safe_depth, self._max_roots = source, safe_depth, max_roots
        self._roots: OrderedDict[int, str] = OrderedDict()
        self._seen_height = -1

    async def is_valid_root_for_height(self, root: str, height: int) -> bool:
        """Raises ``ServiceUnavailable`` when the source cannot tell (R52), also of a height above its tip: a source
        that lags behind has no verdict on a block it has not seen (R8)."""
        known = self._roots.get(height)
        if known is not None:
            self._roots.move_to_end(height)
            return known == root
        header = await self._source.find_header_for_height(height)
        if header is None:
            raise ServiceUnavailable(self._source.name, f"knows no block at height {height}")
        if await self._is_deep(height):
            self._roots[height] = header.merkle_root
            if len(self._roots) > self._max_roots:
                self._roots.popitem(last=False)
        return header.merkle_root == root

    async def current_height(self) -> int:
        """Raises ``ServiceUnavailable``."""
        height = await self._source.get_height()
        self._seen_height = max(self._seen_height, height)
        return height

    async def _is_deep(self, height: int) -> bool:
        """By the highest block seen so far; the tip is asked for once only, for it costs a call."""
        if self._seen_height < 0:
            try:
                await self.current_height()
            except ServiceUnavailable:
                return False
        self._seen_height = max(self._seen_height, height)
        return height + self._safe_depth <= self._seen_height


class HeaderServiceClient:
    """A header service at ``url`` as header source and chain tracker."""

    def __init__(
        self,
        url: str,
        *,
        name: str = "headers",
        http: HttpClient | None = None,
        safe_depth: int = SAFE_DEPTH,
        max_roots: int = MAX_ROOTS,
    ) -> None:
        self.name = name
        self._http = http or HttpClient(url, service=name, policy=HttpPolicy(timeout=15, max_response=MAX_ANSWER))
        self._calls = HeaderCalls(self._http)
        self._tracker = HeaderTracker(self, safe_depth=safe_depth, max_roots=max_roots)

    async def is_valid_root_for_height(self, root: str, height: int) -> bool:
        return await self._tracker.is_valid_root_for_height(root, height)

    async def current_height(self) -> int:
        return await self._tracker.current_height()

    async def get_height(self) -> int:
        """Raises ``ServiceUnavailable``."""
        return await self._calls.height()

    async def find_header_for_height(self, height: int) -> BlockHeader | None:
        """The header of the best chain at ``height``, ``None`` above its tip. Raises ``ServiceUnavailable``."""
        return await self._calls.header_at(height)

    async def find_header_for_hash(self, block_hash: str) -> tuple[int, BlockHeader] | None:
        """Raises ``ServiceUnavailable``."""
        found = await self._calls.header_for(block_hash)
        return found if found is not None and await self._calls.header_at(found[0]) == found[1] else None

    async def close(self) -> None:
        await self._http.close()
