"""Processes that an earlier orchestrator has left behind, known by a mark in their environment and never by number.

Every process of a module inherits ``SDK_RUNTIME_STATE``. Whoever still has it when a new orchestrator holds the lock
of the same state folder is nobody's any more, whatever group or session it has moved to.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

MARK: Final = "SDK_RUNTIME_STATE"
INSTANCE_MARK: Final = "SDK_RUNTIME_INSTANCE"
_PATIENCE: Final = 5.0


def end_marked(variable: str, value: str, proc: Path = Path("/proc")) -> int:
    """SIGKILL to every process of this user with ``variable=value``, and wait until they are gone; how many there were.

    Each is held by a handle before it is looked at a second time, so that a number given to somebody else meanwhile
    is not taken for it.
    """
    wanted = f"{variable}={value}".encode()
    with ExitStack() as open_handles:
        handles = []
        for pid in _pids(proc):
            if pid == os.getpid() or not _is_marked(proc, pid, wanted):
                continue
            with suppress(ProcessLookupError):
                handle = os.pidfd_open(pid)
                open_handles.callback(os.close, handle)
                if _is_marked(proc, pid, wanted):
                    with suppress(PermissionError):
                        signal.pidfd_send_signal(handle, signal.SIGKILL)
                        handles.append(handle)
        for handle in handles:
            _wait_until_gone(handle)
        return len(handles)


def _wait_until_gone(handle: int) -> None:
    gone = select.poll()  # unlike select(), it takes handles above 1023, which many modules bring
    gone.register(handle, select.POLLIN)
    gone.poll(_PATIENCE * 1000)


def _pids(proc: Path) -> list[int]:
    return [int(entry) for entry in os.listdir(proc) if entry.isdecimal()]


def _is_marked(proc: Path, pid: int, wanted: bytes) -> bool:
    try:
        return wanted in (proc / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is another user's
        return False
