"""Nodes of the Bitcoin network as a source, over real sockets."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sdk.chaintracks.chain import HeaderChain
from sdk.chaintracks.consensus import Rules
from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.run_follower import locator_of
from sdk.chaintracks.sources.p2p import PeerSource
from sdk.chaintracks.sources.p2p.messages import frame, headers, parse_get_headers
from sdk.chaintracks.sources.p2p.peer import PeerTimes
from sdk.chaintracks.sources.p2p.seeds import parse_address, resolve, spread
from sdk.chaintracks.store.migrations import MIGRATIONS
from sdk.chaintracks.store.opening import sql_store
from sdk.core.chain import MAIN, MOCK, TERATEST
from sdk.core.errors import ConfigurationError
from sdk.service.database import Database
from sdk.service.migrations import upgrade
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
        assert node.asked == 4  # 2000, 2000, 100, and there is no more


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
    assert await resolve(odd) == []  # and one that names hosts of our own network is not followed there
    odd = replace(MAIN, dns_seeds=("1.1.1.1", "10.0.0.1", "169.254.169.254", "::1", "8.8.8.8", "1.1.1.1"))
    assert await resolve(odd) == [("1.1.1.1", 8333), ("8.8.8.8", 8333)]


def test_nodes_of_one_neighbourhood_come_one_by_one() -> None:
    hosts = ["7.7.0.1", "7.7.1.1", "7.7.2.1", "8.8.1.1", "2001:db8::1", "8.8.2.1", "2001:db8::2", "9.9.9.9"]
    found = [host for host, _ in spread([(host, 8333) for host in hosts])]
    assert found == ["7.7.0.1", "8.8.1.1", "2001:db8::1", "9.9.9.9", "7.7.1.1", "8.8.2.1", "2001:db8::2", "7.7.2.1"]


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


# hostile nodes


class Hostile(PeerNode):
    """Answers each getheaders with what ``script`` gives for the locator's hashes; None hangs up."""

    script: Callable[[list[bytes]], bytes | None]

    def _answer(self, payload: bytes) -> bytes:
        locator, _ = parse_get_headers(payload)
        found = self.script(locator)
        if found is None:
            self.hang_up()
            return headers(b"")
        return headers(found)


def hostile(script: Callable[[list[bytes]], bytes | None], **options: Any) -> Hostile:
    node = Hostile(**options)
    node.script = script
    return node


async def test_a_node_that_sends_what_is_known_for_ever_is_left(tmp_path: Path) -> None:
    """From the first block to the tip, again and again: no progress, so not asked for ever."""
    heights = {bytes.fromhex(each.hash())[::-1]: height for height, each in enumerate(LONG)}

    def round_and_round(locator: list[bytes]) -> bytes:
        after = heights[locator[0]] % 4100 + 1
        return raw(LONG[after : after + 2000])

    node = hostile(round_and_round)
    async with following(tmp_path, node_of(LONG), want=1) as (tracks, _):
        await tracks.sync()
    async with following(tmp_path, node, want=1) as (tracks, source):
        await tracks.sync()
        assert tracks.chain.tip.height == 4100
        assert node.asked < 60
        assert "known already" in source._resting[node.address][1]


@pytest.mark.parametrize("claims", [0, 4100])
async def test_a_node_that_sends_headers_one_by_one_slows_nobody_down(tmp_path: Path, claims: int) -> None:
    heights = {bytes.fromhex(each.hash())[::-1]: height for height, each in enumerate(LONG)}

    def one(locator: list[bytes]) -> bytes:
        height = next(heights[each] for each in locator if each in heights)
        return raw(LONG[height + 1 : height + 2])

    slow, honest = hostile(one, claims=claims), node_of(LONG)
    async with following(tmp_path, slow, honest, want=2) as (tracks, source):
        await tracks.sync()
        assert tracks.chain.tip.height == 4100
        assert slow.asked < 10
        assert honest.asked < 10
        assert not source._resting


async def test_blocks_that_come_one_by_one_are_no_fault(tmp_path: Path) -> None:
    node = node_of(LONG[:2])
    async with following(tmp_path, node) as (tracks, source):
        await tracks.start()
        for height in range(2, 60):
            node.chain.append(LONG[height].to_bytes())
            await node.announce()
            await until(lambda height=height: tracks.chain.tip.height == height)  # type: ignore[misc]
        assert not source._resting
        assert node.connections == 1


