"""The parts of the Teranode source that need no bus: what is an announcement, who is asked, what is believed.

Against real members of a bus: tests/interop/test_teranode.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from sdk.chaintracks.consensus import Rules
from sdk.chaintracks.consensus.fields import header_hash
from sdk.chaintracks.errors import SourceError, SourceLied, SourceUnavailable
from sdk.chaintracks.sources.opening import SourceContext, open_sources
from sdk.chaintracks.sources.teranode.addresses import is_public
from sdk.chaintracks.sources.teranode.allowance import Allowance
from sdk.chaintracks.sources.teranode.announcement import (
    MAX_MESSAGE,
    MAX_URL,
    Announcement,
    BadAnnouncement,
    parse_announcement,
)
from sdk.chaintracks.sources.teranode.branch import RUN, Branch, fetch_branch
from sdk.chaintracks.sources.teranode.bridge import BusBridge
from sdk.chaintracks.sources.teranode.data_hub import DataHubs, UnknownBlock
from sdk.chaintracks.sources.teranode.source import TeranodeSource
from sdk.chaintracks.sources.teranode.task import BusTask
from sdk.core.chain import MAIN, MOCK
from sdk.core.errors import ConfigurationError
from support.header_rig import GENESIS, grown, raw

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path

    from sdk.core.header import BlockHeader

CHAIN = grown([GENESIS], 2500)
PEER = "/dns4/bus.example/tcp/9905/p2p/12D3KooWLontQWbeWmteKZ9EbnzzYR7d6kxZt6Rqw6ABq6L2fLrt"


def announcement(header: BlockHeader, height: int, *, hub: str = "", author: str = "author") -> Announcement:
    return Announcement(header.to_bytes(), height, hub, author)


def message(**other: object) -> bytes:
    tip = CHAIN[5]
    members = {"Hash": tip.hash(), "Height": 5, "Header": tip.to_bytes().hex(), "DataHubURL": "https://h/api/v1"}
    return json.dumps(members | other).encode()


# what is taken for an announcement


def test_an_announcement_says_what_it_says() -> None:
    found = parse_announcement(message(Coinbase="00" * 100, PeerID="x"), "me", MOCK.pow_limit)
    assert found == announcement(CHAIN[5], 5, hub="https://h/api/v1", author="me")
    assert Announcement.from_line(json.loads(json.dumps(found.to_line()))) == found


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (b"\xff", "no JSON"),
        (b"[" * 60_000, "no JSON"),
        (b"[]", "no JSON object"),
        (b'{"a": "' + b"a" * MAX_MESSAGE + b'"}', "bytes, more than"),
        (message(Header="00"), "no header of 80 bytes"),
        (message(Header="zz" * 80), "no hex"),
        (message(Hash="00" * 32), "not that of its header"),
        (message(Height=True), "its height is none"),
        (message(Height=2**40), "its height is none"),
        (message(DataHubURL=None), "no URL"),
        (message(DataHubURL="h" * (MAX_URL + 1)), "no URL"),
        (message(DataHubURL="http://h/\r\nX: y"), "no URL"),
    ],
)
def test_what_is_no_announcement_is_refused(odd: bytes, reason: str) -> None:
    with pytest.raises(BadAnnouncement, match=reason):
        parse_announcement(odd, "me", MOCK.pow_limit)


def test_a_header_easier_than_the_networks_limit_proves_nothing() -> None:
    with pytest.raises(BadAnnouncement, match="does not prove its work"):
        parse_announcement(message(), "me", MAIN.pow_limit)


_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))


@given(st.dictionaries(st.sampled_from(["Hash", "Height", "Header", "DataHubURL", "Coinbase"]), _JSON))
def test_whatever_the_members_are_it_is_an_announcement_or_refused(odd: dict[str, object]) -> None:
    try:
        found = parse_announcement(message(**odd), "me", MOCK.pow_limit)
    except BadAnnouncement:
        return
    assert found.header == CHAIN[5].to_bytes()
    assert 0 <= found.height < 2**31
    assert len(found.hub) <= MAX_URL


# how much may be sent


@given(st.lists(st.floats(0, 5), max_size=300))
def test_nobody_sends_more_than_a_burst_and_what_comes_back(pauses: list[float]) -> None:
    allowance, now, taken = Allowance(60, 2), 0.0, 0
    for each in pauses:
        now += each
        taken += allowance.take("peer", now)
        assert taken <= 60 + now * 2 + 1e-6
    assert allowance.take("another", now)


def test_who_sends_no_faster_than_allowed_is_never_held_up_and_who_did_is_not_for_ever() -> None:
    allowance = Allowance(10, 2)
    assert all(allowance.take("quiet", at / 2) for at in range(1000))
    assert [allowance.take("loud", 0.0) for _ in range(12)] == [True] * 10 + [False] * 2
    assert allowance.take("loud", 0.5)
    assert not allowance.take("loud", 0.5)


# whom we ask at a stranger's word


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("192.168.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("no address", False),
    ],
)
def test_only_hosts_of_the_internet_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


@asynccontextmanager
async def hub_of(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/api/v1"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def asking(**options: object) -> AsyncIterator[DataHubs]:
    pages = DataHubs(**options)  # type: ignore[arg-type]
    try:
        yield pages
    finally:
        await pages.close()


async def _endless(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(bytes(16 * 1024))


async def _drip(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b"\0")
        await asyncio.sleep(0.05)


def _fixed(**answer: object) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def give(_: web.Request) -> web.StreamResponse:
        return web.Response(**answer)  # type: ignore[arg-type]

    return give


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (_fixed(status=302, headers={"Location": "http://127.0.0.1:1/"}), "answered 302"),
        (_fixed(status=500), "answered 500"),
        (_fixed(body=b""), "sent 0 bytes"),
        (_fixed(body=b"<html>busy</html>"), "sent 17 bytes"),
        (_fixed(body=bytes(80 * 11)), "more than 800 bytes"),
        (_endless, "more than 800 bytes"),
        (_drip, "did not answer in time"),
    ],
)
async def test_a_datahub_that_answers_oddly_is_left(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]], reason: str
) -> None:
    async with hub_of(answer) as hub, asking(allow_private=True, time=0.5) as pages:
        with pytest.raises(SourceUnavailable, match=reason):
            await pages.headers(hub, bytes(32), 10)


async def test_a_datahub_that_does_not_know_a_block_is_told_apart() -> None:
    async with hub_of(_fixed(status=404)) as hub, asking(allow_private=True) as pages:
        with pytest.raises(UnknownBlock):
            await pages.headers(hub, bytes(32))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", "0"]
)
async def test_no_way_of_writing_our_own_host_gets_past(host: str) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(body=bytes(80))

    async with hub_of(answer) as hub, asking() as pages:
        with pytest.raises(SourceUnavailable):
            await pages.best(hub.replace("127.0.0.1", host))
    assert asked == []


@pytest.mark.parametrize(
    "hub",
    ["ftp://h", "file:///etc/passwd", "h", "http://", "http://u:p@h/", "http://h/?q=1", "http://h/#f", "http://["],
)
async def test_only_plain_urls_are_asked(hub: str) -> None:
    async with asking(allow_private=True) as pages:
        with pytest.raises(SourceUnavailable):
            await pages.best(hub)


async def test_a_datahub_of_our_own_choice_may_be_anywhere() -> None:
    async with hub_of(_fixed(body=CHAIN[5].to_bytes())) as hub, asking(trusted=[hub]) as pages:
        assert await pages.best(hub) == CHAIN[5].to_bytes()


# what is believed of the way back


class Hub:
    """A DataHub in this process, as honest as its chain; ``page`` headers an answer."""

    def __init__(self, chain: Sequence[BlockHeader], page: int = 1000) -> None:
        self.chain, self.page, self.asked = [each.to_bytes() for each in chain], page, 0
        self.places = {header_hash(each): at for at, each in enumerate(self.chain)}

    async def headers(self, hub: str, block_hash: bytes) -> bytes:
        self.asked += 1
        at = self.places[block_hash]
        return b"".join(reversed(self.chain[max(0, at + 1 - self.page) : at + 1]))


@pytest.mark.parametrize("page", [1000, 7])
async def test_a_branch_is_handed_on_from_what_we_have_to_the_tip(page: int) -> None:
    known = {header_hash(CHAIN[100].to_bytes())}
    branch = await fetch_branch(Hub(CHAIN, page), announcement(CHAIN[-1], 2500), known, Rules.of(MOCK), most=10_000)
    assert branch.size == 2400
    assert branch.expects in known
    first, second, third = branch.next_run(), branch.next_run(), branch.next_run()
    assert len(first) == RUN * 80
    assert third == b""
    assert first + second == raw(CHAIN[101:])
    branch.close()


async def test_a_way_back_that_lies_or_does_not_end_is_refused() -> None:
    known, rules, tip = {header_hash(CHAIN[100].to_bytes())}, Rules.of(MOCK), announcement(CHAIN[-1], 2500, hub="hub")
    swapped = Hub(CHAIN)
    swapped.chain[2000] = swapped.chain[1999]
    idle = Hub(CHAIN)
    easy = replace(rules, pow_limit=rules.pow_limit >> 40)
    cases: list[tuple[Hub, set[bytes], Rules, int, type[SourceError], str]] = [
        (swapped, known, rules, 10_000, SourceLied, "sent another header"),
        (idle, known, easy, 10_000, SourceLied, "does not prove its work"),
        (Hub(CHAIN), {bytes([7] * 32)}, rules, 10_000, SourceLied, "begins with another block"),
        (Hub(CHAIN), known, rules, 1000, SourceUnavailable, "name a DataHub of your own choice"),
    ]
    for hub, have, checked, most, kind, reason in cases:
        with pytest.raises(kind, match=reason) as told:
            await fetch_branch(hub, tip, have, checked, most=most)
        assert told.value.source == "hub"


async def test_a_height_that_contradicts_a_checkpoint_is_its_authors_lie() -> None:
    class Checked:
        pow_limit = MOCK.pow_limit
        checkpoints = {1500: header_hash(CHAIN[1500].to_bytes())}  # noqa: RUF012

    known = {header_hash(CHAIN[100].to_bytes())}
    for height, holds in ((2500, True), (2501, False), (-1, True)):
        hub = Hub(CHAIN)
        source = announcement(CHAIN[-1], height, hub="hub")
        if holds:
            (await fetch_branch(hub, source, known, Checked(), most=10_000)).close()
        else:
            with pytest.raises(SourceLied, match="where a checkpoint stands") as told:
                await fetch_branch(hub, source, known, Checked(), most=10_000)
            assert told.value.source == "author"


# the process


def stand_in(folder: Path, script: str) -> Path:
    """A program in the place of the interpreter that has libp2p."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\nimport json, sys, time\ntask = sys.stdin.readline()\n{script}\n")
    path.chmod(0o755)
    return path


