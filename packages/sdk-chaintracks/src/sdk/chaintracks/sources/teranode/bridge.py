"""This side of the pipe to the process on the bus: begins it, begins it again when it falls, keeps what it tells.

What is kept is bounded: the last block that each of the last authors announced.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from sdk.chaintracks.sources.teranode.announcement import Announcement
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from sdk.chaintracks.sources.teranode.task import BusTask

_MAX_LINE: Final = 64 * 1024
_MAX_AUTHORS: Final = 64
_GRACE: Final = 3.0
"""Seconds the process has to part from its peers."""
_SHORTEST: Final = 1.0
_LONGEST: Final = 300.0
_STEADY: Final = 60.0
"""Seconds of life after which a fall is no longer one of a row."""

log = get_logger(__name__)


class BusBridge:
    """``wait`` begins it. ``connected`` are the peers on the topic, ``fault`` why there is none, if it is known.

    ``lost`` counts how often nobody was connected any more, so that who remembers it knows whether news may be missing.
    ``python`` is the interpreter that has libp2p; ``environ`` is added to its environment.
    """

    def __init__(
        self,
        task: BusTask,
        *,
        python: Path | None = None,
        environ: Mapping[str, str] | None = None,
        shortest: float = _SHORTEST,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic, self._environ = monotonic, dict(environ or {})
        self._task_line, self._python, self._shortest = task.to_line(), str(python or sys.executable), shortest
        self._news = asyncio.Event()
        self._blocks: OrderedDict[str, Announcement] = OrderedDict()
        self._running: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._failures = 0
        self.connected: tuple[str, ...] = ()
        self.fault = "it is only just started"
        self.counts: dict[str, int] = {}
        self.lost = self.started = 0

    @property
    def pid(self) -> int | None:
        """Of the process, while it runs."""
        return None if self._process is None else self._process.pid

    def begin(self) -> None:
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="the Teranode bus")

    async def wait(self) -> None:
        """Return when a block is announced, or peers have come or gone."""
        self.begin()
        await self._news.wait()
        self._news.clear()

    def take(self) -> list[Announcement]:
        """What was announced since, the last of each author."""
        found, self._blocks = [*self._blocks.values()], OrderedDict()
        return found

    async def ban(self, peer: str) -> None:
        """Part from ``peer``; what it signed is not passed on any more."""
        self._blocks.pop(peer, None)
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(json.dumps({"ban": peer}).encode() + b"\n")
                await self._process.stdin.drain()

    async def close(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    # inside

    async def _run(self) -> None:
        while True:
            since = self._monotonic()
            try:
                reason = await self._live()
            except (OSError, ValueError, LookupError, TypeError) as error:  # the latter for a line that is none of ours
                reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            self._take_state((), [reason], self.counts)
            if self._monotonic() - since > _STEADY:
                self._failures = 0
            delay = min(_LONGEST, self._shortest * 2.0 ** min(self._failures, 16))
            self._failures += 1
            log.warning("the process on the Teranode bus ended", reason=reason, again_in=round(delay, 1))
            await asyncio.sleep(delay)

    async def _live(self) -> str:
        """One life of the process; how it ended. Raises ``OSError``, and what odd lines make of it."""
        module = f"{__package__}.bus"
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(self._python, "-m", module),
            env={**os.environ, **self._environ},
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            limit=_MAX_LINE,
        )
        self._process = process
        self.started += 1
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        words = asyncio.create_task(_last_words(process.stderr), name="words of the Teranode bus")
        try:
            process.stdin.write(self._task_line)
            await process.stdin.drain()
            while line := await process.stdout.readline():
                self._take(json.loads(line))
            async with asyncio.timeout(_GRACE):
                return await words or "it said nothing"
        finally:
            self._process = None
            words.cancel()
            await asyncio.gather(words, return_exceptions=True)
            await _ended(process)

    def _take(self, line: dict[str, Any]) -> None:
        if line["kind"] == "block":
            found = Announcement.from_line(line)
            self._blocks.pop(found.author, None)
            self._blocks[found.author] = found
            while len(self._blocks) > _MAX_AUTHORS:
                self._blocks.popitem(last=False)
            self._news.set()
        else:
            self._take_state(tuple(line["connected"]), line["faults"], line["counts"])

    def _take_state(self, connected: tuple[str, ...], faults: list[str], counts: dict[str, int]) -> None:
        self.counts, self.fault = counts, "; ".join(faults)[:400]
        if connected != self.connected:
            self.lost += bool(self.connected) and not connected
            self.connected = connected
            self._news.set()
            log.info("peers of the Teranode bus", connected=len(connected), faults=self.fault)


async def _last_words(stream: asyncio.StreamReader) -> str:
    """Logs what the process says, until it ends; its last line."""
    last = ""
    while True:
        try:
            line = await stream.readline()
        except ValueError:  # longer than any line of ours
            continue
        if not line:
            return last
        if text := line.decode("utf-8", "replace").strip()[:500]:
            last = text
            log.info("Teranode bus", said=text)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Its input ends, and so does it; or it is made to. What it still says is read, or its pipes would stay open."""
    assert process.stdin is not None
    process.stdin.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_GRACE):
            await process.communicate()
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.communicate()
