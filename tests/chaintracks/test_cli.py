"""``sdk chaintracks`` as a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sdk.chaintracks.client import ChaintracksClient
from support.header_rig import HeaderNetwork, grown, raw
from support.requirements import vectors

if TYPE_CHECKING:
    from pathlib import Path

SDK = [sys.executable, "-c", "from sdk.service.cli.root import run; run()"]
ANYWHERE = ("--port", "0")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SDK_")}


def sdk(*args: str, cwd: Path | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    command, env = [*SDK, "chaintracks", *args], ENVIRONMENT | environ
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd, env=env)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """One clear line and nothing else."""
    assert done.returncode == 1, done.stdout
    lines = [line for line in done.stderr.splitlines() if line.startswith("sdk:")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0]


def test_verify_prints_range_tip_work_and_speed() -> None:
    done = sdk("verify", str(vectors("headers", "main_900000_907999.headers")), "--from-height", "900000")
    assert (done.returncode, done.stderr) == (0, "")
    assert "heights 900000-907999" in done.stdout
    assert "0000000000000000143d624456dd5800025df14b8ece878227bdd0e7586fbd80" in done.stdout
    assert "00018ecdc179dc59c3f84e86\n" in done.stdout
    assert re.search(r"[0-9,]+ headers/s", done.stdout)
    assert "not checked, because what comes before is not in the file: required bits of 900000-900146" in done.stdout


def test_verify_names_the_height_of_a_flipped_bit(tmp_path: Path) -> None:
    data = bytearray(vectors("headers", "main_900000_907999.headers").read_bytes())
    data[80 * 4321 + 50] ^= 4
    path = tmp_path / "flipped.headers"
    path.write_bytes(data)
    refused(sdk("verify", str(path), "--from-height", "900000"), "904321", "high-hash")


def test_verify_refuses_what_is_no_header_file_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "odd"
    refused(sdk("verify", str(path), "--from-height", "0"), "cannot be read", "No such file")
    refused(sdk("verify", str(tmp_path), "--from-height", "0"), "cannot be read")
    path.write_bytes(b"<html>" * 40)
    refused(sdk("verify", str(path), "--from-height", "0"), "is text")


async def test_serve_follows_serves_and_stops_on_sigterm_and_goes_on_after_kill(tmp_path: Path) -> None:
    network = HeaderNetwork()
    network.mine(12)
    async with network.served() as source:
        args = ["--network", "mock", "--source", source, "--port", "0", "--interval", "0.1"]
        command = [*SDK, "chaintracks", "serve", *args, "--database", f"sqlite:///{tmp_path}/h.sqlite"]
        for height, end in ((12, signal.SIGKILL), (15, signal.SIGTERM)):
            process = await asyncio.create_subprocess_exec(
                *command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT
            )
            assert process.stdout is not None
            line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
            assert line.startswith(f"headers of mock up to {height}: http://127.0.0.1:")
            async with ChaintracksClient(line.split()[-1]) as client:
                network.reorganise(1, 4, salt=str(height))
                async with asyncio.timeout(60):
                    while await client.current_height() != height + 3:  # noqa: ASYNC110 - another process
                        await asyncio.sleep(0.05)
                assert await client.headers(0, 100) == network.chain
            process.send_signal(end)
            assert await asyncio.wait_for(process.wait(), 30) == (0 if end is signal.SIGTERM else -end)
            await process.communicate()


def test_serve_refuses_a_start_that_cannot_work_in_one_line(tmp_path: Path) -> None:
    serve = ["serve", *ANYWHERE, "--network", "mock", "--source", "http://127.0.0.1:9/v1/bsv/mock"]
    path = tmp_path / "h.sqlite"
    refused(sdk(*serve[:5], "--database", f"sqlite:///{path}"), "no public source serves mock", "--source")
    refused(sdk(*serve, "--database", f"sqlite:///{tmp_path}/no/such/h.sqlite"), "no/such does not exist")
    path.write_bytes(b"this is no database, but long enough to be looked at" * 40)
    refused(sdk(*serve, "--database", f"sqlite:///{path}"), "h.sqlite")


def test_serve_refuses_a_locked_database_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE other (id INTEGER)")
        connection.execute("BEGIN EXCLUSIVE")
        serve = ["serve", *ANYWHERE, "--network", "mock", "--source", "http://127.0.0.1:9"]
        serve += ["--database", f"sqlite:///{path}"]
        refused(sdk(*serve, SDK_CHAINTRACKS_DATABASE_TIMEOUT="0"), "locked")


def test_serve_refuses_a_newer_database(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE alembic_version_chaintracks (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version_chaintracks VALUES ('9999')")
    connection.close()
    source = ("--network", "mock", "--source", "http://127.0.0.1:9")
    refused(sdk("serve", *ANYWHERE, *source, "--database", f"sqlite:///{path}"), "9999", "newer")


async def test_serve_names_a_source_that_is_not_there_and_serves_what_it_has(tmp_path: Path) -> None:
    source = "http://127.0.0.1:9/v1/bsv/mock"
    process = await asyncio.create_subprocess_exec(
        *SDK, "chaintracks", "serve", *ANYWHERE, "--network", "mock", "--source", source,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdout is not None
    assert (await asyncio.wait_for(process.stdout.readline(), 60)).startswith(b"headers of mock up to 0: http://")
    process.terminate()
    _, err = await asyncio.wait_for(process.communicate(), 60)
    (line,) = (each for each in err.decode().splitlines() if each.startswith("sdk:"))
    assert line.startswith(f"sdk: source {source}: /chain/info: cannot be reached at 127.0.0.1:9")
    assert line.endswith("; it is tried again")


@pytest.mark.parametrize("network", ["regtest", "mock"])
def test_verify_takes_the_network(tmp_path: Path, network: str) -> None:
    path = tmp_path / "m.headers"
    path.write_bytes(raw(grown(HeaderNetwork().chain, 4)))
    assert "heights 0-4" in sdk("verify", str(path), "--from-height", "0", "--network", network).stdout
    refused(sdk("verify", str(path), "--from-height", "0"), "easier than the network's limit")
