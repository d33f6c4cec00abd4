"""Nodes of the Bitcoin network as a source, over real sockets."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.run_follower import locator_of
from sdk.chaintracks.sources.p2p import PeerSource
from sdk.chaintracks.sources.p2p.messages import frame, headers
from sdk.chaintracks.sources.p2p.peer import PeerTimes
from sdk.chaintracks.sources.p2p.seeds import parse_address, resolve
from sdk.core.chain import MAIN, MOCK, TERATEST
from sdk.core.errors import ConfigurationError
from sdk.service.database import Database
from support.header_rig import GENESIS, grown, mined, raw
from support.peer_node import PeerNode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from sdk.core.header import BlockHeader

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUICK = PeerTimes(connect=5, handshake=0.3, answer=0.3, silence=30)
LONG = grown([GENESIS], 4100)


@asynccontextmanager
async def following(
    folder: Path, *nodes: PeerNode, times: PeerTimes = QUICK, want: int = 3, **options: Any
) -> AsyncIterator[tuple[Chaintracks, PeerSource]]:
    """A service that has these nodes alone, each served on a real socket."""
    async with AsyncExitStack() as stack:
        addresses = [(await stack.enter_async_context(node.served())).address for node in nodes]
        source = PeerSource(MOCK, addresses, times=times, want=want, clock=lambda: NOW)
        database = await stack.enter_async_context(await Database.open(f"sqlite:///{folder}/headers.sqlite"))
        tracks = await Chaintracks.open("mock", database, [source], clock=lambda: NOW, **options)
        stack.push_async_callback(tracks.stop)
        yield tracks, source


def node_of(chain: list[BlockHeader], **options: Any) -> PeerNode:
    return PeerNode([each.to_bytes() for each in chain], **options)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it waits for real sockets
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    "order", [("version", "verack"), ("verack", "version"), ("ping", "verack", "sendcmpct", "version", "protoconf")]
)
async def test_the_handshake_may_come_in_any_order(tmp_path: Path, order: tuple[str, ...]) -> None:
    async with following(tmp_path, node_of(LONG[:31], order=order)) as (tracks, _):
        await tracks.sync()
        assert tracks.chain.tip.height == 30
        assert await tracks.why_not_current() is None


async def test_more_headers_than_one_message_holds(tmp_path: Path) -> None:
    node = node_of(LONG)
    async with following(tmp_path, node) as (tracks, _):
        await tracks.sync()
        assert await tracks.chain.headers(0, 5000) == raw(LONG)
        assert node.asked == 3  # 2000, 2000 and 100


async def test_r80_a_node_may_reorganise_at_any_depth(tmp_path: Path) -> None:
    node = node_of(LONG[:60])
    async with following(tmp_path, node) as (tracks, _):
        await tracks.sync()
        for depth in (1, 7, 30, 59):
            height = tracks.chain.tip.height
            branch = grown(
                [_header(each) for each in node.chain[: len(node.chain) - depth]], depth + 1, salt=f"{depth}"
            )
            node.set_chain(branch)
            await tracks.sync()
            assert tracks.chain.tip.height == height + 1
            assert await tracks.chain.headers(0, 1000) == raw(branch)


async def test_a_branch_longer_than_a_message_is_taken_whole(tmp_path: Path) -> None:
    node = node_of(LONG[:2500])
    async with following(tmp_path, node) as (tracks, _):
        await tracks.sync()
        branch = grown(LONG[:10], 2600, salt="other")
        node.set_chain(branch)
        await tracks.sync()
        assert await tracks.chain.headers(0, 5000) == raw(branch)


async def test_r80_a_node_with_less_work_moves_nothing(tmp_path: Path) -> None:
    node = node_of(LONG[:30])
    async with following(tmp_path, node) as (tracks, _):
        await tracks.sync()
        node.set_chain(grown(LONG[:10], 15, salt="weak"))
        node.claims = 0
        await tracks.sync()
        await tracks.sync()
        assert tracks.chain.tip.height == 29
        assert await tracks.chain.headers(0, 100) == raw(LONG[:30])


@pytest.mark.parametrize("as_headers", [True, False])
async def test_an_announced_block_is_fetched_at_once(tmp_path: Path, as_headers: bool) -> None:
    node = node_of(LONG[:10])
    async with following(tmp_path, node, interval=3600.0) as (tracks, _):
        await tracks.start()
        await until(lambda: tracks.chain.tip.height == 9)
        for height in (10, 11, 14):
            node.set_chain(LONG[: height + 1])
            await node.announce(as_headers=as_headers)
            await until(lambda height=height: tracks.chain.tip.height == height)  # type: ignore[misc]


async def test_a_ping_is_answered_with_its_own_bytes(tmp_path: Path) -> None:
    node = node_of(LONG[:3])
    async with following(tmp_path, node) as (tracks, _):
        await tracks.sync()
        await node.send("ping", b"12345678")
        await until(lambda: node.pongs == [b"12345678"])


def _easier(chain: list[BlockHeader]) -> list[BlockHeader]:
    """A header that claims another difficulty than the network's rules."""
    return [*chain, mined(chain[-1], bits=0x2000FFFF)]