def block_line(header: BlockHeader, height: int, author: str, hub: str = "") -> str:
    line = {"kind": "block", **announcement(header, height, author=author, hub=hub).to_line()}
    return f"print({json.dumps(json.dumps(line))}, flush=True)\n"


STATE = json.dumps({"kind": "state", "connected": ["peer"], "faults": [], "counts": {}})
ON_THE_BUS = f"print({STATE!r}, flush=True)\n"
STAY = "sys.stdin.read()\n"


def bridge_to(folder: Path, script: str) -> BusBridge:
    return BusBridge(BusTask("topic", MOCK.pow_limit, (PEER,)), python=stand_in(folder, script), shortest=0.01)


async def test_a_process_that_cannot_live_is_begun_again_and_says_why(tmp_path: Path) -> None:
    bridge = bridge_to(tmp_path, "sys.exit('no key of 32 bytes')")
    source = TeranodeSource(bridge, Rules.of(MOCK), connect=0.1)
    while bridge.started < 3:
        with pytest.raises(SourceUnavailable, match="no peer is connected"):
            await source.after([bytes(32)], 0)
    assert bridge.fault == "no key of 32 bytes"
    await source.close()


async def test_lines_that_make_no_sense_end_that_life_only(tmp_path: Path) -> None:
    for script in ("print('x' * 200000)", "print('{}')", "print('[]')", "print('no json')"):
        bridge = bridge_to(tmp_path, script)
        bridge.begin()
        async with asyncio.timeout(20):
            while bridge.started < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await bridge.close()


