"""Files of many headers, as WhatsOnChain lists them at ``/block/headers/resources`` (spec/arc.md §3)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from sdk.chaintracks.consensus.fields import HEADER
from sdk.core.errors import ServiceError
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from sdk.service.http_client import HttpClient

MAX_FILE: Final = 32 * 1024 * 1024
_RANGE: Final = re.compile(r"(\d{1,9})_(\d{1,9})_[^/]*")

log = get_logger(__name__)


class _File(NamedTuple):
    url: str
    first: int
    last: int | None  # None: up to the tip


class HeaderFiles:
    """A short cut that may be missing: whatever goes wrong here, the headers can be asked for one by one.

    The last file is kept until ``forget``, for it is asked for in parts.
    """

    def __init__(self, http: HttpClient, base: str) -> None:
        self._http, self._origin = http, urlsplit(base)[:2]
        self._list: list[_File] | None = None
        self._kept: tuple[_File, bytes] | None = None

    def forget(self) -> None:
        self._list = self._kept = None

    async def headers(self, first: int, last: int) -> bytes | None:
        """The headers at ``first .. last``, or None if the files do not hold all of them."""
        try:
            if self._list is None:
                self._list = self._listed(await self._http.get_json("/block/headers/resources"))
            parts = []
            at = first
            while at <= last:
                raw = await self._from(at, last)
                if not raw:
                    return None
                parts.append(raw)
                at += len(raw) // HEADER
        except ServiceError as error:
            log.info("no header files", reason=str(error))
            self._list = self._list or []
            return None
        return b"".join(parts)

    async def _from(self, at: int, last: int) -> bytes:
        """Headers from ``at`` on, as far as one file goes; empty if none has them."""
        for each in self._list or ():
            if each.first <= at and (each.last is None or at <= each.last):
                raw = await self._content(each)
                return raw[(at - each.first) * HEADER : (last + 1 - each.first) * HEADER]
        return b""

    async def _content(self, file: _File) -> bytes:
        if self._kept is None or self._kept[0] != file:
            raw = (await self._http.request("GET", file.url, max_response=MAX_FILE)).body
            whole = len(raw) // HEADER * HEADER if file.last is None else (file.last - file.first + 1) * HEADER
            if len(raw) != whole:
                log.info("header file has an odd size", url=file.url, size=len(raw))
                raw = b""
            self._kept = file, raw
        return self._kept[1]

    def _listed(self, document: object) -> list[_File]:
        urls = document.get("files") if isinstance(document, dict) else None
        found: list[_File] = []
        following = 0
        for url in urls if isinstance(urls, list) else ():
            if not isinstance(url, str) or not self._is_fit(url):
                continue
            name = urlsplit(url).path.rpartition("/")[2]
            match = _RANGE.fullmatch(name)
            if match is not None and int(match[1]) <= int(match[2]):
                found.append(_File(url, int(match[1]), int(match[2])))
                following = max(following, int(match[2]) + 1)
            elif name == "latest":
                found.append(_File(url, following, None))
        return found

    def _is_fit(self, url: str) -> bool:
        """A source must not send us anywhere else on this machine or network: its own address, or one over TLS."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        return parts[:2] == self._origin or parts.scheme == "https"
