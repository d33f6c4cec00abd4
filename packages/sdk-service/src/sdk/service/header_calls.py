"""A header service's v1 calls (spec/wallet-stack.md §6.2), which the wallet and the header client both make.

Every header is recomputed: its hash must be the one the service names. Whatever is not a clear answer is
``ServiceUnavailable``: a service that sends nonsense, or refuses a question it must answer, gives no verdict (R52).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdk.core.errors import ParseError, ServiceError, ServiceUnavailable
from sdk.core.header import BlockHeader

if TYPE_CHECKING:
    from sdk.service.http_client import HttpClient


class HeaderCalls:
    def __init__(self, http: HttpClient) -> None:
        self._http = http

    async def height(self) -> int:
        value = await self.value("/getPresentHeight")
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 0xFFFFFFFF:
            raise self._nonsense(f"named a height that is none: {value!r:.60}")
        return value

    async def header_at(self, height: int) -> BlockHeader | None:
        """The header of the best chain at ``height``, ``None`` above its tip."""
        value = await self.value("/findHeaderHexForHeight", height=height)
        if value is None:
            return None
        found, header = self.header(value)
        if found != height:
            raise self._nonsense(f"sent the header of height {found} for height {height}")
        return header

    async def header_for(self, block_hash: str) -> tuple[int, BlockHeader] | None:
        """Height and header of a block it knows, whether or not on the best chain."""
        value = await self.value("/findHeaderHexForBlockHash", hash=block_hash)
        if value is None:
            return None
        height, header = self.header(value)
        if header.hash() != block_hash:
            raise self._nonsense(f"sent the header of {header.hash()} for block {block_hash}")
        return height, header

    async def value(self, path: str, **params: str | int) -> Any:
        """What the answer's envelope holds."""
        try:
            document = await self._http.get_json(path, params=params)
        except ServiceUnavailable:
            raise
        except ServiceError as error:
            raise ServiceUnavailable(self._http.service, error.detail, status=error.status) from error
        if not isinstance(document, dict) or document.get("status") != "success":
            raise self._nonsense(f"answered without success: {document!r:.200}")
        return document.get("value")

    def header(self, value: object) -> tuple[int, BlockHeader]:
        return header_from_members(self._http.service, value)

    def _nonsense(self, detail: str) -> ServiceUnavailable:
        return ServiceUnavailable(self._http.service, detail)


def header_from_members(
    service: str, value: object, *, previous: str = "previousHash", root: str = "merkleRoot"
) -> tuple[int, BlockHeader]:
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
