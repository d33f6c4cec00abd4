"""Other processes, seen from outside."""

from __future__ import annotations

import asyncio
import os
import select
from pathlib import Path

PATIENCE = 30.0


def children(pid: int) -> list[int]:
    """The processes it has started and not yet reaped (Linux)."""
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def is_alive(pid: int) -> bool:
    """Whether it runs; one that has ended and is not reaped does not."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until_gone(pid: int) -> None:
    """Until no process has this number; ``TimeoutError`` if it stays."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        async with asyncio.timeout(PATIENCE):
            await ended.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def ends(pid: int) -> bool:
    """Whether the process ends (or has ended) within ``PATIENCE``; it need not have been reaped."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], PATIENCE)[0])
    finally:
        os.close(handle)