async def test_a_process_that_does_not_end_is_made_to(tmp_path: Path) -> None:
    bridge = bridge_to(tmp_path, ON_THE_BUS + "time.sleep(600)")
    await asyncio.wait_for(bridge.wait(), 20)
    pid = bridge.pid
    assert pid is not None
    await bridge.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_of_many_announcements_the_last_of_each_of_the_last_authors_waits(tmp_path: Path) -> None:
    script = "".join(block_line(CHAIN[at], at, f"author {at % 100}") for at in range(1, 301))
    bridge = bridge_to(tmp_path, script + ON_THE_BUS + STAY)
    bridge.begin()
    async with asyncio.timeout(20):
        while not bridge.connected:
            await bridge.wait()
    found = bridge.take()
    assert len(found) == 64
    assert sorted(each.height for each in found) == list(range(237, 301))
    assert bridge.take() == []
    await bridge.close()


def locator(height: int) -> list[bytes]:
    return [header_hash(CHAIN[each].to_bytes()) for each in (*range(height, 0, -1), 0)]


@asynccontextmanager
async def announced(folder: Path, *lines: str) -> AsyncIterator[TeranodeSource]:
    """A source that has heard of ``lines`` and of its peer."""
    bridge = bridge_to(folder, "".join(lines) + ON_THE_BUS + STAY)
    source = TeranodeSource(bridge, Rules.of(MOCK), pages=DataHubs(allow_private=True), patience=0.1)
    bridge.begin()
    async with asyncio.timeout(20):
        while not bridge.connected:
            await bridge.wait()
    yield source
    await source.close()


