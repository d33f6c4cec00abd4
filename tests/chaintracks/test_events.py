"""The log of tip changes: what listeners hear is what a cursor gives, over restarts and several processes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from sdk.chaintracks.chain import HeaderChain
from sdk.chaintracks.events import MAX_ADDED, MAX_EVENTS
from sdk.chaintracks.store.migrations import MIGRATIONS
from sdk.chaintracks.store.opening import sql_store
from sdk.service.database import Database
from sdk.service.migrations import downgrade, upgrade
from support.databases import DIALECTS, LENT, empty_database
from support.header_rig import GENESIS, grown, raw

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sdk.chaintracks.events import TipEvent

NOW = datetime(2026, 1, 1, tzinfo=UTC)


async def opened(database: Database, *, keep: int = 10) -> HeaderChain:
    return await HeaderChain.open("mock", sql_store(database), clock=lambda: NOW, keep=keep)


@asynccontextmanager
async def database_of(dialect: str, folder: Path) -> AsyncIterator[Database]:
    with empty_database(dialect, folder) as (url, schema):
        async with await Database.open(url, schema=schema) as database:
            await upgrade(database, [MIGRATIONS])
            yield database


@pytest.mark.parametrize("dialect", [*DIALECTS, *LENT])
async def test_a_cursor_gives_what_listeners_heard(dialect: str, tmp_path: Path) -> None:
    first = grown([GENESIS], 8)
    second = grown(first[:5], 6, salt="x")
    async with database_of(dialect, tmp_path) as database:
        chain = await opened(database)
        heard: list[TipEvent] = []
        chain.listeners.append(heard.append)
        await chain.extend(raw(first[1:]))
        await chain.extend(raw(second[5:7]))  # less work: no event
        event = await chain.extend(raw(second[7:]))
        assert event == heard[-1]
        assert [each.id for each in heard] == [1, 2]
        assert (event.depth, event.first_added, event.tip.height) == (4, 5, 10)
        assert b"".join(each.raw for each in event.removed) == raw(first[:4:-1])
        assert [each.height for each in event.removed] == [8, 7, 6, 5]
        assert b"".join(each.raw for each in event.added) == raw(second[5:])
        assert [each.hash[::-1].hex() for each in event.added] == [each.hash() for each in second[5:]]
        assert await chain.store.events_after(0) == heard
        assert await chain.store.events_after(1, 1) == heard[1:]
        assert await chain.store.events_after(2) == []


@pytest.mark.parametrize("dialect", [*DIALECTS, *LENT])
async def test_a_second_process_over_one_store_hears_every_event_in_order(dialect: str, tmp_path: Path) -> None:
    headers = grown([GENESIS], 7)
    async with database_of(dialect, tmp_path) as database:
        writer, reader = await opened(database), await opened(database)
        heard: list[TipEvent] = []
        reader.listeners.append(heard.append)
        assert not await reader.refresh()
        for each in headers[1:4]:
            await writer.extend(each.to_bytes())
        assert await reader.refresh()
        assert [each.id for each in heard] == [1, 2, 3]
        assert reader.tip.hash == writer.tip.hash
        assert not await reader.refresh()
        await writer.extend(headers[4].to_bytes())
        late = await reader.extend(grown(headers[:4], 1, salt="late")[4].to_bytes())
        assert late is None, "it did not know of the last one, read it, and saw that this came later"
        await writer.extend(headers[5].to_bytes())
        await reader.extend(headers[6].to_bytes())  # whose parent it did not know either
        assert [each.id for each in heard] == [1, 2, 3, 4, 5, 6]
        assert await writer.refresh()
        assert writer.tip.height == 6


async def test_a_long_run_lists_its_last_headers_and_says_where_it_began(tmp_path: Path) -> None:
    headers = grown([GENESIS], MAX_ADDED + 44)
    async with database_of("sqlite", tmp_path) as database:
        event = await (await opened(database)).extend(raw(headers[1:]))
        assert event is not None
        assert event.first_added == 1
        assert b"".join(each.raw for each in event.added) == raw(headers[45:])
        assert event.added[0].height == 45


async def test_old_events_are_forgotten_and_a_cursor_shows_the_gap(tmp_path: Path) -> None:
    headers = grown([GENESIS], MAX_EVENTS + 200)
    async with database_of("sqlite", tmp_path) as database:
        chain = await opened(database)
        for each in headers[1:]:
            await chain.extend(each.to_bytes())
        oldest = (await chain.store.events_after(0, 1))[0]
        assert oldest.id == 201
        assert chain.last_event == await chain.store.last_event() == MAX_EVENTS + 200


async def test_a_store_of_the_first_release_goes_on_with_its_tip(tmp_path: Path) -> None:
    headers = grown([GENESIS], 5)
    async with database_of("sqlite", tmp_path) as database:
        chain = await opened(database)
        await chain.extend(raw(headers[1:4]))
        await downgrade(database, MIGRATIONS, "0001")
        await upgrade(database, [MIGRATIONS])
        again = await opened(database)
        assert again.tip.height == 3
        event = await again.extend(headers[4].to_bytes())
        assert event is not None
        assert event.id == 1
