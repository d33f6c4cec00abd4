"""``sdk monitor`` as a user runs it: real processes, a real wallet database, a devnet on the other side."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sdk.devnet.server import DevnetServer
from sdk.service.database import Database
from sdk.service.http_app import listen
from sdk.service.http_client import HttpClient
from sdk.service.migrations import upgrade
from sdk.wallet.storage.migrations import MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SDK = str(Path(sys.executable).with_name("sdk"))
NAMES = ("check-for-proofs", "fail-abandoned", "new-header", "reorg", "send-waiting", "trim-log")
NOBODY = {
    "SDK_WALLET_CHAIN": "mock",
    "SDK_WALLET_ARC_URL": "http://127.0.0.1:9",
    "SDK_WALLET_HEADERS_URL": "http://127.0.0.1:9",
}


@pytest.fixture
async def database(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/wallet.db"
    async with await Database.open(url) as opened:
        await upgrade(opened, [MIGRATIONS])
    return url


@asynccontextmanager
async def command(*args: str, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SDK_")}
    process = await asyncio.create_subprocess_exec(
        SDK,
        "monitor",
        *args,
        env={**inherited, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run(*args: str, **environ: str) -> tuple[int, str, str]:
    async with command(*args, **environ) as process:
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


async def test_once_runs_what_is_due_and_status_tells(database: str) -> None:
    async with DevnetServer() as devnet:
        environ = {**devnet.urls.wallet_settings(), "SDK_WALLET_DATABASE": database}
        code, out, _ = await run("once", **environ)
        assert code == 0
        assert {tuple(line.split()[:2]) for line in out.splitlines()} == {(name, "ok") for name in NAMES}
        code, out, _ = await run("once", "new-header", **environ)
        assert (code, f"height={devnet.devnet.height}" in out) == (0, True)
        code, out, _ = await run("status", **environ)
        assert code == 0
        assert "runs 2" in next(line for line in out.splitlines() if line.startswith("new-header"))


async def test_run_works_until_it_is_told_to_stop(database: str) -> None:
    async with DevnetServer() as devnet:
        environ = {
            **devnet.urls.wallet_settings(),
            "SDK_WALLET_DATABASE": database,
            "SDK_MONITOR_INTERVALS": '{"new-header": 0.05}',
            "SDK_MONITOR_POLL": "0.05",
        }
        async with command("run", "--port", "0", **environ) as process:
            assert process.stdout is not None
            line = (await process.stdout.readline()).decode()
            url = line.split()[-1]
            async with HttpClient(url, service="monitor") as http:
                assert (await http.request("GET", "/readyz")).status == 200
                while not await _followed(http):
                    assert process.returncode is None
                    await _turn()
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0


async def _turn() -> None:
    await asyncio.sleep(0.02)


async def _followed(http: HttpClient) -> bool:
    tasks = {each["name"]: each for each in (await http.get_json("/tasks"))["tasks"]}
    return bool(tasks["reorg"]["runs"] >= 2 and tasks["check-for-proofs"]["runs"] >= 2)


async def test_two_processes_share_one_database(database: str) -> None:
    async with DevnetServer() as devnet:
        environ = {**devnet.urls.wallet_settings(), "SDK_WALLET_DATABASE": database}
        ended = await asyncio.gather(*(run("once", **environ) for _ in range(2)))
        assert [code for code, _, _ in ended] == [0, 0]
        _, out, _ = await run("status", **environ)
        assert all("runs 1" in line for line in out.splitlines()), out


async def test_a_service_that_is_away_is_said_in_one_line(database: str) -> None:
    code, out, err = await run("once", "new-header", SDK_WALLET_DATABASE=database, **NOBODY)
    assert code == 1
    assert out.split()[:2] == ["new-header", "error"]
    assert "cannot be reached" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [("run", "--port", "0"), ("once",), ("status",)])
async def test_tables_that_are_missing_are_said_in_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    place = tmp_path / "wallet.db"
    code, _, err = await run(*arguments, SDK_WALLET_DATABASE=f"sqlite:///{place}", **NOBODY)
    assert code == 1
    assert f"`sdk db upgrade --url sqlite:///{place}` creates it" in err.strip().splitlines()[-1]
    assert not place.exists(), "nobody asked for one"
    place.touch()
    code, _, err = await run(*arguments, SDK_WALLET_DATABASE=f"sqlite:///{place}", **NOBODY)
    assert code == 1
    assert err.strip().splitlines()[-1].endswith("run `sdk db upgrade`")
    assert "Traceback" not in err


async def test_a_port_that_is_taken_is_said_in_one_line(database: str) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        code, _, err = await run("run", "--port", port, SDK_WALLET_DATABASE=database, **NOBODY)
    assert code == 1
    assert f"port {port} on 127.0.0.1 is taken" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        ({"SDK_MONITOR_POLL": "soon"}, "SDK_MONITOR_POLL"),
        ({"SDK_MONITOR_POL": "1"}, "did you mean SDK_MONITOR_POLL?"),
        ({"SDK_MONITOR_DISABLED": "no-such"}, "no-such"),
        ({"SDK_MONITOR_BACKEND": "no-such"}, "no plugin 'no-such'"),
    ],
)
async def test_a_setting_that_cannot_work_is_said_in_one_line(
    database: str, environ: dict[str, str], complaint: str
) -> None:
    code, _, err = await run("once", SDK_WALLET_DATABASE=database, **NOBODY, **environ)
    assert code == 1
    assert complaint in err
    assert "Traceback" not in err
