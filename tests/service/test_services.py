"""``scripts/services``: idempotent, on loopback, and gone without a trace."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from support.requirements import ROOT, missing

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = ROOT / "scripts" / "services"


@pytest.fixture(params=["memcached", "redis"])
def name(request: pytest.FixtureRequest) -> str:
    program = {"memcached": "memcached", "redis": "redis-server"}[request.param]
    if shutil.which(program) is None:
        missing(program, f"run ./scripts/services start {request.param}")
    found: str = request.param
    return found


def services(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SCRIPT), *args],
        env={**os.environ, "SDK_SERVICES": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def listens(url: str) -> bool:
    host, port = url.split("://")[1].split("/", maxsplit=1)[0].split(":")
    with socket.socket() as sock:
        return sock.connect_ex((host, int(port))) == 0


def test_start_twice_crash_and_stop(tmp_path: Path, name: str) -> None:
    started = services(tmp_path, "start", name)
    assert started.returncode == 0, started.stderr
    url = started.stdout.strip()
    try:
        assert url.startswith(f"{name}://127.0.0.1:")
        assert (tmp_path / f"{name}.url").read_text().strip() == url
        assert listens(url)
        assert services(tmp_path, "start", name).stdout.strip() == url
        assert services(tmp_path, "status").stdout.strip() == url

        os.kill(int((tmp_path / f"{name}.pid").read_text().split()[0]), signal.SIGKILL)
        assert any(services(tmp_path, "status").stdout == "" for _ in range(200))
        again = services(tmp_path, "start", name).stdout.strip()
        assert listens(again)
        url = again
    finally:
        stopped = services(tmp_path, "stop", name)
    assert stopped.returncode == 0, stopped.stderr
    assert not listens(url)
    assert [each.name for each in tmp_path.iterdir()] == [".lock"]
    assert services(tmp_path, "stop", name).returncode == 0


def test_two_callers_at_once_get_one_server(tmp_path: Path, name: str) -> None:
    environ = {**os.environ, "SDK_SERVICES": str(tmp_path)}
    both = [
        subprocess.Popen([str(SCRIPT), "start", name], env=environ, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    try:
        urls = {process.communicate(timeout=120)[0] for process in both}
        assert len(urls) == 1
    finally:
        services(tmp_path, "stop", name)


def test_a_process_id_that_now_belongs_to_another_program_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "redis.pid").write_text(f"{os.getpid()} 1\n")
    (tmp_path / "redis.url").write_text("redis://127.0.0.1:1/0\n")
    assert services(tmp_path, "status").stdout == ""
    assert services(tmp_path, "stop", "redis").returncode == 0
    assert not (tmp_path / "redis.url").exists()


@pytest.mark.parametrize(
    ("args", "complaint"),
    [(("start", "oracle"), "no service is called 'oracle'"), ((), "services start"), (("x",), "services start")],
)
def test_wrong_usage_is_explained(tmp_path: Path, args: tuple[str, ...], complaint: str) -> None:
    done = services(tmp_path, *args)
    assert done.returncode != 0
    assert complaint in done.stderr
