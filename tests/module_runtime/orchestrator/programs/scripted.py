"""A module written on nothing but the wire: ``python scripted.py SCRIPT RECORD``, a JSON list of steps and a file.

Steps: ``{"send": message}``, ``{"print": text}``, ``{"log": text}``, ``{"wait": op}``,
``{"flood": count, "line": text}``, ``{"bulk": bytes}`` (one endless line), ``{"deaf": true}`` (never reads again),
``{"fork": true}`` (a process that leaves its group; its number is recorded), ``{"exit": code}``.
After the last it reads until ``shutdown`` or the end of its input. Each line that came is in RECORD, InitBlob first.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any, TextIO


def main() -> None:
    with open(sys.argv[2], "a", buffering=1) as record:
        play(json.loads(sys.argv[1]), record)


def play(steps: list[dict[str, Any]], record: TextIO) -> None:
    lines = iter(sys.stdin.readline, "")

    def receive() -> dict[str, Any] | None:
        line = next(lines, None)
        if line is None:
            return None
        record.write(line)
        message: dict[str, Any] = json.loads(line)
        return message

    def until(op: str) -> None:
        while (message := receive()) is not None and message.get("op") != op:
            pass

    receive()
    for step in steps:
        if "send" in step:
            print(json.dumps(step["send"]), flush=True)
        elif "print" in step:
            print(step["print"], flush=True)
        elif "log" in step:
            print(step["log"], file=sys.stderr, flush=True)
        elif "wait" in step:
            until(step["wait"])
        elif "flood" in step:
            for _ in range(step["flood"] // 1000):
                sys.stdout.write((step["line"] + "\n") * 1000)
            sys.stdout.flush()
        elif "bulk" in step:
            for _ in range(step["bulk"] // 65536):
                os.write(1, b"x" * 65536)
            os.write(1, b"\n")
        elif "fork" in step:
            child = subprocess.Popen(["sleep", "600"], start_new_session=True, stdin=subprocess.DEVNULL)
            record.write(json.dumps({"escaped": child.pid}) + "\n")
        elif "deaf" in step:
            time.sleep(600)
        elif "exit" in step:
            sys.exit(step["exit"])
    until("shutdown")


if __name__ == "__main__":
    main()