async def test_easy_branches_below_a_checkpoint_cost_a_node_its_place(tmp_path: Path) -> None:
    rules = replace(Rules.of(MOCK), checkpoints={4000: bytes.fromhex(LONG[4000].hash())[::-1]})
    flood = grown(LONG[:3000], 2200, salt="flood")  # longer, and easy
    places = {bytes.fromhex(each.hash())[::-1]: at for at, each in enumerate(flood)}

    def follow(locator: list[bytes]) -> bytes:
        at = next((places[each] for each in locator if each in places), 0) + 1
        return raw(flood[at : at + 2000])

    attacker = hostile(follow, claims=5200)
    async with await Database.open(f"sqlite:///{tmp_path}/h.sqlite") as database:
        await upgrade(database, [MIGRATIONS])
        chain = await HeaderChain.open(rules, sql_store(database), clock=lambda: NOW)
        await chain.extend(raw(LONG[1:]))
        async with attacker.served():
            source = PeerSource(MOCK, [attacker.address], times=QUICK)
            tracks = Chaintracks(chain, [source])
            await tracks.sync()
            assert "bad-fork-prior-to-checkpoint" in source._resting[attacker.address][1]
            assert await chain.headers(0, 9000) == raw(LONG)
            assert chain.tree.side == 0
            await tracks.stop()


async def test_a_flood_of_side_branches_takes_bounded_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdk.chaintracks.chain.MAX_SIDE", 50)
    trunk = LONG[:200]
    branches = [raw(grown(trunk[: 150 + at % 40], 5, salt=f"{at}")[150 + at % 40 :]) for at in range(60)]
    node = hostile(lambda _: branches[node.asked] if node.asked < len(branches) else b"", claims=0)
    async with following(tmp_path, node) as (tracks, _):
        await tracks.chain.extend(raw(trunk[1:]))
        for _ in range(30):
            await tracks.sync()
        assert tracks.chain.tip.height == 199
        assert tracks.chain.tree.side <= 50
        assert await tracks.chain.headers(0, 1000) == raw(trunk)


async def test_a_handshake_that_never_ends_is_ended(tmp_path: Path) -> None:
    node = node_of(LONG[:5], order=("ping",) * 150 + ("version", "verack"))
    async with following(tmp_path, node, times=replace_times(handshake=20)) as (tracks, source):
        await tracks.sync()
        assert "had not shaken hands" in source._resting[node.address][1]


def replace_times(**changes: float) -> PeerTimes:
    return PeerTimes(**{"connect": 5, "handshake": 0.3, "answer": 0.3, "silence": 30, **changes})


async def test_a_message_that_drips_in_is_not_waited_for(tmp_path: Path) -> None:
    """A frame that is begun has the time of one answer."""
    node = node_of(LONG[:5], silent=True)
    async with following(tmp_path, node) as (tracks, source):
        asking = asyncio.create_task(tracks.sync())
        await until(lambda: bool(node.asked))
        for writer in node.writers:
            writer.write(frame(node.magic, "headers", headers(raw(LONG[1:5])))[:40])
        async with asyncio.timeout(5):
            await asking
        assert source._resting[node.address][1]
        assert tracks.chain.tip.height == 0


@pytest.mark.parametrize("seed", range(12))
async def test_random_bytes_at_any_point_are_an_error_of_the_node_and_nothing_else(
    tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    random = Random(seed)
    node = node_of(LONG[:40])
    async with following(tmp_path, node, times=replace_times(handshake=1, answer=1)) as (tracks, _):
        await tracks.sync()
        assert tracks.chain.tip.height == 39
        for _ in range(5):
            command = random.choice(("headers", "inv", "ping", "version", "verack", "addr", "reject", "\x7f"))
            payload = random.randbytes(random.choice((0, 1, 8, 81, 82, 5000)))
            whole = frame(node.magic, command, payload)
            if random.random() < 0.3:
                whole = random.randbytes(random.randrange(1, 60))
            for writer in node.writers:
                writer.write(whole)
            await tracks.sync()
        assert tracks.chain.tip.height == 39
        assert "unexpected" not in caplog.text
