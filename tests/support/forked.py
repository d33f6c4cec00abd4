"""The other side of ``support.forking``: work in children that may be killed.

Reads one JSON object a line: ``plan`` for the fail points (or null), perhaps a ``pattern`` of their names, and what the
work needs. Answers with the exit status.
"""

from __future__ import annotations

import asyncio
import json
import os
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
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child(work, json.loads(line))
                status = 0
            except BaseException:  # noqa: BLE001 - the parent is told by the exit status
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
