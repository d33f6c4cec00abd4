"""Headers from another header service: the v2 endpoints, or v1 where those are not there (spec/wallet-stack.md §6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sdk.chaintracks.consensus.fields import HEADER
from sdk.chaintracks.errors import SourceUnavailable
from sdk.chaintracks.sources.news import EventStreamNews
from sdk.chaintracks.sources.ports import SourceTip
from sdk.core.errors import ConfigurationError, ServiceError
from sdk.service.http_client import HttpClient, HttpPolicy

if TYPE_CHECKING:
    from sdk.chaintracks.sources.news import Announcements
    from sdk.chaintracks.sources.opening import SourceContext

_SLACK: Final = 4096
"""Bytes of an answer that are not headers."""
_KEEPALIVE: Final = 60.0
"""Seconds; services send a comment every 15."""


class HeaderServiceSource:
    """``url`` is the base of the service. New tips of v2 services are heard of over server-sent events."""

    at_once = 10_000
    live = True

    def __init__(
        self, url: str, *, name: str | None = None, http: HttpClient | None = None, news: Announcements | None = None
    ) -> None:
        base = url.rstrip("/")
        self.name = name or f"chaintracks:{base}"
        self._http = http or HttpClient(base, service=self.name, policy=HttpPolicy(timeout=20, max_connections=2))
        self._news = news or EventStreamNews(f"{base}/v2/tip/stream", silence=_KEEPALIVE)
        self._is_v1 = False

    @classmethod
    def open(cls, location: str, context: SourceContext) -> HeaderServiceSource:
        if not location.startswith(("http://", "https://")):
            raise ConfigurationError(f"--source chaintracks:{location}: write chaintracks:http://host:port")
        return cls(location)

    async def tip(self) -> SourceTip:
        found = None if self._is_v1 else await self._value("/v2/tip/header", missing=True)
        if found is None:
            self._is_v1 = True
            found = await self._value("/findChainTipHeaderHex")
        try:
            height, block_hash = found["height"], bytes.fromhex(found["hash"])[::-1]
        except (KeyError, TypeError, ValueError) as error:
            raise SourceUnavailable(self.name, f"its tip makes no sense: {found!r:.120}") from error
        if type(height) is not int or not 0 <= height <= 0x7FFFFFFF or len(block_hash) != 32:
            raise SourceUnavailable(self.name, f"its tip makes no sense: {found!r:.120}")
        return SourceTip(height, block_hash)

    async def headers(self, first: int, last: int) -> bytes:
        count = last - first + 1
        path = "/getHeaders" if self._is_v1 else "/v2/headers"
        found = await self._value(f"{path}?height={first}&count={count}", limit=2 * count * HEADER + _SLACK)
        try:
            return bytes.fromhex(found)
        except (TypeError, ValueError) as error:
            raise SourceUnavailable(self.name, f"headers {first}-{last} are no hex: {found!r:.80}") from error

    async def news(self) -> None:
        await self._news.wait()

    async def close(self) -> None:
        await self._news.close()
        await self._http.close()

    async def _value(self, path: str, *, missing: bool = False, limit: int = 64 * 1024) -> Any:
        """``value`` of the answer, an empty text for none; None where there is no such endpoint, if ``missing``."""
        try:
            answer = await self._http.request("GET", path, check=False, max_response=limit)
            if missing and answer.status == 404 and b"ERR_NO_TIP" not in answer.body:
                return None
            document = answer.require().json()
        except ServiceError as error:
            self._is_v1 = False
            status = "" if error.status is None else f" (HTTP {error.status})"
            raise SourceUnavailable(self.name, f"{path}{status}: {error.detail or 'no reason given'}") from error
        if not isinstance(document, dict) or document.get("status") != "success":
            raise SourceUnavailable(self.name, f"{path}: no success: {document!r:.120}")
        return document.get("value", "")
