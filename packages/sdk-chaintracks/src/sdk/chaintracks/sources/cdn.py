"""Headers from a folder of files and its index, as header CDNs serve them (spec/wallet-stack.md §6.1).

``cdn``, ``cdn:https://host/folder`` or ``cdn:/a/folder/here``. For the long way from the first header; what is newer
than the last export comes from other sources.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sdk.chaintracks.consensus.fields import HEADER
from sdk.chaintracks.errors import SourceLied, SourceUnavailable
from sdk.chaintracks.sources.cdn_index import MAX_FILE, MAX_INDEX, index_name, parse_index
from sdk.chaintracks.sources.download_cache import DigestMismatch, DownloadCache
from sdk.chaintracks.sources.ports import SourceTip
from sdk.core.errors import ConfigurationError, ParseError, ServiceError
from sdk.service.http_client import HttpClient, HttpPolicy

if TYPE_CHECKING:
    from sdk.chaintracks.sources.cdn_index import IndexedFile
    from sdk.chaintracks.sources.opening import SourceContext

BASE_URL: Final = "https://cdn.projectbabbage.com/blockheaders"
PART: Final = 1024 * 1024
"""Bytes that are asked for at a time, and lost at most when the connection breaks."""
_PLAIN: Final = {"Accept-Encoding": "identity"}


class CdnSource:
    """``location`` is a URL or a folder. Downloads go to ``cache``, if there is one, and go on after a break."""

    at_once = 100_000
    live = False

    def __init__(
        self, location: str, chain: str, *, cache: DownloadCache | None = None, http: HttpClient | None = None
    ) -> None:
        self.name = f"cdn:{location}"
        self._chain, self._cache = chain, cache
        self._folder: Path | None = None
        self._http = http
        if not location.startswith(("http://", "https://")):
            self._folder = Path(location)
        elif http is None:
            self._http = HttpClient(location, service=self.name, policy=HttpPolicy(timeout=60, max_connections=2))
        self._files: list[IndexedFile] = []
        self._kept: tuple[bytes, bytes] | None = None  # digest and content of the last file

    @classmethod
    def open(cls, location: str, context: SourceContext) -> CdnSource:
        """At ``location``, or at the reference's own CDN."""
        if location and "://" not in location and not Path(location).is_dir():
            raise ConfigurationError(f"--source cdn:{location}: there is no such folder")
        if not location and context.parameters.name not in ("main", "test"):
            raise ConfigurationError(f"no CDN serves {context.parameters.name}: name one as cdn:URL")
        try:
            cache = None if context.cache is None else DownloadCache.open(context.cache)
        except OSError as error:
            raise ConfigurationError(f"downloads cannot be kept in {context.cache}: {error.strerror}") from error
        return cls(location or BASE_URL, context.parameters.name, cache=cache)

    async def tip(self) -> SourceTip:
        self._files = await self._index()
        return SourceTip(self._files[-1].last, self._files[-1].tip)

    async def headers(self, first: int, last: int) -> bytes:
        parts = []
        for each in self._files:
            if each.first <= last and first <= each.last:
                raw = await self._content(each)
                parts.append(raw[max(0, first - each.first) * HEADER : (last + 1 - each.first) * HEADER])
        return b"".join(parts)

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()
        if self._cache is not None:
            self._cache.close()

    async def _index(self) -> list[IndexedFile]:
        name = index_name(self._chain)
        if self._folder is not None:
            data = await self._read(name, 0, MAX_INDEX)
        else:
            data, _ = await self._ask(name, MAX_INDEX, {})
        try:
            return parse_index(data, self._chain)
        except ParseError as error:
            raise SourceUnavailable(self.name, str(error)) from error

    async def _content(self, file: IndexedFile) -> bytes:
        """Of ``file``, which is what the index says."""
        if self._kept is None or self._kept[0] != file.digest:
            try:
                raw = await self._load(file)
            except DigestMismatch:
                raise await self._explained(file) from None
            except OSError as error:
                raise SourceUnavailable(self.name, f"{file.name}: {error.strerror}") from error
            fault = file.fault(raw)
            if fault is not None:
                raise SourceLied(self.name, f"{file.name} {fault}")
            self._kept = file.digest, raw
        return self._kept[1]

    async def _explained(self, file: IndexedFile) -> SourceUnavailable | SourceLied:
        """A file that is replaced while its index is read is no lie."""
        if file in await self._index():
            return SourceLied(self.name, f"{file.name} is not the file whose digest its index gives")
        return SourceUnavailable(self.name, f"{file.name} changed while it was read")

    async def _load(self, file: IndexedFile) -> bytes:
        if self._folder is not None:
            return _checked(await self._read(file.name, 0, file.size), file)
        if self._cache is None:
            parts: list[bytes] = []
            while (held := sum(map(len, parts))) < file.size:
                parts.append(await self._part(file, held))
            return _checked(b"".join(parts), file)
        found = await self._cache.whole(file.digest)
        if found is not None:
            return found
        if self._cache.held(file.digest) > file.size:
            self._cache.drop(file.digest)
        while (held := self._cache.held(file.digest)) < file.size:
            self._cache.add(file.digest, await self._part(file, held))
        return await self._cache.finish(file.digest)

    async def _part(self, file: IndexedFile, start: int) -> bytes:
        """At least one byte from ``start`` on, and none beyond the end of the file."""
        end = min(start + PART, file.size)
        raw, ranged = await self._ask(file.name, file.size, {"Range": f"bytes={start}-{end - 1}"})
        if ranged is None:
            raw = raw[start:]  # a server that knows no ranges
        elif not ranged.startswith(f"bytes {start}-") or len(raw) > end - start:
            raise SourceUnavailable(self.name, f"{file.name}: bytes {start}-{end - 1} were asked for, {ranged} sent")
        if not raw:
            raise SourceUnavailable(self.name, f"{file.name} ends after {start} bytes of {file.size}")
        return raw

    async def _ask(self, name: str, limit: int, headers: dict[str, str]) -> tuple[bytes, str | None]:
        """The bytes, and which they are if they are a part."""
        assert self._http is not None
        try:
            answer = await self._http.request("GET", f"/{name}", headers={**_PLAIN, **headers}, max_response=limit)
        except ServiceError as error:
            if error.status == 416:
                raise SourceUnavailable(self.name, f"{name} is shorter than its index says") from error
            status = "" if error.status is None else f" (HTTP {error.status})"
            raise SourceUnavailable(self.name, f"{name}{status}: {error.detail or 'no reason given'}") from error
        if answer.content_type == "text/html":
            raise SourceUnavailable(self.name, f"{name}: a web page came instead: {answer.excerpt(80)}")
        return answer.body, answer.headers.get("Content-Range", "") if answer.status == 206 else None

    async def _read(self, name: str, start: int, size: int) -> bytes:
        assert self._folder is not None
        path = self._folder / name

        def read() -> bytes:
            with path.open("rb") as file:
                file.seek(start)
                return file.read(min(size, MAX_FILE))

        try:
            return await asyncio.to_thread(read)
        except OSError as error:
            raise SourceUnavailable(self.name, f"{name} cannot be read: {error.strerror}") from error


def _checked(raw: bytes, file: IndexedFile) -> bytes:
    if sha256(raw).digest() != file.digest:
        raise DigestMismatch
    return raw
