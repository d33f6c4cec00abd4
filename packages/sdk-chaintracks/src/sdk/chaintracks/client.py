"""A Chaintracks v1 service as a chain tracker (spec/wallet-stack.md §6.2).

A root is remembered only for a block so deep that no reorganisation reaches it: the reference remembers every root
for ever, and so believes in blocks that are gone.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from sdk.core.errors import ParseError, ServiceError, ServiceUnavailable
from sdk.core.header import BlockHeader
from sdk.service.http_client import HttpClient, HttpPolicy

if TYPE_CHECKING:
    from types import TracebackType

SAFE_DEPTH = 100
"""Blocks above one whose root may be remembered."""
MAX_ROOTS = 20_000
_MAX_ANSWER = 16 * 1024 * 1024


class ChaintracksClient:
    """A ``ChainTracker``; ``await close()`` it, or use ``async with``.

    Every header is hashed again and compared with what was asked. All methods raise ``ServiceUnavailable`` when the
    service cannot tell (R52).
    """

    def __init__(
        self,
        url: str,
        *,
        name: str = "chaintracks",
        safe_depth: int = SAFE_DEPTH,
        max_roots: int = MAX_ROOTS,
        http: HttpClient | None = None,
    ) -> None:
        self.name = name
        self._http = http or HttpClient(url, service=name, policy=HttpPolicy(timeout=15, max_response=_MAX_ANSWER))
        self._safe_depth, self._max_roots = safe_depth, max_roots
        self._roots: OrderedDict[int, str] = OrderedDict()

    async def is_valid_root_for_height(self, root: str, height: int) -> bool:
        """Whether the block at ``height`` has merkle root ``root`` (display hex). Of a height above the tip a service
        has no verdict: ``ServiceUnavailable``."""
        known = self._roots.get(height)
        if known is None:
            header = await self.header_at(height)
            if header is None:
                raise ServiceUnavailable(self.name, f"knows no block at height {height}")
            known = header.merkle_root
            if height + self._safe_depth <= await self.current_height():
                self._remember(height, known)
        else:
            self._roots.move_to_end(height)
        return known == root.lower()

    async def current_height(self) -> int:
        height = await self._value("/getPresentHeight")
        if type(height) is not int or not 0 <= height <= 0x7FFFFFFF:
            raise ServiceUnavailable(self.name, f"named a height that is none: {height!r:.60}")
        return height

    async def header_at(self, height: int) -> BlockHeader | None:
        """The header of the best chain at ``height``; None above its tip."""
        value = await self._value("/findHeaderHexForHeight", height=height)
        if value is None:
            return None
        found, header = self._header(value)
        if found != height:
            raise ServiceUnavailable(self.name, f"sent the header of height {found} for height {height}")
        return header

    async def header_for(self, block_hash: str) -> tuple[int, BlockHeader] | None:
        """Height and header of a block the service knows, on its best chain or beside it."""
        value = await self._value("/findHeaderHexForBlockHash", hash=block_hash)
        if value is None:
            return None
        height, header = self._header(value)
        if header.hash() != block_hash:
            raise ServiceUnavailable(self.name, f"sent the header of {header.hash()} for block {block_hash}")
        return height, header

    async def tip(self) -> tuple[int, BlockHeader]:
        return self._header(await self._value("/findChainTipHeaderHex"))

    async def headers(self, first: int, count: int) -> list[BlockHeader]:
        """Up to ``count`` consecutive headers of the best chain; fewer at its tip."""
        text = await self._value("/getHeaders", height=first, count=count)
        try:
            raw = bytes.fromhex(text)
            found = [BlockHeader.from_bytes(raw[at : at + 80]) for at in range(0, len(raw), 80)]
        except (TypeError, ValueError) as error:
            raise ServiceUnavailable(self.name, f"sent malformed headers: {error}") from None
        if len(found) > count:
            raise ServiceUnavailable(self.name, f"sent {len(found)} headers where {count} were asked for")
        for before, after in pairwise(found):
            if after.previous_hash != before.hash():
                raise ServiceUnavailable(self.name, "sent headers that do not follow one another")
        return found

    async def close(self) -> None:
        await self._http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()

    def _remember(self, height: int, root: str) -> None:
        self._roots[height] = root
        if len(self._roots) > self._max_roots:
            self._roots.popitem(last=False)

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
        if not isinstance(value, dict):
            raise ServiceUnavailable(self.name, f"sent no header object: {value!r:.60}")
        try:
            version = value["version"]
            header = BlockHeader(
                version=version - (1 << 32) if version > 0x7FFFFFFF else version,
                previous_hash=value["previousHash"],
                merkle_root=value["merkleRoot"],
                time=value["time"],
                bits=value["bits"],
                nonce=value["nonce"],
            )
            height, named = value["height"], value["hash"]
        except (KeyError, TypeError, ValueError, ParseError) as error:
            raise ServiceUnavailable(self.name, f"sent a malformed header: {error}") from None
        if type(height) is not int or header.hash() != named:
            raise ServiceUnavailable(self.name, f"sent a header whose hash is not {named!r:.70}")
        return height, header
