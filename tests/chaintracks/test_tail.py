"""``sdk chaintracks tail`` as a process, beside a real server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.server import ChaintracksServer
from sdk.service.database import Database
from support.header_rig import GENESIS, grown, raw

if TYPE_CHECKING:
    from pathlib import Path

SDK = [sys.executable, "-c", "from sdk.service.cli.root import run; run()"]

pytestmark = pytest.mark.timeout(90)


async def printed(*arguments: str) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        *SDK,
        *("chaintracks", "tail", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("SDK_")},
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return out.decode().splitlines()


async def test_it_prints_changes_and_goes_on_after_the_cursor_of_a_line(tmp_path: Path) -> None:
    headers = grown([GENESIS], 5)
    fork = grown(headers[:4], 3, salt="fork")
    async with await Database.open(f"sqlite:///{tmp_path}/h.sqlite") as database:
        service = await Chaintracks.open("mock", database, [])
        server = ChaintracksServer(service)
        url = await server.start()
        for each in headers[1:]:
            await service.chain.extend(each.to_bytes())
        lines = await printed(url, "--after", f"0-{GENESIS.hash()}", "--count", "5", "--network", "mock")
        assert [line.split()[1:4] for line in lines] == [
            ["tip", str(height), headers[height].hash()] for height in range(1, 6)
        ]
        await service.chain.extend(raw(fork[4:]))
        [line] = await printed(url, "--after", lines[-1].split()[0], "--count", "1")
        assert line == f"6-{fork[6].hash()} tip 6 {fork[6].hash()} (3 headers), 2 removed"
        await server.stop()


@pytest.mark.parametrize("url", ["nonsense", "localhost:3011", "ftp://127.0.0.1", ""])
def test_an_address_that_is_none_is_said_in_one_line(url: str) -> None:
    ended = subprocess.run([*SDK, "chaintracks", "tail", url], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == f"sdk: {url!r} is no address of a header service: write http://host:port\n"


def test_a_cursor_that_is_none_is_said_in_one_line() -> None:
    done = subprocess.run(
        [*SDK, "chaintracks", "tail", "http://127.0.0.1:9", "--after", "5"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("sdk: ")
    assert "<number>-<block hash>" in done.stderr
    assert len(done.stderr.splitlines()) == 1