async def test_what_follows_our_tip_is_taken_before_anybody_is_asked(tmp_path: Path) -> None:
    async with hub_of(_fixed(status=500)) as hub:
        lines = block_line(CHAIN[20], 20, "far", hub), block_line(CHAIN[11], 11, "near")
        async with announced(tmp_path, *lines) as source:
            assert await source.after(locator(10), 10) == CHAIN[11].to_bytes()
            assert source.giver == "near"
            assert source.claimed == 11
            with pytest.raises(SourceUnavailable, match=r"a block was announced, but .* answered 500"):
                await source.after(locator(11), 11)  # there is more than we have
            assert await source.after(locator(11), 11) == b""  # as far as anybody is left who can be asked


async def test_blocks_that_wait_are_taken_one_after_the_other_whatever_order_they_came_in(tmp_path: Path) -> None:
    lines = [block_line(CHAIN[at], at, f"author {at}") for at in (13, 11, 12)]
    async with announced(tmp_path, *lines) as source:
        for height in (10, 11, 12):
            assert await source.after(locator(height), height) == CHAIN[height + 1].to_bytes()
        assert await source.after(locator(13), 13) == b""


async def test_neither_an_old_block_nor_a_tie_makes_a_confirmed_tip_doubtful(tmp_path: Path) -> None:
    tie = grown(CHAIN[:11], 1, salt="tie")[-1]
    lines = block_line(CHAIN[11], 11, "one"), block_line(CHAIN[9], 9, "two"), block_line(tie, 11, "three")
    async with announced(tmp_path, *lines) as source:
        assert await source.after(locator(11), 11) == tie.to_bytes()  # the chain decides that it changes nothing
        assert await source.after(locator(11), 11) == b""


async def test_a_tip_is_not_confirmed_by_a_bus_that_was_lost_since(tmp_path: Path) -> None:
    bridge = bridge_to(tmp_path, block_line(CHAIN[11], 11, "near") + ON_THE_BUS + STAY)
    source = TeranodeSource(bridge, Rules.of(MOCK), connect=60, patience=0.2)
    known = [header_hash(CHAIN[each].to_bytes()) for each in (11, 10, 0)]
    assert await source.after(known, 11) == b""
    bridge.lost += 1
    with pytest.raises(SourceUnavailable, match="no block was announced yet"):
        await source.after(known, 11)
    await source.close()


async def test_an_author_and_a_datahub_that_fail_are_left_alone(tmp_path: Path) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=500)

    async with hub_of(answer) as hub:
        script = block_line(CHAIN[20], 20, "one", hub) + ON_THE_BUS + block_line(CHAIN[21], 21, "two", hub) + STAY
        source = TeranodeSource(bridge_to(tmp_path, script), Rules.of(MOCK), pages=DataHubs(allow_private=True))
        faults = []
        for _ in range(2):
            with pytest.raises(SourceError) as told:
                await source.after([header_hash(CHAIN[0].to_bytes())], 0)
            faults.append(str(told.value))
            if "left alone" in faults[-1]:
                break
        assert "is left alone for a while" in faults[-1]
        assert len(asked) == 1
        await source.close()


# how it is opened


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("", "no peer of mock is named"),
        ("bus.example:9905", "is no peer"),
        ("/ip4/1.2.3.4/udp/9905/quic-v1/p2p/Qm1", "is no peer"),
        ("https://hub.example/api/v1", "no peer of mock is named"),
    ],
)
def test_a_location_that_names_no_peer_is_refused(location: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        open_sources((f"teranode:{location}",), SourceContext(MOCK))


def test_without_libp2p_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"pip install 'sdk-chaintracks\[teranode\]'"):
        TeranodeSource.open(PEER, SourceContext(MOCK))


async def test_peers_and_hubs_of_the_network_come_from_settings_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDK_TERANODE_PEERS", json.dumps({"mock": [PEER], "main": ["wrong"]}))
    monkeypatch.setenv("SDK_TERANODE_PYTHON", sys.executable)
    (source,) = open_sources(("teranode",), SourceContext(MOCK))
    assert source.name == "teranode"
    await source.close()
    with pytest.raises(ConfigurationError, match="'wrong' is no peer"):
        open_sources(("teranode",), SourceContext(MAIN))


def test_nothing_of_it_is_imported_unless_it_is_configured() -> None:
    code = (
        "import sys; from sdk.chaintracks.sources.opening import *; from sdk.core.chain import MOCK;"
        "open_sources(('p2p:127.0.0.1:1',), SourceContext(MOCK));"
        "assert not [each for each in sys.modules if 'teranode' in each or each in ('libp2p', 'trio')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_empty_branch_has_no_run() -> None:
    branch = Branch(announcement(CHAIN[1], 1))
    assert branch.next_run() == b""
    branch.close()
