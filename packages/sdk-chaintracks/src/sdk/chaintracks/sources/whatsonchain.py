"""Headers from WhatsOnChain or whatever speaks its wire (spec/arc.md §3)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sdk.chaintracks.errors import SourceUnavailable
from sdk.chaintracks.sources.header_files import HeaderFiles
from sdk.chaintracks.sources.news import WhatsOnChainNews
from sdk.chaintracks.sources.ports import SourceTip
from sdk.core.errors import ParseError, ServiceError
from sdk.core.header import BlockHeader
from sdk.service.http_client import HttpClient, HttpPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.chaintracks.sources.news import Announcements
    from sdk.chaintracks.sources.opening import SourceContext

BASE_URL = "https://api.whatsonchain.com/v1/bsv"
SOCKETS = {
    "main": "wss://socket-v2.whatsonchain.com/websocket/blockHeaders",
    "test": "wss://socket-v2-testnet.whatsonchain.com/websocket/blockHeaders",
}
DEVNET_URL = "http://127.0.0.1:8090"
_AT_ONCE = 8
_MAX_ANSWER = 256 * 1024
_WORTH_A_FILE = 200
_PUBLIC_PAUSE = 0.35  # WhatsOnChain allows three requests a second without a key
_NEWEST = 10
"""Headers that ``/block/headers`` answers with."""


class WhatsOnChainSource:
    """``url`` is the base with the network (``…/v1/bsv/main``). ``pause`` seconds lie between two requests.

    ``socket`` tells of new blocks, if there is one.
    """

    at_once = 2000
    live = True

    def __init__(
        self,
        url: str,
        *,
        name: str | None = None,
        api_key: str | None = None,
        pause: float = 0.0,
        http: HttpClient | None = None,
        socket: Announcements | None = None,
    ) -> None:
        self.name = name or url
        headers = {"Accept": "application/json", **({"Authorization": api_key} if api_key else {})}
        policy = HttpPolicy(timeout=15, max_response=_MAX_ANSWER, max_connections=_AT_ONCE)
        self._http = http or HttpClient(url, service=self.name, headers=headers, policy=policy)
        self._files = HeaderFiles(self._http, url)
        self._pause, self._socket = pause, socket
        self._slots = asyncio.Semaphore(1 if pause else _AT_ONCE)

    @classmethod
    def open(cls, location: str, context: SourceContext) -> WhatsOnChainSource:
        """At the base URL ``location``, or at WhatsOnChain itself."""
        if location:
            return cls(location, api_key=context.api_key, pause=context.pause or 0.0)
        pause = _PUBLIC_PAUSE if context.pause is None else context.pause
        base = cls.base_url(context.parameters.name)
        socket = SOCKETS.get(context.parameters.name)
        news = None if socket is None else WhatsOnChainNews(socket)
        return cls(base, name="WhatsOnChain", api_key=context.api_key, pause=pause, socket=news)

    @staticmethod
    def base_url(chain: str) -> str:
        return f"{BASE_URL}/{chain}"

    async def tip(self) -> SourceTip:
        self._files.forget()
        info = await self._json("/chain/info")
        try:
            height, block_hash = info["blocks"], bytes.fromhex(info["bestblockhash"])[::-1]
        except (KeyError, TypeError, ValueError) as error:
            raise SourceUnavailable(self.name, f"/chain/info makes no sense: {info!r:.120}") from error
        if type(height) is not int or not 0 <= height <= 0x7FFFFFFF or len(block_hash) != 32:
            raise SourceUnavailable(self.name, f"/chain/info makes no sense: {info!r:.120}")
        return SourceTip(height, block_hash)

    async def headers(self, first: int, last: int) -> bytes:
        newest: dict[int, bytes] = {}
        if last > first and last - first < _NEWEST:
            newest = await self._newest()
        if all(height in newest for height in range(first, last + 1)):
            return b"".join(newest[height] for height in range(first, last + 1))
        if last - first >= _WORTH_A_FILE:
            found = await self._files.headers(first, last)
            if found is not None:
                return found
        return await self._one_by_one(first, last)

    async def _one_by_one(self, first: int, last: int) -> bytes:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._header(height)) for height in range(first, last + 1)]
        found = [task.result() for task in tasks]
        for each in found:
            if isinstance(each, SourceUnavailable):
                raise each
        return b"".join(each for each in found if isinstance(each, bytes))

    async def news(self) -> None:
        """Return when the socket told of a block; without one, never."""
        await (asyncio.Event().wait() if self._socket is None else self._socket.wait())

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()
        await self._http.close()

    async def _newest(self) -> dict[int, bytes]:
        document = await self._json("/block/headers")
        if not isinstance(document, list):
            raise SourceUnavailable(self.name, f"/block/headers is no list: {document!r:.120}")
        return dict(self._parsed(each) for each in document[:_NEWEST])

    async def _header(self, height: int) -> bytes | SourceUnavailable:
        """A failure is returned, so that a group of these ends with one plain error."""
        try:
            async with self._slots:
                found, raw = self._parsed(await self._json(f"/block/{height}/header"))
                if self._pause:
                    await asyncio.sleep(self._pause)
        except SourceUnavailable as error:
            return error
        if found != height:
            return SourceUnavailable(self.name, f"sent height {found} for height {height}")
        return raw

    async def _json(self, path: str) -> Any:
        try:
            return await self._http.get_json(path)
        except ServiceError as error:
            status = "" if error.status is None else f" (HTTP {error.status})"
            raise SourceUnavailable(self.name, f"{path}{status}: {error.detail or 'no reason given'}") from error

    def _parsed(self, value: object) -> tuple[int, bytes]:
        if not isinstance(value, dict):
            raise SourceUnavailable(self.name, f"sent no header object: {value!r:.80}")
        try:
            height, header = value["height"], _header_of(value)
        except (KeyError, TypeError, ValueError, ParseError) as error:
            raise SourceUnavailable(self.name, f"sent a malformed header: {error!r:.160}") from error
        if type(height) is not int:
            raise SourceUnavailable(self.name, f"sent a header at height {height!r:.40}")
        if header.hash() != value.get("hash"):
            raise SourceUnavailable(self.name, f"sent a header whose hash is not the one it names, at height {height}")
        return height, header.to_bytes()


class DevnetSource(WhatsOnChainSource):
    """A devnet of ours: ``devnet``, or ``devnet:http://host:port``; it speaks WhatsOnChain's wire."""

    @classmethod
    def open(cls, location: str, context: SourceContext) -> DevnetSource:
        base = (location or DEVNET_URL).rstrip("/")
        return cls(f"{base}/v1/bsv/{context.parameters.name}", name=f"devnet:{base}", pause=context.pause or 0.0)


def _header_of(value: Mapping[str, Any]) -> BlockHeader:
    version, bits = value["version"], value["bits"]
    return BlockHeader(
        version=version - (1 << 32) if version > 0x7FFFFFFF else version,
        previous_hash=value.get("previousblockhash") or "0" * 64,
        merkle_root=value["merkleroot"],
        time=value["time"],
        bits=int(bits, 16) if isinstance(bits, str) else bits,
        nonce=value["nonce"],
    )
