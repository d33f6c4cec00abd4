"""One `sdk ...` command as a child process: wait for the address it prints, stop it, say how it ended."""

from __future__ import annotations

import asyncio
import ctypes
import re
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from sdk.core.errors import SdkError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

START_SECONDS = 60.0
STOP_SECONDS = 20.0
_URL = re.compile(rb"https?://[\w.:\[\]-]+")
_RUN = "from sdk.service.cli import main; main()"
_SET_PARENT_DEATH_SIGNAL = 1


class ProgramFailed(SdkError):
    """It did not start, or did not stop by itself; the message holds the last of what it said."""

    code = "ERR_PROGRAM_FAILED"

    def __init__(self, name: str, what: str, log: str) -> None:
        self.name, self.what, self.log = name, what, log
        super().__init__(name, what, log)

    def __str__(self) -> str:
        said = f"; it said: {self.log}" if self.log else ""
        return f"{self.name} {self.what}{said}"


class Program:
    """A running `sdk` command. ``url`` is the address it printed."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name, self.log = name, log
        self.url = ""
        self._process = process
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls, name: str, arguments: tuple[str, ...], environ: Mapping[str, str], log: Path) -> Self:
        """Run ``sdk ARGUMENTS`` until it prints its address. Its output goes to ``log``. Raises ``ProgramFailed``."""
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                _RUN,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=dict(environ),
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,
                start_new_session=True,
            )
        program = cls(name, process, log)
        try:
            async with asyncio.timeout(START_SECONDS):
                await program._read_address()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise ProgramFailed(name, f"printed no address in {START_SECONDS:.0f} s", program.last_words()) from None
        program._reading = asyncio.create_task(program._drain(), name=f"output of {name}")
        return program

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    def last_words(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:])[-600:]

    async def stop(self) -> int:
        """Ask it to stop and wait; its exit code. Raises ``ProgramFailed`` if it has to be killed."""
        if self.is_running:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                code = await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise ProgramFailed(
                self.name, f"did not stop in {STOP_SECONDS:.0f} s and was killed", self.last_words()
            ) from None
        finally:
            if self._reading is not None:
                await self._reading
        return code

    async def wait(self) -> int:
        """Until it ends by itself."""
        return await self._process.wait()

    async def _read_address(self) -> None:
        output = self._process.stdout
        assert output is not None
        while line := await output.readline():
            self._note(line)
            found = _URL.search(line)
            if found:
                self.url = found.group().decode()
                return
        code = await self._process.wait()
        raise ProgramFailed(self.name, f"ended with code {code} before it was ready", self.last_words())

    async def _drain(self) -> None:
        output = self._process.stdout
        assert output is not None
        while line := await output.readline():
            self._note(line)

    def _note(self, line: bytes) -> None:
        with self.log.open("ab") as log:
            log.write(line)


def _end_with_parent() -> None:
    """In the child: die with the process that started it, however that ends."""
    ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
