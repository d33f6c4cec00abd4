"""Servers of a test's own, which it may kill."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from support.processes import children, ends
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
        self._user: dict[str, Any] = {}
        if name == "redis":  # its command line reads otherwise
            port = str(urlsplit(self.url).port)
            self._command = ["redis-server", "--bind", "127.0.0.1", "--port", port, "--dir", str(folder), "--save", ""]
        else:
            self._command = Path(f"/proc/{self.pid}/cmdline").read_text().rstrip("\0").split("\0")
        if name == "postgresql" and os.geteuid() == 0:  # which it refuses to be
            owner = (folder / name / "data").stat()
            self._user = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone, and so are the processes that PostgreSQL has of its own."""
        os.kill(self.pid, signal.SIGSTOP)  # so that it makes no more of them meanwhile
        left = children(self.pid)
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        else:
            handle = os.pidfd_open(self.pid)
            try:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                if not select.select([handle], [], [], PATIENCE)[0]:
                    raise TimeoutError("a killed server lives on")
            finally:
                os.close(handle)
        if not all(map(ends, left)):
            raise TimeoutError("processes of a killed server live on")
        if self.name == "postgresql":
            # It names a process that is dead, but may not have been reaped by whoever it was left to.
            (self.folder / self.name / "data" / "postmaster.pid").unlink(missing_ok=True)

    def start(self) -> None:
        with (self.folder / self.name / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self.folder / self.name, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                **self._user,
            )  # fmt: skip
        self.pid = self._process.pid

    @property
    def has_failed(self) -> bool:
        """Whether it was started again and did not stay."""
        return self._process is not None and self._process.poll() not in (None, -signal.SIGKILL)


@contextmanager
def own_servers(names: Sequence[str]) -> Iterator[dict[str, OwnServer]]:
    """Skips like every test that needs these servers, where they are not installed."""
    for name in names:
        server_url(name)
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="own-servers-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o711)  # PostgreSQL is another user
        environment = {**os.environ, "SDK_SERVICES": str(folder)}
        subprocess.run(
            [ROOT / "scripts" / "services", "start", *names], env=environment, check=True, capture_output=True
        )
        servers = {}
        for name in names:
            servers[name] = OwnServer(folder, name)
            stack.callback(_end, servers[name])
        yield servers


def _end(server: OwnServer) -> None:
    try:
        server.kill()
    except (ProcessLookupError, FileNotFoundError):
        return
