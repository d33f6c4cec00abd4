"""Asks DataHubs for headers (spec/wallet-stack.md §6.4). Their URLs come from strangers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from sdk.chaintracks.consensus.fields import HEADER, display
from sdk.chaintracks.errors import SourceUnavailable
from sdk.chaintracks.sources.teranode.addresses import PublicResolver, is_public

if TYPE_CHECKING:
    from collections.abc import Collection

PAGE: Final = 1000
"""Headers of one answer."""
_CONNECT: Final = 5.0
_TIME: Final = 20.0
"""Seconds for a whole answer."""


class UnknownBlock(SourceUnavailable):
    """The DataHub does not know the block, so it is not the one to blame."""


class DataHubs:
    """Redirects are not followed, nothing but http and https is spoken, no answer may be longer than was asked for, and
    with ``allow_private`` off only hosts of the Internet are asked, but for the URLs in ``trusted``.

    Methods raise ``SourceUnavailable``.
    """

    def __init__(self, *, trusted: Collection[str] = (), allow_private: bool = False, time: float = _TIME) -> None:
        self._trusted, self._allow_private = frozenset(trusted), allow_private
        self._timeout = aiohttp.ClientTimeout(total=time, connect=_CONNECT)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def headers(self, hub: str, block_hash: bytes, count: int = PAGE) -> bytes:
        """Up to ``count`` headers of 80 bytes, at least one: that of ``block_hash`` (internal order) and those before
        it, newest first. What they hold is not checked here."""
        raw = await self._get(hub, f"headers/{display(block_hash)}?n={count}", count * HEADER)
        if not raw or len(raw) % HEADER:
            raise SourceUnavailable(hub, f"sent {len(raw)} bytes for headers of {HEADER}")
        return raw

    async def best(self, hub: str) -> bytes:
        """The 80 bytes of its best header."""
        raw = await self._get(hub, "bestblockheader", HEADER)
        if len(raw) != HEADER:
            raise SourceUnavailable(hub, f"sent {len(raw)} bytes for its best header")
        return raw

    async def close(self) -> None:
        sessions, self._sessions = self._sessions, {}
        for each in sessions.values():
            await each.close()

    async def _get(self, hub: str, path: str, limit: int) -> bytes:
        url, any_host = self._checked(hub, path)
        try:
            async with self._session(any_host).get(url, timeout=self._timeout, allow_redirects=False) as answer:
                if answer.status == 404:
                    raise UnknownBlock(hub, f"{path}: does not know it")
                if answer.status != 200:
                    raise SourceUnavailable(hub, f"{path}: answered {answer.status}")
                return await _read(answer, hub, limit)
        except TimeoutError as error:
            raise SourceUnavailable(hub, f"{path}: did not answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SourceUnavailable(hub, f"{path}: {' '.join(str(error).split())[:200]}") from error

    def _checked(self, hub: str, path: str) -> tuple[URL, bool]:
        """The URL to ask, and whether it may be anywhere."""
        any_host = self._allow_private or hub in self._trusted
        try:
            url = URL(hub.rstrip("/"))
            whole = URL(f"{hub.rstrip('/')}/{path}")
        except ValueError as error:
            raise SourceUnavailable(hub, f"is no URL: {error}") from None
        if url.scheme not in ("http", "https") or not url.host or url.user or url.password:
            raise SourceUnavailable(hub, "is no URL of a DataHub: write http(s)://host/path")
        if url.query_string or url.fragment:
            raise SourceUnavailable(hub, "is no URL of a DataHub: it has a query or a fragment")
        if not any_host and _is_literal(url.host) and not is_public(url.host):  # aiohttp resolves names only
            raise SourceUnavailable(hub, "is no host of the Internet")
        return whole, any_host

    def _session(self, any_host: bool) -> aiohttp.ClientSession:
        if any_host not in self._sessions:
            resolver = None if any_host else PublicResolver()
            self._sessions[any_host] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=2, force_close=True, use_dns_cache=False, resolver=resolver),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept": "application/octet-stream", "Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=False,
            )
        return self._sessions[any_host]


def _is_literal(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


async def _read(answer: aiohttp.ClientResponse, hub: str, limit: int) -> bytes:
    parts, size = [], 0
    async for part in answer.content.iter_chunked(16 * 1024):
        size += len(part)
        if size > limit:
            raise SourceUnavailable(hub, f"sent more than {limit} bytes")
        parts.append(part)
        await asyncio.sleep(0)
    return b"".join(parts)
