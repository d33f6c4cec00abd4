"""SQLite in trouble: each kind is one clear line that says what to do, and nothing is half done."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sdk.core.errors import ConfigurationError, StorageBusy, StorageUnavailable
from sdk.service.database import Database
from support import things

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parents[1]


def run(program: str, *args: str, **environ: str) -> subprocess.Popen[str]:
    """A Python process that can import what the tests import."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *args],
        env={**os.environ, "PYTHONPATH": str(TESTS), **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096 * 3 :] = b"\x5a" * (len(data) - 4096 * 3)
    path.write_bytes(data)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system can only be mounted by root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def one_line(error: BaseException) -> str:
    text = str(error)
    assert "\n" not in text
    return text


async def test_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable) as raised:
        await Database.open(f"sqlite:///{tmp_path}/no/such/x.db")
    assert f"the directory {tmp_path}/no/such does not exist" in one_line(raised.value)


async def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="is a directory"):
        await Database.open(f"sqlite:///{tmp_path}")


async def test_not_a_database(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("Dear Sir or Madam, " * 100)
    before = path.read_bytes()
    for read_only in (False, True):
        with pytest.raises(StorageUnavailable) as raised:
            await Database.open(f"sqlite:///{path}", read_only=read_only)
        assert "is not an SQLite database" in one_line(raised.value)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["letter.txt"]


async def test_corrupted(sqlite: Database, sqlite_url: str, tmp_path: Path) -> None:
    await sqlite.write(
        lambda unit: unit.insert_many(things.ADD, [{"name": f"n{i}", "raw": b"x" * 500} for i in range(500)])
    )
    await sqlite.close()
    damage(Path(sqlite_url.removeprefix("sqlite:///")))
    async with await Database.open(sqlite_url) as database:
        with pytest.raises(StorageUnavailable) as raised:
            await database.read(things.names)
        assert "is damaged" in one_line(raised.value)
        assert "restore a backup" in str(raised.value)


async def test_opened_read_only(sqlite: Database, sqlite_url: str, tmp_path: Path) -> None:
    await sqlite.write(things.add, "a")
    async with await Database.open(sqlite_url, read_only=True) as database:
        assert await database.read(things.names) == ["a"]
        with pytest.raises(StorageUnavailable, match="opened read-only"):
            await database.write(things.add, "b")
    with pytest.raises(StorageUnavailable, match="does not exist"):
        await Database.open(f"sqlite:///{tmp_path}/none.db", read_only=True)
    assert not (tmp_path / "none.db").exists()


async def test_a_file_this_user_may_not_write(sqlite: Database, sqlite_url: str, tmp_path: Path) -> None:
    await sqlite.close()
    program = """
import asyncio, os, sys
from sdk.core.errors import StorageUnavailable
from sdk.service.database import Database, sqlite
import concurrent.futures.thread
import sqlalchemy.dialects.sqlite.pysqlite  # the next user may not be able to read where it lies
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    asyncio.run(Database.open(sys.argv[1]))
except StorageUnavailable as error:
    print(error)
"""
    reachable = Path("/tmp") / f"sdk-{os.getpid()}.db"
    shutil.copy(sqlite_url.removeprefix("sqlite:///"), reachable)
    reachable.chmod(0o444)
    try:
        status, out, err = finished(run(program, f"sqlite:///{reachable}"))
    finally:
        reachable.unlink()
    assert status == 0, err
    assert out.strip() == f"{reachable} cannot be written by this user; change its permissions or open it read-only"


async def test_locked_by_another_process(sqlite: Database, sqlite_url: str) -> None:
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with await Database.open(sqlite_url, timeout=0.1) as database:
        with pytest.raises(StorageBusy) as raised:
            await database.write(things.add, "a")
        assert "locked by another process" in one_line(raised.value)
        assert raised.value.retryable
        assert await database.read(things.names) == []
        other.execute("ROLLBACK")
        await database.write(things.add, "b")
    other.close()


async def test_the_lock_is_waited_for(sqlite: Database, sqlite_url: str) -> None:
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    asyncio.get_running_loop().call_later(0.2, other.execute, "COMMIT")
    await sqlite.write(things.add, "a")
    other.close()
    assert await sqlite.read(things.names) == ["a"]


FILL = """
import asyncio, resource, sys
from support import things
from sdk.core.errors import StorageUnavailable
from sdk.service.database import Database

async def main(url, limit):
    async with await Database.open(url) as database:
        await database.migrate(things.create)
        if limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        acknowledged = []
        for number in range(2000):
            try:
                await database.write(lambda unit: unit.insert(things.ADD, name=f"n{number}", raw=b"x" * 5000))
                acknowledged.append(number)
            except StorageUnavailable as error:
                print(error)
                break
        print(len(acknowledged), acknowledged[-1:] == [len(acknowledged) - 1])

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def acknowledged_rows_are_there(url: str, out: str) -> None:
    line, last = out.strip().split("\n")[-2:]
    acknowledged, in_order = last.split()
    assert in_order == "True"
    assert 10 < int(acknowledged) < 2000
    async with await Database.open(url) as database:
        stored = await database.read(things.names)
        assert stored[: int(acknowledged)] == [f"n{i}" for i in range(int(acknowledged))]
        assert len(stored) == int(acknowledged)
        await database.write(things.add, "goes on")
    assert "free space" in line or "no space" in line


async def test_a_file_that_may_not_grow(sqlite_url: str) -> None:
    status, out, err = finished(run(FILL, sqlite_url, "1000000"))
    assert status == 0, err
    await acknowledged_rows_are_there(sqlite_url, out)


async def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    status, out, err = finished(run(FILL, f"sqlite:///{small_disk}/things.db", "0"))
    assert status == 0, err
    assert "no space is left" in out
    shutil.copytree(small_disk, tmp_path / "copy")
    await acknowledged_rows_are_there(f"sqlite:///{tmp_path}/copy/things.db", out)


HAMMER = """
import asyncio, sys
from support import things
from sdk.service.database import Database

async def main(url, who, tasks, rounds):
    async def caller(database, task):
        for number in range(rounds):
            await database.write(things.add, f"{who}-{task}-{number}")
    async with await Database.open(url) as database:
        await asyncio.gather(*(caller(database, task) for task in range(tasks)))

asyncio.run(main(sys.argv[1], sys.argv[2], 8, 100))
"""


async def test_r66_two_processes_on_one_file_both_get_their_turn(sqlite: Database, sqlite_url: str) -> None:
    processes = [run(HAMMER, sqlite_url, who) for who in ("a", "b")]
    for process in processes:
        status, _, err = finished(process)
        assert status == 0, err
    stored = await sqlite.read(things.names)
    assert len(stored) == 1600
    assert len(set(stored)) == 1600


async def test_r66_pragmas_stand_on_every_connection(sqlite: Database) -> None:
    expected = {"foreign_keys": 1, "synchronous": 2, "journal_mode": "wal"}
    for run_unit in (sqlite.write, sqlite.read):
        found = await run_unit(
            lambda unit: {name: unit.connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in expected}
        )
        assert found == expected


KILLED = """
import asyncio, sys
from support import things
from sdk.service.database import Database

async def main(url):
    async def caller(database, task):
        for number in range(10_000):
            name = f"{task}-{number}"
            await database.write(things.add, name)
            print(name, flush=True)
    async with await Database.open(url) as database:
        await asyncio.gather(*(caller(database, task) for task in range(4)))

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("point", [1, 2, 40, 41, 42, 43])
async def test_kill_9_around_a_commit_loses_nothing_acknowledged(sqlite: Database, sqlite_url: str, point: int) -> None:
    process = run(KILLED, sqlite_url, SDK_FAILPOINTS=f"kill:{point}")
    status, out, _ = finished(process)
    assert status == -9
    acknowledged = set(out.split())
    stored = set(await sqlite.read(things.names))
    assert acknowledged <= stored
    assert len(stored) <= len(acknowledged) + 8  # what was committed in the last batches and not yet told
    await sqlite.write(things.add, "goes on")


async def test_kill_9_at_any_moment(sqlite: Database, sqlite_url: str) -> None:
    for _ in range(3):
        process = run(KILLED, sqlite_url)
        assert process.stdout is not None
        first = process.stdout.readline()
        process.kill()
        out = first + process.stdout.read()
        process.communicate()
        acknowledged = {line for line in out.splitlines(keepends=True) if line.endswith("\n")}
        stored = {f"{name}\n" for name in await sqlite.read(things.names)}
        assert acknowledged
        assert acknowledged <= stored
        await sqlite.write(lambda unit: unit.connection.exec_driver_sql("DELETE FROM things") and None)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("nonsense", "cannot be read"),
        ("oracle://host/x", "not supported"),
        ("sqlite+aiosqlite:///x.db", "not supported"),
        ("postgresql://host/x", "use sqlite"),
        ("sqlite:///x.db?mode=ro", "name only the file"),
    ],
)
async def test_urls_that_cannot_work(url: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as raised:
        await Database.open(url)
    one_line(raised.value)


async def test_options_that_cannot_work() -> None:
    with pytest.raises(ConfigurationError, match="no schemas"):
        await Database.open("sqlite://", schema="x")
    with pytest.raises(ConfigurationError, match="read-only"):
        await Database.open("sqlite://", read_only=True)
