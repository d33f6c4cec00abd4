"""Folders of header files as a source: every file is checked, and a download goes on where it broke off."""

from __future__ import annotations

import base64
import os
import re
import shutil
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp import web

from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.sources import cdn as cdn_module
from sdk.chaintracks.sources.cdn import CdnSource
from sdk.chaintracks.sources.cdn_index import parse_index
from sdk.chaintracks.sources.download_cache import DownloadCache
from sdk.chaintracks.sources.whatsonchain import WhatsOnChainSource
from sdk.core.errors import ParseError
from sdk.service.database import Database
from sdk.service.http_client import HttpClient, HttpPolicy
from support.header_cdn import HeaderCdn, index_of
from support.header_rig import GENESIS, HeaderNetwork, grown, raw
from support.header_server import header_server
from support.odd_servers import endless
from support.requirements import vectors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from sdk.chaintracks.sources import HeaderSource

HEADERS = grown([GENESIS], 249)


@asynccontextmanager
async def following(folder: Path, *sources: HeaderSource, network: str = "mock") -> AsyncIterator[Chaintracks]:
    async with await Database.open(f"sqlite:///{folder}/h.sqlite") as database:
        tracks = await Chaintracks.open(network, database, sources)
        try:
            yield tracks
        finally:
            await tracks.stop()


def source(url: str, cache: DownloadCache | None = None) -> CdnSource:
    return CdnSource(url, "mock", cache=cache, http=HttpClient(url, service="cdn", policy=HttpPolicy(attempts=1)))


def cache_in(folder: Path) -> DownloadCache:
    cache = DownloadCache.open(folder / "downloads")
    assert cache is not None
    return cache


@pytest.mark.parametrize(("name", "count"), [("cdnTest349", 350), ("cdnTest402", 403)])
async def test_the_references_folders_are_read_whole(tmp_path: Path, name: str, count: int) -> None:
    folder = vectors("headers", name)
    async with following(tmp_path, CdnSource(str(folder), "main"), network="main") as tracks:
        await tracks.sync()
        assert tracks.sources_status()[0].last_error is None
        assert tracks.chain.tip.height == count - 1
        content = b"".join(
            (folder / each.name).read_bytes()
            for each in parse_index((folder / "mainNetBlockHeaders.json").read_bytes(), "main")
        )
        assert await tracks.chain.headers(0, 1000) == content
        assert "days old" in str(tracks.fault())  # the chain of 2009 is nobody's tip


async def test_the_folder_our_own_server_shows_is_one(tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    async with header_server(tmp_path / "served", headers=HEADERS) as served:
        cache = cache_in(tmp_path)
        async with following(tmp_path, CdnSource(f"{served.url}/blockheaders", "mock", cache=cache)) as tracks:
            await tracks.sync()
            assert await tracks.chain.headers(0, 1000) == raw(HEADERS)
            await served.reorganise(3, 5)
            await tracks.sync()
            assert await tracks.chain.headers(0, 1000) == raw(served.headers)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("ranges", [True, False])
async def test_files_are_taken_over_from_any_server(tmp_path: Path, ranges: bool, cached: bool) -> None:
    cdn = HeaderCdn.of(HEADERS)
    cdn.ranges = ranges
    async with (
        cdn.served() as url,
        following(tmp_path, source(url, cache_in(tmp_path) if cached else None)) as tracks,
    ):
        await tracks.sync()
        assert await tracks.chain.headers(0, 1000) == raw(HEADERS)
        asked = len(cdn.asked)
        await tracks.sync()
        assert len(cdn.asked) == asked + 1  # the index alone


async def test_a_download_goes_on_where_it_broke_off_after_a_restart_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cdn_module, "PART", 1000)
    cdn = HeaderCdn.of(HEADERS[:100])
    left = 3

    async def fails_after_three(request: web.Request) -> web.StreamResponse:
        nonlocal left
        left -= 1
        if left < 0:
            return web.Response(status=503, text="busy")
        request.match_info["path"] = "x"
        del cdn.odd["mockNet_0.headers"]
        answer = await cdn.answer(request)
        cdn.odd["mockNet_0.headers"] = fails_after_three
        return answer

    cdn.odd["mockNet_0.headers"] = fails_after_three
    async with cdn.served() as url:
        async with following(tmp_path, source(url, cache_in(tmp_path))) as tracks:
            await tracks.sync()
            assert "busy" in str(tracks.followers[0].last_error)
            assert tracks.chain.tip.height == 0
        cdn.odd.clear()
        cdn.asked.clear()
        async with following(tmp_path, source(url, cache_in(tmp_path))) as tracks:
            await tracks.sync()
            assert await tracks.chain.headers(0, 1000) == raw(HEADERS[:100])
        assert next(each for name, each in cdn.asked if name.endswith(".headers")) == "bytes=3000-3999"
    assert [each.suffix for each in sorted((tmp_path / "downloads").iterdir())] == [".headers", ""]


