"""The store that ``sdk chaintracks serve`` chooses: flat files, whatever was there before and whoever is there too."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sdk.chaintracks import chain as chain_module
from sdk.chaintracks.chain import HeaderChain
from sdk.chaintracks.client import ChaintracksClient
from sdk.chaintracks.errors import StoreCorrupted
from sdk.chaintracks.store.files import FileBulk
from sdk.chaintracks.store.folders import beside, open_first_free
from sdk.chaintracks.store.migrations import MIGRATIONS
from sdk.chaintracks.store.opening import StoreContext, open_store
from sdk.service.database import Database
from sdk.service.migrations import upgrade
from support.commands import SDK
from support.databases import empty_database
from support.header_rig import GENESIS, HeaderNetwork, grown, raw

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HEADERS = grown([GENESIS], 1300)
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SDK_")}


@asynccontextmanager
async def opened(database: Database, store: str, folder: Path) -> AsyncIterator[HeaderChain]:
    context = StoreContext("mock", database, folder)
    headers = await HeaderChain.open("mock", open_store(store, context), clock=lambda: NOW, keep=20)
    try:
        yield headers
    finally:
        await headers.close()


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
async def test_a_database_that_held_everything_is_taken_over_into_files(
    dialect: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain_module, "RETAINED", 100)
    monkeypatch.setattr("sdk.chaintracks.store.sql._PRUNE_STEP", 70)
    with empty_database(dialect, tmp_path) as (url, schema):
        async with await Database.open(url, schema=schema) as database:
            await upgrade(database, [MIGRATIONS])
            async with opened(database, "sql", tmp_path) as before:
                await before.extend(raw(HEADERS[1:701]))
            async with opened(database, "files", tmp_path / "headers") as after:
                assert await after.headers(0, 2000) == raw(HEADERS[:701])
                assert after.store.bulk.count == 680
                assert after.last_event == 1  # nobody is told anything that has not changed
            async with opened(database, "sql", tmp_path) as back:  # nothing is forgotten yet, so the way back is open
                assert await back.headers(0, 2000) == raw(HEADERS[:701])
            async with opened(database, "files", tmp_path / "headers") as after:
                for at in range(701, 1301, 90):  # fewer than are buried at once
                    await after.extend(raw(HEADERS[at : at + 90]))
                assert await after.headers(0, 2000) == raw(HEADERS)
                span = await after.store.live.span()
                assert span is not None
                assert span[0] > 700
            with pytest.raises(StoreCorrupted, match="open it with the files store"):
                async with opened(database, "sql", tmp_path):
                    pass


def test_a_second_process_takes_a_folder_of_its_own_and_what_the_first_has(tmp_path: Path) -> None:
    whole = raw(HEADERS)
    hashes = b"".join(bytes.fromhex(each.hash())[::-1] for each in HEADERS)
    place = tmp_path / "headers"
    first = open_first_free(place, "mock")
    first.append(whole[:-80], hashes[:-32])
    second = open_first_free(place, "mock")
    assert second.folder == tmp_path / "headers-2"
    assert second.read(0, 2000) == whole[:-80]
    second.close()
    first.append(whole[-80:], hashes[-32:])
    second = open_first_free(place, "mock")
    assert second.read(0, 2000) == whole
    first.close()
    third = open_first_free(place, "mock")
    assert third.folder == place
    second.close()
    third.close()


@pytest.mark.parametrize("damage", [80 * 700 + 5, 80 * 1299 + 70, 80 * 3])
def test_only_headers_that_go_on_from_one_another_are_copied(tmp_path: Path, damage: int) -> None:
    first = open_first_free(tmp_path / "headers", "mock")
    first.append(raw(HEADERS), b"".join(bytes.fromhex(each.hash())[::-1] for each in HEADERS))
    path = first.path(0)
    with path.open("r+b") as file:
        file.seek(damage)
        byte = file.read(1)
        file.seek(damage)
        file.write(bytes([byte[0] ^ 1]))
    second = open_first_free(tmp_path / "headers", "mock")
    held = second.read(0, 2000)
    assert raw(HEADERS).startswith(held[:-80])  # the last header is vouched for by the rows near the tip
    second.close()
    first.close()


def test_where_the_folder_lies(tmp_path: Path) -> None:
    assert beside("sqlite:///x/h.sqlite", "main", tmp_path) == tmp_path / "x" / "h-headers"
    assert beside("sqlite:////var/h.sqlite", "main", tmp_path) == Path("/var/h-headers")
    assert beside("postgresql+psycopg://u:p@h/name", "test", tmp_path) == tmp_path / "chaintracks-test-headers"


@asynccontextmanager
async def serving(
    folder: Path, source: str, url: str, schema: str | None
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    command = [
        str(SDK), "chaintracks", "serve", "--network", "mock", "--source", source, "--port", "0", "--interval", "0.1",
        "--database", url,
    ]  # fmt: skip
    environment = {**ENVIRONMENT, **({"SDK_CHAINTRACKS_DATABASE_SCHEMA": schema} if schema else {})}
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd=folder
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        assert line.startswith("headers of mock up to ")
        yield line.split()[-1], process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 30)


async def test_several_processes_over_one_database_server_have_the_same_chain_each_in_files(tmp_path: Path) -> None:
    """Reason for its time: real processes, one of them killed."""
    network = HeaderNetwork()
    network.chain = HEADERS[:300]

    async def agree(*urls: str) -> None:
        for url in urls:
            async with ChaintracksClient(url) as client, asyncio.timeout(60):
                while await client.headers(0, 2000) != network.chain:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.05)

    with empty_database("postgresql", tmp_path) as (url, schema):
        async with network.served() as source, serving(tmp_path, source, url, schema) as (one, process):
            await agree(one)
            network.reorganise(2, 5)
            asked = len(network.asked)
            async with serving(tmp_path, source, url, schema) as (two, _):
                await agree(one, two)
                assert len(network.asked) - asked < 200  # what the first had was not asked for again
                process.send_signal(signal.SIGKILL)
                await process.wait()
                network.reorganise(1, 3, salt="again")
                async with serving(tmp_path, source, url, schema) as (three, _):
                    await agree(two, three)
    for name in ("", "-2"):
        folder = FileBulk(tmp_path / f"chaintracks-mock-headers{name}", "mock")
        assert folder.read(0, 200) == raw(network.chain[:200])
        folder.close()
