"""Load on one header service in one process; the clients are in another (``_headers_served``, ``_header_clients``)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from sdk.chaintracks.consensus.fields import header_json, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HERE = Path(__file__).parent
ROOT = HERE.parent
PEERS = Path(os.environ.get("SDK_CACHE", ROOT / ".cache")) / "peers" / "node"
CDN = Path(os.environ.get("SDK_VECTORS", ROOT.parent / "shared" / "vectors")) / "headers" / "cdnTest402"
HEADERS = 10_000
SUBSCRIBERS = 2_000
BLOCKS = 7
REQUESTS = 20_000
PEER_REQUESTS = 5_000
CONNECTIONS = 32


class _Child:
    def __init__(self, command: Sequence[str], **environment: str) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
        )

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
    child = _Child([sys.executable, str(HERE / script), *map(str, arguments)])
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
    found = _asked(f"{url}/v2/header/height/", REQUESTS, HEADERS)
    spent = server.ask("spent")["spent"] - before
    what = "header by height over HTTP, one process"
    report(what, REQUESTS / found, "requests/s", peers=_peer(), limit=1_500)
    report(f"{what}, by its processor time", REQUESTS / spent, "requests/s")


def _asked(address: str, count: int, top: int) -> float:
    """Seconds."""
    with _child("_header_clients.py", "get", address, CONNECTIONS, count, top) as clients:
        return float(clients.told()["seconds"])


def _peer() -> dict[str, float]:
    """The same load on the reference's service, with 402 headers in memory, if it is installed."""
    if not (PEERS / "node_modules" / "@bsv" / "wallet-toolbox").is_dir() or not CDN.is_dir():
        return {}
    ports = [_free_port(), _free_port()]
    files = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(ports[0]), "--bind", "127.0.0.1", "--directory", str(CDN)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    driver = ROOT / "tests" / "peers" / "node" / "chaintracks_service.mjs"
    service = _Child(["node", str(driver)], SDK_PEER=str(PEERS))
    try:
        headers = [header_json(each, at) for at, each in enumerate(split(_cdn_headers()))]
        given = {"cdn": f"http://127.0.0.1:{ports[0]}", "headers": headers, "threshold": 52}
        told = service.ask(json.dumps({"op": "start", "storage": "nodb", "port": ports[1], **given}))
        if "error" in told:
            raise AssertionError(told["error"])
        address = f"http://127.0.0.1:{ports[1]}/findHeaderHexForHeight?height="
        return {"@bsv/wallet-toolbox": PEER_REQUESTS / _asked(address, PEER_REQUESTS, len(headers))}
    finally:
        for each in (service.process, files):
            each.kill()
            each.wait()


def _cdn_headers() -> bytes:
    names = [each["fileName"] for each in json.loads((CDN / "mainNetBlockHeaders.json").read_text())["files"]]
    return b"".join((CDN / each).read_bytes() for each in names)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


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