async def test_parts_of_files_that_were_replaced_do_not_pile_up(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    for day in range(9):
        cache.add(bytes([day]) * 32, b"half of what that day's last file was")
        os.utime(tmp_path / "downloads" / f"{(bytes([day]) * 32).hex()}.part", (day, day))
    data = raw(HEADERS[:10])
    cache.add(sha256(data).digest(), data)
    assert await cache.finish(sha256(data).digest()) == data
    left = sorted(each.name for each in (tmp_path / "downloads").glob("*.part"))
    assert left == [f"{(bytes([day]) * 32).hex()}.part" for day in (7, 8)]
    cache.close()


async def test_what_is_kept_is_checked_before_it_is_used_and_little_is_kept(tmp_path: Path) -> None:
    cdn = HeaderCdn.of(HEADERS, per_file=50)
    async with cdn.served() as url:
        async with following(tmp_path, source(url, cache_in(tmp_path))) as tracks:
            await tracks.sync()
        kept = [*(tmp_path / "downloads").glob("*.headers")]
        assert len(kept) == 2
        for each in kept:
            data = bytearray(each.read_bytes())
            data[100] ^= 1
            each.write_bytes(data)
        (tmp_path / "h.sqlite").unlink()
        async with following(tmp_path, source(url, cache_in(tmp_path))) as tracks:
            await tracks.sync()
            assert await tracks.chain.headers(0, 1000) == raw(HEADERS)


async def test_two_processes_never_write_to_one_download(tmp_path: Path) -> None:
    first = cache_in(tmp_path)
    assert DownloadCache.open(tmp_path / "downloads") is None
    first.close()
    cache_in(tmp_path).close()


def member(number: int, **changes: Any) -> Callable[[HeaderCdn], None]:
    def change(cdn: HeaderCdn) -> None:
        cdn.index["files"][number] |= changes

    return change


def page(cdn: HeaderCdn) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>maintenance</html>", content_type="text/html")

    cdn.odd["mockNet_1.headers"] = answer


def unlabelled_page(cdn: HeaderCdn) -> None:
    cdn.ranges = False
    cdn.files["mockNet_1.headers"] = b"<html>maintenance</html>".ljust(8000)


def short(cdn: HeaderCdn) -> None:
    cdn.files["mockNet_1.headers"] = cdn.files["mockNet_1.headers"][:-80]


def long(cdn: HeaderCdn) -> None:
    cdn.ranges = False
    cdn.files["mockNet_1.headers"] += bytes(80)


def gone(cdn: HeaderCdn) -> None:
    del cdn.files["mockNet_1.headers"]


def flipped(cdn: HeaderCdn) -> None:
    data = bytearray(cdn.files["mockNet_1.headers"])
    data[40] ^= 1
    cdn.files["mockNet_1.headers"] = bytes(data)


def unmined(cdn: HeaderCdn) -> None:
    """Right in every digest, but the headers prove no work."""
    chain = grown(HEADERS[:100], 99)
    forged = [*chain[:150]]
    for nonce in range(100):
        candidate = type(forged[0])(
            nonce=nonce,
            **{name: getattr(chain[150], name) for name in ("version", "previous_hash", "merkle_root", "time", "bits")},
        )
        if not candidate.meets_target():
            forged.append(candidate)
            break
    other = HeaderCdn.of(forged)
    cdn.index, cdn.files = other.index, other.files


def never_ends(cdn: HeaderCdn) -> None:
    cdn.odd["mockNet_1.headers"] = endless


def circle(cdn: HeaderCdn) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        raise web.HTTPFound(request.path)

    cdn.odd["mockNet_1.headers"] = answer


def other_range(cdn: HeaderCdn) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=206, body=bytes(8000), headers={"Content-Range": "bytes 80-8079/16000"})

    cdn.odd["mockNet_1.headers"] = answer


