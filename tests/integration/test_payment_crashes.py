"""``kill -9`` at every fail point of a payment, over the devnet's real sockets (issue 2, *Must hold*; R19, R21, R27).

The points are recorded, not written down. Whatever was interrupted, the wallet and the monitor that start afterwards
agree with the chain: what was sent is mined and proven, what was not is given up, and no satoshi is lost or made.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from sdk.devnet.server import DevnetServer
from sdk.service.database import Prepared
from sdk.service.http_client import HttpClient
from sdk.wallet.storage.tables import outputs
from support.databases import master_database
from support.forking import forking
from support.kill_points import recorded, sample
from support.payment_case import ALICE, TRANSACTIONS, Case, fund, gift

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.databases import Master
    from support.forking import Forking

NO_QUESTIONS = r"^(?!http\.\w+ whatsonchain GET)"
"""How many headers are asked for depends on where the faucet's coins were mined."""
EVERY = {"sqlite": 1, "postgresql": 3}
"""Each n-th point is tried; under ``SDK_CRASH_ALL=1`` all of them everywhere."""

_OUTPUTS = Prepared(select(outputs.c.outputId))


@dataclass
class Place:
    """A devnet, and an empty wallet to copy."""

    server: DevnetServer
    http: HttpClient
    master: Master
    every: int

    @asynccontextmanager
    async def case(self) -> AsyncIterator[Case]:
        with self.master.copy() as database:
            yield Case(self.server, database)

    @asynccontextmanager
    async def funded(self) -> AsyncIterator[Case]:
        async with self.case() as case:
            async with case.open() as alice:
                case.funding = await fund(self.http, alice)
            yield case


@pytest.fixture(params=EVERY)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    async with DevnetServer() as server, HttpClient(server.urls.base, service="devnet") as http:
        with master_database(request.param, tmp_path) as master:
            async with Case(server, master.url).open(migrate=True) as alice:
                assert await alice.balance() == 0
            yield Place(server, http, master, EVERY[request.param])


@pytest.mark.timeout(900)
async def test_r21_a_payment_killed_anywhere_ends_in_agreement_with_the_chain(place: Place, tmp_path: Path) -> None:
    async with forking("support.payment_runner") as runner:
        async with place.funded() as whole:
            assert await whole.pay(runner, f"record:{tmp_path / 'points'}") == 0
            await whole.recover(runner, 1)
            await whole.recover(runner, 20)
            assert await whole.check() == 2
        points = recorded(tmp_path / "points")
        assert {point.split()[0] for point in points} == {"commit.before", "commit.after", "http.before", "http.after"}
        for unit in ("create_action", "process_action", "claim_named", "settle"):
            assert any(unit in point for point in points), f"no fail point of {unit}"
        waiting = sample(points, place.every)
        reached: set[int] = set()

        async def work() -> None:
            while waiting:
                number, point = waiting.pop()
                async with place.funded() as case:
                    assert await case.pay(runner, f"kill:{number}") == -signal.SIGKILL, point
                    for minutes in (20, 40):
                        await case.recover(runner, minutes)
                    reached.add(await case.check())

        await asyncio.gather(*(work() for _ in range(2)))
    assert reached == {0, 1, 2}


@pytest.mark.timeout(900)
async def test_r43_a_receipt_killed_anywhere_is_taken_in_once(place: Place, tmp_path: Path) -> None:
    """What was stored is proven by itself; what was not is taken in when the sender offers it again."""
    identity = ALICE.public_key.to_hex()

    async def receive(case: Case, runner: Forking, plan: str | None) -> tuple[dict[str, Any], int]:
        case.funding, tx, outputs = await gift(place.http, identity, mine=False)
        given = {"environ": case.environ, "key": ALICE.to_hex(), "tx": tx, "outputs": outputs}
        return given, await runner.run(job="receive", plan=plan, pattern=NO_QUESTIONS, **given)

    async with forking("support.payment_runner") as runner:
        async with place.case() as case:
            _, status = await receive(case, runner, f"record:{tmp_path / 'points'}")
            assert status == 0
            await case.recover(runner, 20)
            assert await case.check() == 0
        points = recorded(tmp_path / "points")
        assert any("store_received" in point for point in points)
        waiting = sample(points, place.every)
        kept: set[int] = set()

        async def work() -> None:
            while waiting:
                number, point = waiting.pop()
                async with place.case() as case:
                    given, status = await receive(case, runner, f"kill:{number}")
                    assert status == -signal.SIGKILL, point
                    await case.recover(runner, 20)
                    await case.recover(runner, 40)
                    kept.add(len([row for row in await case.rows(TRANSACTIONS) if row.status == "completed"]))
                    assert await runner.run(job="receive", **given) == 0, point
                    await case.recover(runner, 60)
                    assert await case.check() == 0
                    assert len(await case.rows(_OUTPUTS)) == 1, point

        await asyncio.gather(*(work() for _ in range(2)))
        assert kept == {0, 1}
