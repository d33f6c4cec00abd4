"""One process of a module: alone in its session, dead when the orchestrator dies, killed by handle and never by number.

Linux only: it needs pidfds and PR_SET_PDEATHSIG. The process is reaped only after its group was killed; until then the
kernel keeps its number from being given to anybody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sdk.module_runtime.orchestrator.logs import LogCollector

_LAUNCHER: Final = """
import ctypes, os, signal, sys
parent, program = int(sys.argv[1]), sys.argv[2]
if ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL) != 0:
    sys.exit("prctl(PR_SET_PDEATHSIG): " + os.strerror(ctypes.get_errno()))
if os.getppid() != parent:
    sys.exit("the orchestrator died before the module started")
try:
    os.execv(program, sys.argv[3:])
except OSError as error:
    sys.exit(f"{program} cannot be started: {error.strerror}")
"""
"""Runs before the module's program in its process: code between fork and exec is unsafe in a program with threads."""
_CHUNK: Final = 65_536
_LAST_WORDS: Final = 1 << 20


class Process:
    """A started process. Its output goes to ``logs`` until it has exited."""

    def __init__(self, popen: subprocess.Popen[bytes], logs: LogCollector) -> None:
        assert popen.stdout is not None
        self._popen, self._logs, self._output = popen, logs, popen.stdout
        self._loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[int] = self._loop.create_future()
        self._handle = os.pidfd_open(popen.pid)
        os.set_blocking(self._output.fileno(), False)
        self._loop.add_reader(self._output.fileno(), self._read)
        self._loop.add_reader(self._handle, self._exited)

    @classmethod
    def start(
        cls,
        program: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        directory: Path | None,
        logs: LogCollector,
    ) -> Process:
        """Start ``program`` with ``arguments`` (the first is its name). ``OSError`` if no process can be made."""
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), program, *arguments]
        popen = subprocess.Popen(
            launcher,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            cwd=directory,
            env=dict(environment),
            start_new_session=True,
        )
        return cls(popen, logs)

    @property
    def pid(self) -> int:
        return self._popen.pid

    async def wait(self) -> int:
        """The exit status: a code, or minus the number of the signal that killed it."""
        return await asyncio.shield(self._exit)

    async def stop(self, patience: float) -> int:
        """SIGTERM to the process, after ``patience`` seconds SIGKILL to its group. Calling it again changes nothing."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(patience):
                return await self.wait()
        except TimeoutError:
            return await self.kill()

    async def kill(self) -> int:
        self._signal(signal.SIGKILL)
        return await self.wait()

    def _signal(self, number: signal.Signals) -> None:
        if not self._exit.done():
            signal.pidfd_send_signal(self._handle, number)

    def _read(self) -> bool:
        """Take what is there; False when there is nothing (more)."""
        try:
            data = os.read(self._output.fileno(), _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._output.fileno())
            return False
        self._logs.feed(data)
        return True

    def _exited(self) -> None:
        """The process is a zombie now: end what it left behind in its group, hear its last words, then reap it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody of the group but the zombie is left
            os.killpg(self._popen.pid, signal.SIGKILL)
        for _ in range(_LAST_WORDS // _CHUNK):
            if not self._read():
                break
        self._logs.finish()
        self._loop.remove_reader(self._output.fileno())
        self._loop.remove_reader(self._handle)
        self._output.close()  # even if a process that left the group still holds the other end
        os.close(self._handle)
        self._exit.set_result(self._popen.wait())
