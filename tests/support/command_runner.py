"""``sdk`` commands in children of a process that has imported everything: a start then costs no second.

Reads a JSON line for each command (``arguments``, ``environ``, and files ``out`` and ``err`` for what it says) and
answers with its exit status.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any, NoReturn

import sdk.chaintracks.cli
import sdk.chaintracks.engine
import sdk.chaintracks.server
import sdk.devnet.cli
import sdk.devnet.server
import sdk.monitor.cli
import sdk.monitor.monitor
import sdk.wallet.cli
import sdk.wallet.monitoring
import sdk.wallet.setup  # noqa: F401
from sdk.service.cli import main


def child(given: dict[str, Any]) -> NoReturn:
    status = 70
    try:
        for target, name in ((1, "out"), (2, "err")):
            file = os.open(given[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(file, target)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.clear()
        os.environ.update(given["environ"])
        main(given["arguments"])
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            child(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