BAD_ANSWERS = {
    "other difficulty": lambda: headers(raw(_easier(LONG[:5]))[80:]),
    "no proof of work": lambda: headers(_without_work(LONG[1])),
    "not in order": lambda: headers(raw([LONG[1], LONG[3]])),
    "nothing we know": lambda: headers(raw(LONG[7:9])),
    "more than 2000": lambda: b"\xfd\xd1\x07" + bytes(81 * 2001),
    "torn": lambda: b"\x02" + bytes(100),
    "with transactions": lambda: b"\x01" + LONG[1].to_bytes() + b"\x05",
}


def _without_work(header: BlockHeader) -> bytes:
    while header.meets_target():
        header = replace(header, nonce=header.nonce + 1)
    return header.to_bytes()


def _header(data: bytes) -> BlockHeader:
    return type(GENESIS).from_bytes(data)


@pytest.mark.parametrize("kind", BAD_ANSWERS)
async def test_a_node_that_lies_is_left_for_one_that_does_not(tmp_path: Path, kind: str) -> None:
    liar = node_of(LONG[:40], raw_answer=BAD_ANSWERS[kind]())
    honest = node_of(LONG[:40])
    async with following(tmp_path, liar, honest) as (tracks, source):
        await tracks.sync()
        await tracks.sync()
        assert await tracks.chain.headers(0, 100) == raw(LONG[:40])
        assert source.peers == [f"127.0.0.1:{honest.port}"]
        assert await tracks.why_not_current() is None


@pytest.mark.parametrize("kind", BAD_ANSWERS)
async def test_lies_alone_move_no_tip_and_are_said(tmp_path: Path, kind: str) -> None:
    liar = node_of(LONG[:40], raw_answer=BAD_ANSWERS[kind]())
    async with following(tmp_path, liar) as (tracks, _):
        await tracks.sync()
        assert tracks.chain.tip.height == 0
        assert "not synchronised" in str(await tracks.why_not_current())
        asked = liar.asked
        await tracks.sync()  # a node that lied is not asked again
        assert liar.asked == asked


async def test_the_node_that_lied_is_left_and_not_the_one_that_went_on(tmp_path: Path) -> None:
    """It has hung up before what it sent was looked at."""
    forged = grown([*LONG[:2500], mined(LONG[2499], spacing=-1_000_000)], 3600)
    liar, honest = PeerNode(), PeerNode()
    liar.set_chain(forged)
    honest.set_chain(LONG)

    class HangsUp(PeerNode):
        def _answer(self, payload: bytes) -> bytes:
            if self.asked > 2:
                self.hang_up()
            return super()._answer(payload)

    liar = HangsUp(chain=liar.chain)
    async with following(tmp_path, liar, honest) as (tracks, source):
        await tracks.sync()
        assert await tracks.chain.headers(0, 5000) == raw(LONG)
        assert honest.connections == 1
        until, reason = source._resting[liar.address]
        assert "time-too-old" in reason
        assert until - source._monotonic() > 3600  # for a day
        assert honest.address not in source._resting


async def test_a_stalled_node_is_left_for_another(tmp_path: Path) -> None:
    stalled, honest = node_of(LONG[:40], silent=True), node_of(LONG[:40])
    async with following(tmp_path, stalled, honest) as (tracks, source):
        await tracks.sync()
        assert tracks.chain.tip.height == 39
        assert source.peers == [f"127.0.0.1:{honest.port}"]


async def test_a_node_that_withholds_what_it_claims_to_have_confirms_nothing(tmp_path: Path) -> None:
    withholding = node_of(LONG[:1], claims=900)
    async with following(tmp_path, withholding) as (tracks, _):
        await tracks.sync()
        assert "claims height 900" in str(await tracks.why_not_current())


