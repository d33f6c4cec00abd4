"""Load on one header service in one process; the clients are in another (``_headers_served``, ``_header_clients``)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
HEADERS = 10_000
SUBSCRIBERS = 2_000
BLOCKS = 7
REQUESTS = 20_000
CONNECTIONS = 32


class _Child:
    def __init__(self, script: str, *arguments: object) -> None:
        command = [sys.executable, str(HERE / script), *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def told(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"{self.process.args!r} ended")
        return dict(json.loads(line))

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ask(self, line: str) -> dict[str, Any]:
        self.say(line)
        return self.told()


@contextmanager
def _child(script: str, *arguments: object) -> Iterator[_Child]:
    child = _Child(script, *arguments)
    try:
        yield child
    finally:
        assert child.process.stdin is not None
        child.process.stdin.close()
        if child.process.wait(60):
            raise AssertionError(f"{script} failed")


def load(report: Callable[..., None]) -> None:
    with tempfile.TemporaryDirectory() as folder, _child("_headers_served.py", folder, HEADERS) as server:
        url = server.told()["url"]
        _requests(report, server, url)
        _subscribers(report, server, url)


def _requests(report: Callable[..., None], server: _Child, url: str) -> None:
    before = server.ask("spent")["spent"]
    with _child("_header_clients.py", "get", url, CONNECTIONS, REQUESTS, HEADERS) as clients:
        found = clients.told()
    spent = server.ask("spent")["spent"] - before
    what = "header by height over HTTP, one process"
    report(what, REQUESTS / found["seconds"], "requests/s", limit=1_500)
    report(f"{what}, by its processor time", REQUESTS / spent, "requests/s")


def _subscribers(report: Callable[..., None], server: _Child, url: str) -> None:
    with _child("_header_clients.py", "subscribe", url, SUBSCRIBERS) as clients:
        if clients.told()["ready"] != SUBSCRIBERS:
            raise AssertionError("not everyone is subscribed")
        seconds, spent = [], server.ask("spent")["spent"]
        for _ in range(BLOCKS):
            clients.say("next")
            mined, told = server.ask("mine"), clients.told()
            if told["count"] != SUBSCRIBERS:
                raise AssertionError(f"{told['count']} messages for {SUBSCRIBERS} subscribers")
            seconds.append(told["last"] - mined["at"])
        spent = server.ask("spent")["spent"] - spent
    what = f"new tip to all of {SUBSCRIBERS:,} WebSocket subscribers"
    report(what, median(seconds), "s", limit=1)
    report(f"{what}, the slowest of {BLOCKS} blocks", max(seconds), "s", limit=1)
    report(f"{what}, the server's processor time", spent / BLOCKS, "s")
