"""A header service, spoken to in three calls of the Chaintracks v1 API (spec/wallet-stack.md §6.2).

Every header is recomputed: its hash must be the one the service names. A block is on the best chain only if the
service has it at its height. Roots are remembered only for blocks so deep that no reorganisation reaches them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from sdk.core.errors import ParseError, ServiceError, ServiceUnavailable
from sdk.core.header import BlockHeader
from sdk.service.http_client import HttpClient, HttpPolicy

if TYPE_CHECKING:
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
        self._tracker = HeaderTracker(self, safe_depth=safe_depth, max_roots=max_roots)

    async def is_valid_root_for_height(self, root: str, height: int) -> bool:
        return await self._tracker.is_valid_root_for_height(root, height)

    async def current_height(self) -> int:
        return await self._tracker.current_height()

    async def get_height(self) -> int:
        """Raises ``ServiceUnavailable``."""
        value = await self._value("/getPresentHeight")
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 0xFFFFFFFF:
            raise ServiceUnavailable(self.name, f"named a height that is none: {value!r:.60}")
        return value

    async def find_header_for_height(self, height: int) -> BlockHeader | None:
        """The header of the best chain at ``height``, ``None`` above its tip. Raises ``ServiceUnavailable``."""
        value = await self._value("/findHeaderHexForHeight", height=height)
        if value is None:
            return None
        found, header = self._header(value)
        if found != height:
            raise ServiceUnavailable(self.name, f"sent the header of height {found} for height {height}")
        return header

    async def find_header_for_hash(self, block_hash: str) -> tuple[int, BlockHeader] | None:
        """Raises ``ServiceUnavailable``."""
        value = await self._value("/findHeaderHexForBlockHash", hash=block_hash)
        if value is None:
            return None
        height, header = self._header(value)
        if header.hash() != block_hash:
            raise ServiceUnavailable(self.name, f"sent the header of {header.hash()} for block {block_hash}")
        return (height, header) if await self.find_header_for_height(height) == header else None

    async def close(self) -> None:
        await self._http.close()

    async def _value(self, path: str, **params: str | int) -> Any:
        try:
            document = await self._http.get_json(path, params=params)
        except ServiceUnavailable:
            raise
        except ServiceError as error:  # it refused a question it must answer: no verdict either
            raise ServiceUnavailable(self.name, error.detail, status=error.status) from error
        if not isinstance(document, dict) or document.get("status") != "success":
            raise ServiceUnavailable(self.name, f"answered without success: {document!r:.200}")
        return document.get("value")

    def _header(self, value: object) -> tuple[int, BlockHeader]:
        return header_from_members(self.name, value, previous="previousHash", root="merkleRoot")


def header_from_members(service: str, value: object, *, previous: str, root: str) -> tuple[int, BlockHeader]:
    """Height and header from a JSON object that also names its hash. Raises ``ServiceUnavailable``."""
    if not isinstance(value, dict):
        raise ServiceUnavailable(service, f"sent no header object: {value!r:.60}")
    try:
        bits = value["bits"]
        header = BlockHeader(
            version=_number(value["version"], -0x80000000),
            previous_hash=value.get(previous) or "0" * 64,
            merkle_root=value[root],
            time=_number(value["time"]),
            bits=int(bits, 16) if isinstance(bits, str) else _number(bits),
            nonce=_number(value["nonce"]),
        )
        height, named = _number(value["height"]), value["hash"]
    except (KeyError, TypeError, ValueError, ParseError) as error:
        raise ServiceUnavailable(service, f"sent a malformed header: {error}") from None
    if header.hash() != named:
        raise ServiceUnavailable(service, f"sent a header whose hash is not {named!r:.70}")
    return height, header


def _number(value: object, low: int = 0) -> int:
    """Versions beyond 31 bits are sent unsigned by some; they are the same bits."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= 0xFFFFFFFF:
        raise ValueError(f"{value!r:.40} is not a 32-bit number")
    return value - (1 << 32) if low < 0 and value > 0x7FFFFFFF else value
