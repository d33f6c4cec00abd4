"""Servers of a test's own, which it may kill."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from support.requirements import ROOT, server_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATIENCE = 60.0


class OwnServer:
    """``url`` stays the same however often it is killed and started again."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.folder = name, folder
        self.url = (folder / f"{name}.url").read_text().strip()
        self.pid = int((folder / f"{name}.pid").read_text().split()[0])
        self._process: subprocess.Popen[bytes] | None = None
        if name == "redis":  # its command line reads otherwise
            port = str(urlsplit(self.url).port)
            self._command = ["redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", str(folder), "--save", ""]
        else:
            self._command = Path(f"/proc/{self.pid}/cmdline").read_text().rstrip("\0").split("\0")

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            return
        handle = os.pidfd_open(self.pid)
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            if not select.select([handle], [], [], PATIENCE)[0]:
                raise TimeoutError("a killed server lives on")
        finally:
            os.close(handle)

    def start(self) -> None:
        nothing = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, cwd=self.folder, stdin=nothing, stdout=nothing, stderr=nothing)
        self.pid = self._process.pid


@contextmanager
def own_servers(names: Sequence[str], folder: Path) -> Iterator[dict[str, OwnServer]]:
    """Skips like every test that needs these servers, where they are not installed."""
    for name in names:
        server_url(name)
    environment = {**os.environ, "SDK_SERVICES": str(folder)}
    subprocess.run([ROOT / "scripts" / "services", "start", *names], env=environment, check=True, capture_output=True)
    with ExitStack() as stack:
        servers = {}
        for name in names:
            servers[name] = OwnServer(folder, name)
            stack.callback(_end, servers[name])
        yield servers


def _end(server: OwnServer) -> None:
    try:
        server.kill()
    except ProcessLookupError:
        return