async def test_the_node_with_more_is_heard_beside_one_that_is_stuck(tmp_path: Path) -> None:
    stuck, ahead = node_of(LONG[:20]), node_of(LONG[:20])
    async with following(tmp_path, stuck, ahead) as (tracks, _):
        await tracks.sync()
        ahead.set_chain(LONG[:35])
        await tracks.sync()
        assert tracks.chain.tip.height == 34


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mirror": True}, "this very program"),
        ({"agent": "/Bitcoin ABC:0.32.0/"}, "another chain"),
        ({"agent": "/bchd:0.1/"}, "another chain"),
        ({"version": 209}, "too old"),
        ({"order": ("version",)}, "handshake in time"),
        ({"order": ()}, "handshake in time"),
        ({"magic": MAIN.magic}, "hung up"),
    ],
)
async def test_who_is_no_node_of_this_network_is_set_aside(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    async with following(tmp_path, node_of(LONG[:5], **options)) as (tracks, source):
        await tracks.sync()
        assert tracks.chain.tip.height == 0
        assert source.peers == []
        assert said in str(await tracks.why_not_current())


async def test_a_flood_of_messages_nobody_asked_for_ends_the_connection(tmp_path: Path) -> None:
    node = node_of(LONG[:5])
    async with following(tmp_path, node) as (tracks, source):
        await tracks.sync()
        for _ in range(300):
            await node.send("alert", b"x" * 100)
        await until(lambda: source.peers == [])


async def test_an_oversized_message_ends_the_connection_before_it_is_read(tmp_path: Path) -> None:
    node = node_of(LONG[:5])
    async with following(tmp_path, node) as (tracks, source):
        await tracks.sync()
        for writer in node.writers:
            writer.write(frame(MOCK.magic, "block")[:16] + b"\xff\xff\xff\x7f" + bytes(4))
        await until(lambda: source.peers == [])


async def test_a_lost_node_is_dialled_again_after_its_rest(tmp_path: Path) -> None:
    node = node_of(LONG[:5])
    time = 0.0
    async with AsyncExitStack() as stack:
        address = (await stack.enter_async_context(node.served())).address
        source = PeerSource(MOCK, [address], times=QUICK, clock=lambda: NOW, monotonic=lambda: time)
        stack.push_async_callback(source.close)
        locator = [bytes.fromhex(GENESIS.hash())[::-1]]
        assert await source.after(locator, 0) == raw(LONG[1:5])
        node.hang_up()
        await until(lambda: source.peers == [])
        with pytest.raises(Exception, match="no node answers"):
            await source.after(locator, 0)
        time = 61.0
        assert await source.after(locator, 0) == raw(LONG[1:5])
        assert node.connections == 2


async def test_an_unreachable_network_is_said_and_not_asked_for_ever(tmp_path: Path) -> None:
    async def seeds(_: object) -> list[tuple[str, int]]:
        return [("127.0.0.1", 1)] * 1 + [("127.0.0.2", 1), ("127.0.0.3", 1)]

    source = PeerSource(MAIN, times=QUICK, clock=lambda: NOW, seeds=seeds)
    with pytest.raises(Exception, match=r"127.0.0.1:1: cannot be reached"):
        await source.after([bytes(32)], 0)
    await source.close()


def test_networks_that_cannot_be_reached_are_refused_in_plain_words() -> None:
    with pytest.raises(ConfigurationError, match="magic is not known"):
        PeerSource(TERATEST, [("127.0.0.1", 1)])
    with pytest.raises(ConfigurationError, match="has no seeds"):
        PeerSource(MOCK)


def test_addresses_are_read_or_refused() -> None:
    assert parse_address("node.example", 8333) == ("node.example", 8333)
    assert parse_address("10.0.0.1:18444", 8333) == ("10.0.0.1", 18444)
    assert parse_address("[::1]:9", 8333) == ("::1", 9)
    assert parse_address("::1", 8333) == ("::1", 8333)
    for bad in ("", ":80", "host:", "host:0", "host:65536", "host:x", "host:²"):
        with pytest.raises(ConfigurationError, match="no address"):
            parse_address(bad, 8333)


async def test_seeds_that_do_not_answer_are_passed_over() -> None:
    odd = replace(MAIN, dns_seeds=("seed.invalid", "127.0.0.1"))
    assert await resolve(odd) == [("127.0.0.1", 8333)]


async def test_a_locator_goes_back_in_doubling_steps(tmp_path: Path) -> None:
    async with following(tmp_path, node_of(LONG)) as (tracks, _):
        await tracks.sync()
        locator = await locator_of(tracks.chain)
    heights = {bytes.fromhex(each.hash())[::-1]: height for height, each in enumerate(LONG)}
    found = [heights[each] for each in locator]
    assert found[:12] == [4100, 4099, 4098, 4097, 4096, 4095, 4094, 4093, 4092, 4091, 4090, 4088]
    assert found[-1] == 0
    assert len(found) < 10 + 13


def test_the_entropy_of_nonces_is_the_systems() -> None:
    assert PeerSource(MOCK, [("127.0.0.1", 1)])._entropy is os.urandom
