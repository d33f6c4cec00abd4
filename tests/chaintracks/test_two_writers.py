"""Two processes over one database that both write: whoever is second decides again, and nobody's header is lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sdk.chaintracks.engine import system_clock
from support.header_rig import GENESIS, grown, raw
from support.store_rig import store_rig

if TYPE_CHECKING:
    from pathlib import Path

    from sdk.chaintracks.chain import HeaderChain
    from sdk.chaintracks.events import TipEvent


@pytest.mark.parametrize("kind", ["sql-sqlite", "sql-postgresql", "sql-mariadb"])
async def test_writers_that_race_lose_nothing_and_tell_the_same(kind: str, tmp_path: Path) -> None:
    """The same blocks offered to both at once, and a reorganisation that each hears of at another time."""
    headers = grown([GENESIS], 12)
    fork = grown(headers[:9], 6, salt="fork")
    async with store_rig(kind, tmp_path) as rig:
        chains: list[HeaderChain] = [await rig.chain(system_clock) for _ in range(2)]
        heard: list[list[TipEvent]] = [[], []]
        for chain, events in zip(chains, heard, strict=True):
            chain.listeners.append(events.append)
        for each in headers[1:]:
            await asyncio.gather(*(chain.extend(each.to_bytes()) for chain in chains))
        await asyncio.gather(chains[0].extend(raw(fork[9:])), chains[1].extend(raw(headers[11:])))
        for chain in chains:
            await chain.refresh()
            assert await chain.headers(0, 100) == raw(fork)
        first, second = ([(each.id, each.added, each.removed) for each in events] for events in heard)
        assert first == second
        assert [each.id for each in heard[0]] == [*range(1, len(heard[0]) + 1)]
        assert [each.depth for each in heard[0]].count(4) == 1
        assert sum(each.depth for each in heard[0]) == 4, "no false reorganisation"
        for chain in chains:
            await chain.checker.close()
