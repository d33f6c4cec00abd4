"""Ends a module whose orchestrator is gone although its own code hangs."""

from __future__ import annotations

import os
import select
import threading
import time
from typing import BinaryIO, Final

EXIT_CODE: Final = 75
"""EX_TEMPFAIL: what was in flight is lost."""


def end_without_orchestrator(lines_in: BinaryIO, patience: float) -> None:
    """Once the other end of ``lines_in`` is closed the process has ``patience`` seconds to end, and is ended then.

    This thread sees it while the event loop is blocked by a handler, and while unread lines stand before the end.
    """
    own = os.dup(lines_in.fileno())  # never closed, so that its number is not given to another file

    def watch() -> None:
        poll = select.poll()
        poll.register(own, 0)  # only the end is an event
        poll.poll()
        time.sleep(patience)
        os.write(2, b"the orchestrator is gone and this module does not end: ended by force\n")
        os._exit(EXIT_CODE)

    threading.Thread(target=watch, name="last-resort", daemon=True).start()
