"""What every kind of store keeps to, as the chain above it sees it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from sdk.chaintracks.errors import StoreMoved
from sdk.chaintracks.store import StoredHeader
from support.header_rig import GENESIS, grown, raw
from support.store_rig import KINDS, store_rig

if TYPE_CHECKING:
    from pathlib import Path

    from sdk.chaintracks.chain import HeaderChain
    from sdk.chaintracks.events import TipEvent
    from sdk.core.header import BlockHeader

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEADERS = grown([GENESIS], 700)
"""More than memory keeps, so that most are buried."""


def clock() -> datetime:
    return NOW


def wire(header: BlockHeader) -> bytes:
    return bytes.fromhex(header.hash())[::-1]


async def holds(chain: HeaderChain, headers: list[BlockHeader]) -> None:
    """Every way of looking gives these headers and no other."""
    tip = len(headers) - 1
    assert chain.tip.height == tip
    assert chain.tip.work == 2 * len(headers)
    assert await chain.headers(0, 10_000) == raw(headers)
    assert await chain.headers(tip - 40, 60) == raw(headers[-41:])
    assert await chain.header_at(tip + 1) is None
    assert await chain.header_at(-1) is None
    for height in (0, 1, 29, 30, 31, tip // 2, tip - 1, tip):
        assert await chain.header_at(height) == headers[height].to_bytes()
        assert await chain.hash_at(height) == wire(headers[height])
        assert await chain.find(wire(headers[height])) == (height, headers[height].to_bytes())


@pytest.mark.parametrize("kind", KINDS)
async def test_headers_are_found_by_height_and_hash_after_any_restart(kind: str, tmp_path: Path) -> None:
    async with store_rig(kind, tmp_path) as rig:
        chain = await rig.chain(clock)
        await chain.extend(raw(HEADERS[1:60]))
        await chain.extend(HEADERS[60].to_bytes())
        await holds(chain, HEADERS[:61])
        await holds(await rig.chain(clock), HEADERS[:61])
        chain = await rig.chain(clock)
        await chain.extend(raw(HEADERS[61:651]))
        for each in HEADERS[651:]:
            await chain.extend(each.to_bytes())
        await holds(chain, HEADERS)
        chain = await rig.chain(clock)
        await holds(chain, HEADERS)
        assert await chain.find(b"\1" * 32) is None


@pytest.mark.parametrize("kind", KINDS)
async def test_a_reorganisation_may_reach_the_buried_headers(kind: str, tmp_path: Path) -> None:
    other = grown(HEADERS[:200], 502, salt="deep")
    async with store_rig(kind, tmp_path) as rig:
        chain = await rig.chain(clock)
        await chain.extend(raw(HEADERS[1:]))
        heard: list[TipEvent] = []
        chain.listeners.append(heard.append)
        assert await chain.extend(raw(other[200:600])) is None
        await holds(chain, HEADERS)
        event = await chain.extend(raw(other[200:]))
        assert heard == [event]
        assert event is not None
        assert (event.depth, event.first_added) == (501, 200)
        assert b"".join(each.raw for each in event.removed) == raw(HEADERS[:199:-1])
        await holds(chain, other)
        chain = await rig.chain(clock)
        await holds(chain, other)
        more = grown(other, 3)
        await chain.extend(raw(more[702:]))
        back = grown(HEADERS, 12, salt="back")
        event = await chain.extend(raw(back[200:]))
        assert event is not None
        assert event.depth == 505
        await holds(chain, back)
        await holds(await rig.chain(clock), back)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_branch_near_the_tip_outlasts_a_restart(kind: str, tmp_path: Path) -> None:
    side = grown(HEADERS[:50], 11, salt="side")
    async with store_rig(kind, tmp_path) as rig:
        chain = await rig.chain(clock)
        await chain.extend(raw(HEADERS[1:59]))
        await chain.extend(raw(side[50:59]))
        chain = await rig.chain(clock)
        assert await chain.find(wire(side[55])) == (55, side[55].to_bytes())
        event = await chain.extend(raw(side[59:]))
        assert event is not None
        assert event.depth == 9
        await holds(await rig.chain(clock), side)


@pytest.mark.parametrize("kind", KINDS)
async def test_every_change_is_an_event_that_follows_the_one_before(kind: str, tmp_path: Path) -> None:
    async with store_rig(kind, tmp_path) as rig:
        chain = await rig.chain(clock)
        await chain.extend(raw(HEADERS[1:300]))
        await chain.extend(raw(HEADERS[300:302]))
        chain = await rig.chain(clock)
        await chain.extend(raw(HEADERS[302:650]))
        await chain.extend(raw(grown(HEADERS[:648], 4, salt="x")[648:]))
        events = await chain.store.events_after(0)
        assert [(each.id, each.first_added, each.tip.height, each.depth) for each in events] == [
            (1, 1, 299, 0),
            (2, 300, 301, 0),
            (3, 302, 649, 0),
            (4, 648, 651, 2),
        ]
        assert chain.last_event == 4


@pytest.mark.parametrize("kind", KINDS)
async def test_a_write_that_expects_another_tip_changes_nothing(kind: str, tmp_path: Path) -> None:
    async with store_rig(kind, tmp_path) as rig:
        chain = await rig.chain(clock)
        await chain.extend(raw(HEADERS[1:4]))
        live = rig.store().live
        row = StoredHeader(b"\1" * 32, 9, 9, False, b"\2" * 80, 1 << 200)
        with pytest.raises(StoreMoved):
            await live.apply([row], expected_tip=b"\3" * 32)
        assert await live.find(row.hash) is None
        await live.apply([row], expected_tip=chain.tip.hash)
        await live.apply([row._replace(height=7)])
        assert await live.find(row.hash) == row
        await live.apply(forgotten=[row.hash, chain.tip.hash])  # never an active one
        assert await live.find(row.hash) is None
        assert await live.span() == (0, 3)
        await live.prune(2, 9)
        assert [each.height for each in await live.rows(0)] == [2, 3]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_is_cancelled_leaves_a_whole_chain(kind: str, tmp_path: Path) -> None:
    async with store_rig(kind, tmp_path) as rig:
        chain = await rig.chain(clock)
        task = asyncio.create_task(chain.extend(raw(HEADERS[1:])))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert chain.tip.height in (0, 700)
        await chain.extend(raw(HEADERS[1:]))
        await holds(chain, HEADERS)
        await holds(await rig.chain(clock), HEADERS)
