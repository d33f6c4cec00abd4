"""A process that checks pieces of headers; ``python -m sdk.chaintracks.check_worker`` is its side of the pipe.

Not ``multiprocessing``: that would run the main module of whoever uses this library a second time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import sys
from struct import Struct
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple, Self

from sdk.chaintracks.consensus import Window, check_batch
from sdk.chaintracks.consensus.fields import HEADER, header_hash, number_columns
from sdk.chaintracks.errors import InvalidHeader

if TYPE_CHECKING:
    from sdk.chaintracks.consensus import Rules

_TASK: Final = Struct("<IqII")  # first, now, bytes before, bytes to check
_ANSWER: Final = Struct("<?I")


class WorkerLost(Exception):
    """The process has ended or cannot be reached."""


class Task(NamedTuple):
    """Headers from height ``first`` on, and those before them; ``now`` in Unix seconds."""

    before: bytes
    raw: bytes
    first: int
    now: int


def check(rules: Rules, task: Task) -> bytes | InvalidHeader:
    """The hashes, 32 bytes each, or the first fault."""
    _, times, bits = number_columns(task.before)
    window = Window(task.first - len(times), times, bits)
    try:
        batch = check_batch(rules, task.raw, task.first, header_hash(task.before[-HEADER:]), window, task.now)
    except InvalidHeader as error:
        return error
    return b"".join(batch.hashes)


class Worker:
    """This side: tasks may be given before the answers to earlier ones have come; they come in order."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._writing, self._reading = asyncio.Lock(), asyncio.Lock()

    @classmethod
    async def start(cls, rules: Rules) -> Self:
        """Raises ``OSError`` when no process can be made."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __spec__.name, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        known = pickle.dumps(rules)
        process.stdin.write(len(known).to_bytes(4, "little") + known)
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, task: Task) -> bytes | InvalidHeader:
        """Call in the order in which answers are wanted. Raises ``WorkerLost``."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            async with self._writing:
                stdin.write(_TASK.pack(task.first, task.now, len(task.before), len(task.raw)))
                stdin.write(task.before)
                stdin.write(task.raw)
                await stdin.drain()
            async with self._reading:
                holds, size = _ANSWER.unpack(await stdout.readexactly(_ANSWER.size))
                answer = await stdout.readexactly(size)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise WorkerLost(f"{type(error).__name__}") from error
        return answer if holds else InvalidHeader(*json.loads(answer))

    async def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


def serve(given: BinaryIO, answers: BinaryIO) -> None:
    """Answer tasks until there are no more."""
    rules = pickle.loads(given.read(int.from_bytes(given.read(4), "little")))
    while head := given.read(_TASK.size):
        first, now, before, size = _TASK.unpack(head)
        found = check(rules, Task(given.read(before), given.read(size), first, now))
        if isinstance(found, InvalidHeader):
            body = json.dumps([found.rule, found.height, found.block_hash, found.detail]).encode()
        else:
            body = found
        answers.write(_ANSWER.pack(isinstance(found, bytes), len(body)) + body)
        answers.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        serve(sys.stdin.buffer, sys.stdout.buffer)
