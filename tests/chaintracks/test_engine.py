"""The service follows sources over real sockets into a real database."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from sdk.chaintracks.chain import HeaderChain
from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.errors import InvalidHeader, StoreCorrupted, UnknownParent
from sdk.chaintracks.sources.whatsonchain import WhatsOnChainSource
from sdk.chaintracks.store.opening import sql_store
from sdk.chaintracks.store.sql import SqlLive
from sdk.core.errors import ConfigurationError, StorageUnavailable
from sdk.service.database import Database
from sdk.service.http_client import HttpClient, HttpPolicy
from support.header_rig import GENESIS, HeaderNetwork, as_woc, grown, mined, raw

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sdk.chaintracks.events import TipEvent

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def plain_source(url: str) -> WhatsOnChainSource:
    """Without second attempts, so that no test waits."""
    policy = HttpPolicy(attempts=1, breaker_threshold=1000)
    return WhatsOnChainSource(url, name=url, http=HttpClient(url, service=url, policy=policy))


def sql_of(tracks: Chaintracks) -> Database:
    live = tracks.chain.store.live
    assert isinstance(live, SqlLive)
    return live.database


@asynccontextmanager
async def service(folder: Path, *urls: str, **options: Any) -> AsyncIterator[Chaintracks]:
    async with await Database.open(f"sqlite:///{folder}/headers.sqlite") as database:
        sources = [plain_source(url) for url in urls]
        found = await Chaintracks.open("mock", database, sources, clock=lambda: NOW, **options)
        try:
            yield found
        finally:
            await found.stop()


async def test_follows_a_source_from_genesis_and_then_block_by_block(tmp_path: Path) -> None:
    network = HeaderNetwork()
    network.mine(25)
    async with network.served() as url, service(tmp_path, url) as tracks:
        assert "not synchronised" in str(await tracks.why_not_current())
        await tracks.sync()
        assert await tracks.why_not_current() is None
        assert await tracks.chain.headers(0, 100) == raw(network.chain)
        network.mine(3)
        await tracks.sync()
        assert tracks.chain.tip.height == 28
        network.asked.clear()
        await tracks.sync()
        assert network.asked == ["/chain/info"]  # nothing new costs one request


async def test_r80_reorganises_at_any_depth_and_tells_what_was_removed_and_added(tmp_path: Path) -> None:
    network = HeaderNetwork()
    network.mine(40)
    changes: list[TipEvent] = []
    async with network.served() as url, service(tmp_path, url) as tracks:
        await tracks.sync()
        tracks.chain.listeners.append(changes.append)
        for depth in (1, 5, 17, 40):
            before = network.chain
            network.reorganise(depth, depth + 1, salt=f"fork {depth}")
            await tracks.sync()
            assert await tracks.chain.headers(0, 1000) == raw(network.chain)
            change = changes.pop()
            removed = [node.raw for node in change.removed]
            assert removed == [each.to_bytes() for each in reversed(before[len(before) - depth :])]
            assert [node.raw for node in change.added] == [
                each.to_bytes() for each in network.chain[-len(change.added) :]
            ]
        assert changes == []


async def test_r80_a_branch_of_equal_work_does_not_move_the_tip(tmp_path: Path) -> None:
    network = HeaderNetwork()
    network.mine(10)
    async with network.served() as url, service(tmp_path, url) as tracks:
        await tracks.sync()
        first = network.chain
        network.reorganise(2, 2)
        await tracks.sync()
        assert await tracks.chain.headers(0, 100) == raw(first)
        network.mine(1)
        await tracks.sync()
        assert await tracks.chain.headers(0, 100) == raw(network.chain)


async def test_a_restart_goes_on_where_it_was(tmp_path: Path) -> None:
    network = HeaderNetwork()
    network.mine(30)
    async with network.served() as url:
        async with service(tmp_path, url) as tracks:
            await tracks.sync()
            network.reorganise(3, 5)
            await tracks.sync()
            tip = tracks.chain.tip
        network.asked.clear()
        async with service(tmp_path, url) as tracks:
            assert (tracks.chain.tip.hash, tracks.chain.tip.work) == (tip.hash, tip.work)
            assert await tracks.chain.headers(0, 100) == raw(network.chain)
            await tracks.sync()
            assert network.asked == ["/chain/info"]
            assert await tracks.chain.find(bytes.fromhex(network.chain[7].hash())[::-1]) == (
                7,
                network.chain[7].to_bytes(),
            )


async def test_headers_below_memory_are_served_and_reorganised_from_the_store(tmp_path: Path) -> None:
    first = grown([GENESIS], 700)
    second = grown(first[:101], 605, salt="deep")
    async with await Database.open(f"sqlite:///{tmp_path}/headers.sqlite") as database:
        await (await Chaintracks.open("mock", database, [])).stop()
        chain = await HeaderChain.open("mock", sql_store(database), clock=lambda: NOW, keep=20)
        await chain.extend(raw(first[1:]))
        assert chain.tree.root.height == 680
        assert await chain.headers(0, 1000) == raw(first)
        assert await chain.headers(675, 10) == raw(first[675:685])
        assert await chain.header_at(3) == first[3].to_bytes()
        assert await chain.header_at(701) is None
        with pytest.raises(UnknownParent):
            await chain.extend(raw(second[101:]), anywhere=False)
        change = await chain.extend(raw(second[101:]))
        assert change is not None
        assert change.depth == 600
        assert await chain.headers(0, 1000) == raw(second)
        again = await HeaderChain.open("mock", sql_store(database), clock=lambda: NOW, keep=20)
        assert again.tip.hash == chain.tip.hash
        assert again.tip.work == 2 * 706


@pytest.mark.parametrize("keep", [20, 2000])
async def test_no_fork_below_a_checkpoint_that_is_held(tmp_path: Path, keep: int) -> None:
    chain = grown([GENESIS], 600)
    async with service(tmp_path) as tracks:
        database = sql_of(tracks)
        opened = await HeaderChain.open("mock", sql_store(database), clock=lambda: NOW, keep=keep)
        opened.rules = replace(opened.rules, checkpoints={50: bytes.fromhex(chain[50].hash())[::-1]})
        await opened.extend(raw(chain[1:]))
        with pytest.raises(InvalidHeader, match="bad-fork-prior-to-checkpoint") as caught:
            await opened.extend(raw(grown(chain[:40], 700, salt="x")[40:]))
        assert caught.value.height == 40
        assert opened.tip.height == 600
        assert opened.tree.root.height == (580 if keep == 20 else 0)
        await opened.extend(raw(grown(chain[:51], 700, salt="y")[51:]))
        assert opened.tip.height == 750


@pytest.mark.parametrize("fault", ["bits", "root", "height", "nonsense", "list", "work", "foreign"])
async def test_a_source_that_lies_never_moves_the_tip_nor_ends_the_loop(tmp_path: Path, fault: str) -> None:
    honest, liar = HeaderNetwork(), HeaderNetwork()
    honest.mine(5)
    liar.chain = grown(honest.chain, 1)
    bad = mined(liar.chain[-1], bits=0x207FFFFE) if fault == "bits" else mined(liar.chain[-1])
    liar.chain.append(bad)
    answer = as_woc(bad, 7)
    if fault == "root":
        answer["merkleroot"] = "00" * 32
    if fault == "height":
        answer["height"] = 3
    if fault == "work":
        bad = mined(liar.chain[-2])
        answer = {**as_woc(bad, 7), "nonce": bad.nonce + 1}
    if fault == "nonsense":
        answer = {"hash": 7}
    if fault == "foreign":
        liar.chain = grown([mined(GENESIS, previous_hash="00" * 32)], 9)
    elif fault != "bits":
        liar.odd = {"/block/7/header": answer, "/block/headers": [answer] if fault != "list" else {"no": "list"}}
    async with honest.served() as url, liar.served() as other, service(tmp_path, url) as tracks:
        await tracks.sync()
        tip = tracks.chain.tip
        async with service(tmp_path, other, interval=10, max_backoff=300) as fooled:
            (follower,) = fooled.followers
            lied = fault in ("bits", "foreign")
            waits = [3600] * 7 if lied else [20, 40, 80, 160, 300, 300, 300]
            assert [await follower.step() for _ in range(7)] == waits
            (status,) = fooled.sources_status()
            assert status.state == ("quarantined" if lied else "backing_off")
            assert (status.last_error, status.last_seen) == (follower.last_error, None)
            assert fooled.chain.tip.hash == tip.hash
            assert follower.failures == 7
            assert status.name == other
            assert other not in str(follower.last_error)  # its name stands beside it
            assert "not synchronised" in str(await fooled.why_not_current())
            liar.odd, liar.chain = {}, grown(honest.chain, 3)
            assert await follower.step() == 10
            assert fooled.chain.tip.height == 8


async def test_one_source_that_fails_leaves_the_others_alone(tmp_path: Path) -> None:
    good, bad = HeaderNetwork(failing=False), HeaderNetwork(failing=True)
    good.mine(4)
    async with good.served() as url, bad.served() as other, service(tmp_path, other, url) as tracks:
        await tracks.sync()
        assert tracks.chain.tip.height == 4
        assert await tracks.why_not_current() is None
        assert [each.failures for each in tracks.followers] == [1, 0]


async def test_is_not_current_when_no_source_confirms_the_tip_for_long(tmp_path: Path) -> None:
    network, seconds = HeaderNetwork(), [0.0]
    async with network.served() as url, await Database.open(f"sqlite:///{tmp_path}/headers.sqlite") as database:
        opened = await Chaintracks.open("mock", database, [])
        tracks = Chaintracks(opened.chain, [plain_source(url)], stale_after=60, monotonic=lambda: seconds[0])
        await tracks.sync()
        network.failing = True
        seconds[0] = 59
        await tracks.sync()
        assert await tracks.why_not_current() is None
        seconds[0] = 61
        assert await tracks.why_not_current() == "no source has confirmed the tip for 61 s"
        await tracks.stop()


async def test_a_header_from_the_future_waits_and_those_before_it_do_not(tmp_path: Path) -> None:
    chain = grown([GENESIS], 3)
    late = mined(chain[-1], time=int((NOW + timedelta(hours=2, seconds=1)).timestamp()))
    async with service(tmp_path) as tracks:
        await tracks.chain.extend(raw([*chain[1:], late]))
        assert tracks.chain.tip.height == 3
        with pytest.raises(InvalidHeader, match="time-too-new") as caught:
            await tracks.chain.extend(raw([late]))
        assert caught.value.temporary
        assert tracks.chain.tip.height == 3


async def test_what_the_store_refuses_is_not_shown_and_may_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = grown([GENESIS], 6)
    async with service(tmp_path) as tracks:
        await tracks.chain.extend(raw(chain[1:4]))
        real = tracks.chain.store.live.apply

        async def full(*_: object, **__: object) -> None:
            raise StorageUnavailable("no space left")

        async def cut_off(*args: Any, **options: Any) -> None:
            await real(*args, **options)
            raise asyncio.CancelledError

        monkeypatch.setattr(tracks.chain.store.live, "apply", full)
        with pytest.raises(StorageUnavailable):
            await tracks.chain.extend(raw(chain[4:]))
        assert tracks.chain.tip.height == 3
        monkeypatch.setattr(tracks.chain.store.live, "apply", cut_off)
        with pytest.raises(asyncio.CancelledError):
            await tracks.chain.extend(raw(chain[4:6]))
        monkeypatch.setattr(tracks.chain.store.live, "apply", real)
        await tracks.chain.extend(raw(chain[4:]))
        assert await tracks.chain.headers(0, 10) == raw(chain)
    async with service(tmp_path) as tracks:
        assert await tracks.chain.headers(0, 10) == raw(chain)


async def test_two_writers_of_one_database_never_make_two_chains(tmp_path: Path) -> None:
    trunk = grown([GENESIS], 5)
    left, right = grown(trunk, 3, salt="left"), grown(trunk, 5, salt="right")
    async with service(tmp_path) as one, service(tmp_path) as other:
        await one.chain.extend(raw(trunk[1:]))
        assert await other.chain.extend(raw(trunk[1:])) is None  # it finds that it was overtaken, and reads again
        assert await other.chain.headers(0, 100) == raw(trunk)
        await one.chain.extend(raw(left[6:]))
        event = await other.chain.extend(raw(right[6:]))
        assert event is not None
        assert event.depth == 3, "it has compared with what the other wrote"
        assert await other.chain.headers(0, 100) == raw(right)
        assert await one.chain.extend(raw([mined(left[-1])])) is None  # longer only than what it knew
        assert await one.chain.headers(0, 100) == raw(right)
    async with service(tmp_path) as tracks:
        assert await tracks.chain.headers(0, 100) == raw(right)


async def test_a_listener_that_fails_stops_nothing(tmp_path: Path) -> None:
    heard: list[int] = []
    async with service(tmp_path) as tracks:
        tracks.chain.listeners.extend([lambda _: 1 / 0, lambda change: heard.append(change.tip.height)])  # type: ignore[list-item]
        await tracks.chain.extend(raw(grown([GENESIS], 2)[1:]))
    assert heard == [2]


async def test_a_store_of_another_network_or_with_damage_is_refused(tmp_path: Path) -> None:
    async with service(tmp_path) as tracks:
        await tracks.chain.extend(raw(grown([GENESIS], 5)[1:]))
        database = sql_of(tracks)
        with pytest.raises(StoreCorrupted, match="holds headers of mock, not of main"):
            await HeaderChain.open("main", sql_store(database), clock=lambda: NOW)
        held = await sql_store(database).live.state()
        with pytest.raises(StoreCorrupted, match="holds headers of mock, not of main"):
            await Chaintracks.open("main", database, [], store=f"files:{tmp_path / 'of-main'}")
        assert await sql_store(database).live.state() == held
        with pytest.raises(ConfigurationError, match="no network is named"):
            await HeaderChain.open("nowhere", sql_store(database), clock=lambda: NOW)
        await database.write(
            lambda unit: unit.connection.exec_driver_sql(
                "UPDATE chaintracks_headers SET raw = zeroblob(80) WHERE height = 3"
            )
        )
        with pytest.raises(StoreCorrupted, match="height 3"):
            await HeaderChain.open("mock", sql_store(database), clock=lambda: NOW)


async def test_the_loop_follows_by_itself_and_stops(tmp_path: Path) -> None:
    network, heights = HeaderNetwork(), asyncio.Queue[int]()
    async with network.served() as url, service(tmp_path, url, interval=0.01) as tracks:
        tracks.chain.listeners.append(lambda change: heights.put_nowait(change.tip.height))
        await tracks.start()
        for height in (1, 2, 3):
            network.mine(1)
            assert await asyncio.wait_for(heights.get(), 20) == height
        await tracks.stop()
