"""A process that forks a child for each piece of work, so that each can be killed and the imports are paid once."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from support.requirements import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Forking:
    """Hands work over as JSON lines, as much at once as is asked for; see ``support.forked``."""

    def __init__(self, work: asyncio.StreamWriter, statuses: asyncio.StreamReader) -> None:
        self._work, self._statuses = work, statuses
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[int]] = {}

    async def run(self, **given: Any) -> int:
        """The child's exit status; negative for a signal."""
        number = next(self._numbers)
        ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting[number] = ended
        self._work.write(json.dumps({"number": number, "plan": None, **given}).encode() + b"\n")
        return await ended

    async def listen(self) -> None:
        while line := await self._statuses.readline():
            number, status = map(int, line.split())
            self._waiting.pop(number).set_result(status)
        for left in self._waiting.values():
            left.set_exception(EOFError("the process that forks has ended"))


@asynccontextmanager
async def forking(module: str) -> AsyncIterator[Forking]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT / "tests",
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert (await process.stdout.readline()).strip() == b"ready"
    runner = Forking(process.stdin, process.stdout)
    listening = asyncio.create_task(runner.listen())
    try:
        yield runner
    finally:
        process.stdin.close()
        await process.wait()
        await listening