@pytest.mark.parametrize(
    ("fault", "state", "words"),
    [
        (member(1, fileHash=base64.b64encode(bytes(32)).decode()), "quarantined", "digest"),
        (flipped, "quarantined", "digest"),
        (unlabelled_page, "quarantined", "digest"),
        (unmined, "quarantined", "high-hash"),
        (member(1, lastChainWork=f"{1 << 200:064x}"), "quarantined", "of work"),
        (member(2, lastHash="00" * 32), "quarantined", "begin and end"),
        (member(1, lastHash="00" * 32), "backing_off", "does not go on"),
        (member(1, firstHeight=99), "backing_off", "does not go on"),
        (member(1, chain="main"), "backing_off", "makes no sense"),
        (member(1, count=10**9), "backing_off", "makes no sense"),
        (member(1, count=True), "backing_off", "makes no sense"),
        (member(1, fileName="../../../etc/passwd"), "backing_off", "makes no sense"),
        (member(1, fileHash="AAAA"), "backing_off", "makes no sense"),
        (member(1, prevHash="zz"), "backing_off", "makes no sense"),
        (short, "backing_off", "ends after 7920 bytes|shorter"),
        (long, "backing_off", "more than 8000 bytes"),
        (gone, "backing_off", "HTTP 404"),
        (page, "backing_off", "web page"),
        (never_ends, "backing_off", "more than 8000 bytes"),
        (circle, "backing_off", "redirects"),
        (other_range, "backing_off", "were asked for"),
    ],
)
@pytest.mark.parametrize("cached", [True, False])
async def test_a_folder_that_lies_moves_nothing_that_another_source_does_not(
    tmp_path: Path, fault: Callable[[HeaderCdn], None], state: str, words: str, cached: bool
) -> None:
    cdn = HeaderCdn.of(HEADERS)
    fault(cdn)
    network = HeaderNetwork(HEADERS[:120])
    async with cdn.served() as url, network.served() as other:
        lying = source(url, cache_in(tmp_path) if cached else None)
        async with following(tmp_path, lying, WhatsOnChainSource(other)) as tracks:
            await tracks.sync()
            status = tracks.sources_status()[0]
            assert status.state == state
            assert re.search(words, str(status.last_error))
            assert await tracks.chain.headers(0, 1000) == raw(HEADERS[:120])
            assert tracks.is_current


@pytest.mark.parametrize(
    "data", [b"", b"{", b"<html>", b"[]", b"{}", b'{"files": []}', b'{"files": [1]}', b'{"files": [{}]}']
)
def test_an_index_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(ParseError, match="index of header files"):
        parse_index(data, "mock")


async def test_an_endless_index_is_not_read(tmp_path: Path) -> None:
    cdn = HeaderCdn.of(HEADERS)
    cdn.odd["mockNetBlockHeaders.json"] = endless
    async with cdn.served() as url, following(tmp_path, source(url)) as tracks:
        await tracks.sync()
        assert "more than 1048576 bytes" in str(tracks.followers[0].last_error)


async def test_a_file_replaced_while_its_index_is_read_is_no_lie(tmp_path: Path) -> None:
    renewed = grown(HEADERS[:110], 100, salt="renewed")
    cdn = HeaderCdn.of(HEADERS[:150])

    async def replaced(request: web.Request) -> web.StreamResponse:
        fresh = HeaderCdn.of(renewed)
        cdn.index, cdn.files, cdn.odd = fresh.index, fresh.files, {}
        return await cdn.answer(request)

    cdn.odd["mockNet_1.headers"] = replaced
    async with cdn.served() as url, following(tmp_path, source(url, cache_in(tmp_path))) as tracks:
        await tracks.sync()
        assert tracks.sources_status()[0].state == "backing_off"
        await tracks.sync()
        assert await tracks.chain.headers(0, 1000) == raw(renewed)


async def test_a_folder_that_is_behind_costs_its_index_and_confirms_no_tip(tmp_path: Path) -> None:
    cdn = HeaderCdn.of(HEADERS[:100])
    network = HeaderNetwork(HEADERS)
    async with (
        cdn.served() as url,
        network.served() as other,
        following(tmp_path, source(url), WhatsOnChainSource(other)) as tracks,
    ):
        network.failing = True
        await tracks.followers[0].step()
        assert "no answer yet" in str(tracks.fault())  # all there is in the folder, but is it the tip?
        network.failing = False
        await tracks.sync()
        assert tracks.is_current
        assert await tracks.chain.headers(0, 1000) == raw(HEADERS)
        cdn.asked.clear()
        await tracks.sync()
        assert [name for name, _ in cdn.asked] == ["mockNetBlockHeaders.json"]


async def test_a_full_disk_for_downloads_is_said(tmp_path: Path) -> None:
    cdn = HeaderCdn.of(HEADERS)
    cache = cache_in(tmp_path)
    shutil.rmtree(tmp_path / "downloads")
    async with cdn.served() as url, following(tmp_path, source(url, cache)) as tracks:
        await tracks.sync()
        assert "No such file or directory" in str(tracks.followers[0].last_error)
        assert tracks.chain.tip.height == 0


def test_the_index_written_for_tests_is_read_as_the_references_is() -> None:
    (first, second, third) = parse_index(orjson.dumps(index_of(HEADERS)), "mock")
    assert (first.first, first.last, second.first, third.last) == (0, 99, 100, 249)
