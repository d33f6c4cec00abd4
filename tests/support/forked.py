"""The other side of ``support.forking``: work in children that may be killed.

Reads one JSON object a line: its ``number``, ``plan`` for the fail points (or null), perhaps a ``pattern`` of their
names, and what the work needs. Answers with number and exit status when a child has ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any

from sdk.service import failpoints

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


def child(work: Callable[[dict[str, Any]], Coroutine[Any, Any, None]], given: dict[str, Any]) -> None:
    if given["plan"] is not None:
        failpoints.reach = failpoints.Failpoints(given["plan"], given.get("pattern")).reach  # type: ignore[misc]
        failpoints.active = True  # type: ignore[misc]
    asyncio.run(work(given))


def main(work: Callable[[dict[str, Any]], Coroutine[Any, Any, None]]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    print("ready", flush=True)
    for line in sys.stdin:
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _attend(work, json.loads(line))
            os._exit(0)


def _attend(work: Callable[[dict[str, Any]], Coroutine[Any, Any, None]], given: dict[str, Any]) -> None:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            child(work, given)
            status = 0
        except BaseException:  # noqa: BLE001 - the parent is told by the exit status
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(sys.stdout.fileno(), f"{given['number']} {status}\n".encode())  # whole: others write too
