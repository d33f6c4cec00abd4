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

from sdk.module_runtime.orchestrator.pipes import InputPipe, OutputPipe

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sdk.module_runtime.orchestrator.pipes import Sink

_LAUNCHER: Final = """
import ctypes, os, signal, sys
parent, passed, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL) != 0:
    sys.exit("prctl(PR_SET_PDEATHSIG): " + os.strerror(ctypes.get_errno()))
if os.getppid() != parent:
    sys.exit("the orchestrator died before the module started")
if passed >= 0:
    os.dup2(passed, 3)
    if passed != 3:
        os.close(passed)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
try:
    os.execv(program, sys.argv[4:])
except OSError as error:
    sys.exit(f"{program} cannot be started: {error.strerror}")
"""
"""Runs before the module's program in its process: code between fork and exec is unsafe in a program with threads."""


class Process:
    """A started process, heard until it has exited. ``input`` is what it reads, if anything."""

    def __init__(self, popen: subprocess.Popen[bytes], output: Sink, errors: Sink | None) -> None:
        assert popen.stdout is not None
        self.input: InputPipe | None = None
        self.output = OutputPipe(popen.stdout, output)
        self._errors = OutputPipe(popen.stderr, errors) if popen.stderr is not None and errors is not None else None
        self._popen = popen
        self._loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[int] = self._loop.create_future()
        self._handle = os.pidfd_open(popen.pid)
        self._loop.add_reader(self._handle, self._exited)

    @classmethod
    async def start(
        cls,
        program: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        directory: Path | None,
        output: Sink,
        *,
        errors: Sink | None = None,
        clock: Callable[[], float] | None = None,
        listening: socket.socket | None = None,
    ) -> Process:
        """Start ``program`` with ``arguments`` (the first is its name). ``OSError`` if no process can be made.

        Its standard error goes to ``errors``, or where its output goes. With ``clock`` it has an ``input``.
        It inherits ``listening``, as systemd passes sockets.
        """
        passed = -1 if listening is None else listening.fileno()
        popen = _spawn(
            [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(passed), program, *arguments],
            environment,
            directory,
            with_input=clock is not None,
            with_errors=errors is not None,
            passed=() if listening is None else (passed,),
        )
        process = cls(popen, output, errors)
        if clock is not None and popen.stdin is not None:
            try:
                process.input = await InputPipe.open(popen.stdin, clock)
            except BaseException:
                await process.kill()
                raise
        return process

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

    def _exited(self) -> None:
        """The process is a zombie now: end what it left behind in its group, hear its last words, then reap it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody of the group but the zombie is left
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._loop.remove_reader(self._handle)
        self.output.close()
        if self._errors is not None:
            self._errors.close()
        if self.input is not None:
            self.input.close()
        os.close(self._handle)
        self._exit.set_result(self._popen.wait())


def _spawn(
    command: Sequence[str],
    environment: Mapping[str, str],
    directory: Path | None,
    *,
    with_input: bool,
    with_errors: bool,
    passed: Sequence[int],
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE if with_input else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if with_errors else subprocess.STDOUT,
        bufsize=0,
        cwd=directory,
        env=dict(environment),
        start_new_session=True,
        pass_fds=passed,
    )
