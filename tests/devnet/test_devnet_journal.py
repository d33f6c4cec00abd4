"""A devnet that keeps its chain over restarts, kills and torn writes; damage is an error, not a new chain."""

from __future__ import annotations

import resource
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sdk.core.errors import ConfigurationError
from sdk.devnet.devnet import Devnet
from sdk.devnet.errors import JournalDamaged, JournalNotWritten
from sdk.devnet.journal import MAGIC, Journal
from support.devnet_rig import ANYONE, coin, spend

if TYPE_CHECKING:
    from pathlib import Path


def opened(folder: Path) -> Devnet:
    return Devnet(journal=Journal(folder))


def state(devnet: Devnet) -> tuple[object, ...]:
    chain = devnet.chain
    return chain.tip.hash, chain.tip.chain_work, dict(chain.ledger.coins), list(chain.mempool.entries)


def test_the_chain_and_what_waits_come_back(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as devnet:
        source = coin(devnet)
        devnet.submit(spend([source], [9_000]))
        devnet.mine()
        devnet.reorg(1)
        devnet.fund(ANYONE, 5_000)
        before = state(devnet)
        assert len(devnet.chain.mempool) == 2
    with closing(opened(tmp_path)) as again:
        assert state(again) == before
        again.mine()
        assert len(again.chain.mempool) == 0


def test_a_torn_record_at_the_end_is_cut_off(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as devnet:
        devnet.mine(2)
        before = devnet.chain.active[-2].hash
    path = tmp_path / "chain.journal"
    for cut in (1, 50):
        data = path.read_bytes()
        path.write_bytes(data[:-cut])
        with closing(opened(tmp_path)) as again:
            assert again.tip.hash == before
            again.mine()
            before = again.chain.active[-2].hash


def test_damage_is_named_and_nothing_is_overwritten(tmp_path: Path) -> None:
    with closing(opened(tmp_path)):
        pass
    path = tmp_path / "chain.journal"
    data = path.read_bytes()
    for at, words in ((len(MAGIC) + 30, "damaged at byte"), (0, "not a devnet journal")):
        damaged = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        path.write_bytes(damaged)
        journal = Journal(tmp_path)
        with closing(journal), pytest.raises(JournalDamaged, match=words):
            Devnet(journal=journal)
        assert path.read_bytes() == damaged


def test_a_second_process_and_a_place_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with closing(Journal(tmp_path)), pytest.raises(ConfigurationError, match="another devnet"):
        Journal(tmp_path)
    (tmp_path / "file").write_text("here")
    with pytest.raises(ConfigurationError, match="cannot keep a chain"):
        Journal(tmp_path / "file")


def test_a_disk_without_room_stops_the_chain_and_leaves_a_journal_that_can_be_read(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as devnet:
        devnet.mine(1)
        kept, height = (tmp_path / "chain.journal").stat().st_size, devnet.height
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (kept + 40, hard))
        try:
            with pytest.raises(JournalNotWritten, match=r"chain\.journal cannot be written .*make room"):
                devnet.mine(1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        with pytest.raises(JournalNotWritten):
            devnet.mine(1)
    with closing(opened(tmp_path)) as devnet:
        assert devnet.height == height
        devnet.mine(1)
