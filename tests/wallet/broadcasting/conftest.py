from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sdk.wallet.broadcasting.broadcaster import Broadcaster
from sdk.wallet.broadcasting.prover import Prover
from sdk.wallet.broadcasting.reorgs import ReorgFollower
from support.fake_network import FakeNetwork
from support.wallet_rows import Rows, TestClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def network() -> FakeNetwork:
    return FakeNetwork()


@pytest.fixture
async def rows(tmp_path: Path, network: FakeNetwork, clock: TestClock) -> AsyncIterator[Rows]:
    rows = await Rows.open(f"sqlite:///{tmp_path}/wallet.db", network, clock)
    yield rows
    await rows.database.close()


@pytest.fixture
def broadcaster(rows: Rows) -> Broadcaster:
    return Broadcaster(rows.database, rows.network, clock=rows.clock, owner="worker-1")


@pytest.fixture
def prover(rows: Rows) -> Prover:
    return Prover(rows.database, rows.network, clock=rows.clock)


@pytest.fixture
def follower(rows: Rows, prover: Prover) -> ReorgFollower:
    return ReorgFollower(rows.database, rows.network, prover, clock=rows.clock)
