"""A process that forks a child for each piece of work, so that each can be killed and the imports are paid once."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from support.requirements import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Forking:
    """Hands work over as JSON lines; see ``support.forked``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, **given: Any) -> int:
        """The child's exit status; negative for a signal."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"plan": None, **given}).encode() + b"\n")
        return int(await self._process.stdout.readline())


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
    try:
        yield Forking(process)
    finally:
        process.stdin.close()
        await process.wait()
