"""The v1 calls of one server (spec/wallet-stack.md §6.2), each answer checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdk.core.errors import ServiceError, ServiceUnavailable
from sdk.core.header import BlockHeader
from sdk.service.http_client import HttpClient, HttpPolicy

if TYPE_CHECKING:
    from sdk.chaintracks.client.checks import HeaderChecks

_MAX_ANSWER = 16 * 1024 * 1024


class Endpoint:
    """Every method raises ``ServiceUnavailable`` when the server cannot tell (R52)."""

    def __init__(self, url: str, checks: HeaderChecks, http: HttpClient | None = None) -> None:
        self.url = url.rstrip("/")
        self.checks, self.name = checks, checks.service
        policy = HttpPolicy(timeout=15, max_response=_MAX_ANSWER)
        self.http = http or HttpClient(self.url, service=self.name, policy=policy)

    async def chain(self) -> str:
        value = await self._value("/getChain")
        if not isinstance(value, str):
            raise self.checks.nonsense(f"named a chain that is none: {value!r:.60}")
        return value

    async def info(self) -> dict[str, Any]:
        value = await self._value("/getInfo")
        if not isinstance(value, dict):
            raise self.checks.nonsense(f"sent no information: {value!r:.60}")
        return value

    async def height(self) -> int:
        return self.checks.height(await self._value("/getPresentHeight"))

    async def header_at(self, height: int) -> BlockHeader | None:
        value = await self._value("/findHeaderHexForHeight", height=height)
        if value is None:
            return None
        found, header = self.checks.header(value)
        if found != height:
            raise self.checks.nonsense(f"sent the header of height {found} for height {height}")
        return header

    async def header_for(self, block_hash: str) -> tuple[int, BlockHeader] | None:
        value = await self._value("/findHeaderHexForBlockHash", hash=block_hash)
        if value is None:
            return None
        height, header = self.checks.header(value)
        if header.hash() != block_hash:
            raise self.checks.nonsense(f"sent the header of {header.hash()} for block {block_hash}")
        return height, header

    async def tip(self) -> tuple[int, BlockHeader]:
        return self.checks.header(await self._value("/findChainTipHeaderHex"))

    async def headers(self, first: int, count: int) -> list[BlockHeader]:
        text = await self._value("/getHeaders", height=first, count=count)
        try:
            raw = bytes.fromhex(text)
            found = [BlockHeader.from_bytes(raw[at : at + 80]) for at in range(0, len(raw), 80)]
        except (TypeError, ValueError) as error:
            raise self.checks.nonsense(f"sent malformed headers: {error}") from None
        if len(found) > count:
            raise self.checks.nonsense(f"sent {len(found)} headers where {count} were asked for")
        self.checks.run(found)
        for each in found:
            self.checks.work(each)
        return found

    async def add_header(self, header: BlockHeader) -> None:
        """Raises ``ServiceRejected`` when the server says that the header does not hold."""
        members = {
            "version": header.version & 0xFFFFFFFF,
            "previousHash": header.previous_hash,
            "merkleRoot": header.merkle_root,
            "time": header.time,
            "bits": header.bits,
            "nonce": header.nonce,
        }
        document = await self.http.post_json("/addHeaderHex", members, idempotent=True)
        if not isinstance(document, dict) or document.get("status") != "success":
            raise self.checks.nonsense(f"answered without success: {document!r:.200}")

    async def is_ready(self) -> bool:
        answer = await self.http.request("GET", "/readyz", check=False)
        if answer.status not in (200, 503):
            raise self.checks.nonsense(f"does not say whether it is current (status {answer.status})")
        return answer.status == 200

    async def _value(self, path: str, **params: str | int) -> Any:
        try:
            document = await self.http.get_json(path, params=params)
        except ServiceUnavailable:
            raise
        except ServiceError as error:  # it refused a question it must answer: no verdict either
            raise ServiceUnavailable(self.name, error.detail, status=error.status) from error
        if not isinstance(document, dict) or document.get("status") != "success":
            raise self.checks.nonsense(f"answered without success: {document!r:.200}")
        return document.get("value")
