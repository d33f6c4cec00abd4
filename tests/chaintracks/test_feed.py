"""What subscribers share: changes are encoded once, and the log is read once however many come back to one place."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sdk.chaintracks.engine import system_clock
from sdk.chaintracks.server.changes import Change, Gap
from sdk.chaintracks.server.feed import KEPT, Feed
from sdk.chaintracks.server.positions import Position
from support.header_rig import GENESIS, grown
from support.store_rig import store_rig

if TYPE_CHECKING:
    from pathlib import Path

    from sdk.chaintracks.chain import HeaderChain


@pytest.mark.parametrize("count", [10, KEPT + 20])
async def test_after_a_start_the_log_is_read_once_for_all_who_come_back_to_one_place(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = grown([GENESIS], count)
    async with store_rig("sql-sqlite", tmp_path) as rig:
        before: HeaderChain = await rig.chain(system_clock)
        for each in headers[1:-1]:
            await before.extend(each.to_bytes())
        chain: HeaderChain = await rig.chain(system_clock)
        feed, asked = Feed(chain), []
        original = chain.store.live.events_after

        async def counted(cursor: int, limit: int = 100) -> Any:
            asked.append(cursor)
            return await original(cursor, limit)

        monkeypatch.setattr(chain.store.live, "events_after", counted)
        place = Position(count - 7, bytes.fromhex(headers[count - 7].hash())[::-1])
        answers = await asyncio.gather(*(feed.read(place) for _ in range(300)))
        assert asked == [count - 8]
        for reached, changes in answers:
            assert reached == feed.newest
            assert [each.position.number for each in changes] == [*range(count - 6, count)]
            assert all(each is first for each, first in zip(changes, answers[0][1], strict=True)), "encoded once"
        await chain.extend(headers[-1].to_bytes())
        _, changes = await feed.read(place)
        assert [each.position.number for each in changes] == [*range(count - 6, count + 1)]
        assert isinstance(changes[-1], Change)
        assert asked == [count - 8]
        await before.checker.close()
        await chain.checker.close()


async def test_one_who_was_told_more_by_another_process_is_not_sent_back(tmp_path: Path) -> None:
    """A process that has not looked yet must not take the newer block for one that is gone."""
    headers = grown([GENESIS], 6)
    async with store_rig("sql-sqlite", tmp_path) as rig:
        writer: HeaderChain = await rig.chain(system_clock)
        await writer.extend(headers[1].to_bytes())
        behind: HeaderChain = await rig.chain(system_clock)
        feed = Feed(behind)
        for each in headers[2:6]:
            await writer.extend(each.to_bytes())
        ahead = Position(4, bytes.fromhex(headers[4].hash())[::-1])
        assert await feed.read(ahead) == (ahead, [])
        with feed.reader() as wake:
            await behind.refresh()
            assert wake.is_set()
        reached, changes = await feed.read(ahead)
        assert (reached, [each.position.number for each in changes]) == (feed.newest, [5])
        await writer.checker.close()
        await behind.checker.close()


async def test_cursors_that_cannot_be_ours_cost_no_reading_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends many of them keeps nobody else from the log."""
    headers = grown([GENESIS], KEPT + 60)
    async with store_rig("memory", tmp_path) as rig:
        chain: HeaderChain = await rig.chain(system_clock)
        feed = Feed(chain)
        for each in headers[1:]:
            await chain.extend(each.to_bytes())

        async def refused(cursor: int, limit: int = 100) -> Any:
            raise AssertionError("the log was read")

        monkeypatch.setattr(chain.store.live, "events_after", refused)
        for number in (KEPT + 50, 100, 40, 1, 0):  # with the tip of another event, then too far back
            _, [gap] = await feed.read(Position(number, bytes(32)))
            assert isinstance(gap, Gap)
        _, [net] = await feed.read(Position(2, bytes.fromhex(headers[2].hash())[::-1]))
        assert isinstance(net, Change)
        assert (net.net, net.first_added, len(net.removed)) == (True, 3, 0)
        await chain.checker.close()
