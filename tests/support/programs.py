"""Programs that a test starts, kills and starts again at the same address."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

PATIENCE = 60.0


class ProgramEnded(Exception):
    """It ended by itself, or did not end well; with the last lines of its log."""


@dataclass
class Program:
    """``log`` takes everything it says, over all its lives."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]
    log: Path
    cwd: Path | None = None
    kills: int = 0
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    @property
    def runs(self) -> bool:
        return self._process is not None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.command,
                env=dict(self.environ),
                cwd=self.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def check(self) -> None:
        """Raises ``ProgramEnded`` if it should run and does not."""
        if self._process is not None and self._process.returncode is not None:
            raise ProgramEnded(f"{self.name} ended by itself with {self._process.returncode}: {self.last_words()}")

    async def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        self.check()
        assert self._process is not None
        self._process.kill()
        await self._process.wait()
        self._process = None
        self.kills += 1

    async def stop(self) -> None:
        """SIGTERM; raises ``ProgramEnded`` unless it then ends with 0, or of the signal, having only just begun."""
        self.check()
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(PATIENCE):
                code = await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise ProgramEnded(f"{self.name} does not stop: {self.last_words()}") from None
        if code not in (0, -signal.SIGTERM):
            raise ProgramEnded(f"{self.name} stopped with {code}: {self.last_words()}")

    async def away(self) -> None:
        """However it may end."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    def last_words(self) -> str:
        return " | ".join(self.log.read_text(errors="replace").splitlines()[-30:])[-4000:]


@asynccontextmanager
async def all_gone(programs: Sequence[Program]) -> AsyncIterator[None]:
    """None of them outlives this."""
    try:
        yield
    finally:
        for each in programs:
            await each.away()
