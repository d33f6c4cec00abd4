"""The v1 calls of one server (spec/wallet-stack.md §6.2), each answer checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdk.core.header import BlockHeader
from sdk.service.header_calls import HeaderCalls
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
        self._calls = HeaderCalls(self.http)

    async def chain(self) -> str:
        value = await self._calls.value("/getChain")
        if not isinstance(value, str):
            raise self.checks.nonsense(f"named a chain that is none: {value!r:.60}")
        return value

    async def info(self) -> dict[str, Any]:
        value = await self._calls.value("/getInfo")
        if not isinstance(value, dict):
            raise self.checks.nonsense(f"sent no information: {value!r:.60}")
        return value

    async def height(self) -> int:
        return self.checks.height(await self._calls.height())

    async def header_at(self, height: int) -> BlockHeader | None:
        header = await self._calls.header_at(height)
        if header is not None:
            self.checks.work(header)
        return header

    async def header_for(self, block_hash: str) -> tuple[int, BlockHeader] | None:
        found = await self._calls.header_for(block_hash)
        if found is not None:
            self.checks.work(found[1])
        return found

    async def tip(self) -> tuple[int, BlockHeader]:
        return self.checks.header(await self._calls.value("/findChainTipHeaderHex"))

    async def headers(self, first: int, count: int) -> list[BlockHeader]:
        text = await self._calls.value("/getHeaders", height=first, count=count)
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
        """The reference's service has no word for it: there its tip must be as high as its sources say."""
        answer = await self.http.request("GET", "/readyz", check=False)
        if answer.status == 404:
            return (await self.tip())[0] >= await self.height()
        if answer.status not in (200, 503):
            raise self.checks.nonsense(f"does not say whether it is current (status {answer.status})")
        return answer.status == 200
