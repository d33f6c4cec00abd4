"""Lines of an orchestrator that are nearly right: a module reads what it can, and serves on."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from support.requirements import vectors
from support.wire_mutation import ODD, changed, places

MODULE = Path(__file__).parents[1] / "interop" / "programs" / "served_module.py"
INIT = {"orchestrator_api": "x", "module_id": "m", "env": {}, "listen": "127.0.0.1:0"}
SECRET = "hush, a value that no log may show"
LINES = 3_000
BROKEN = ("never retrieved", "message_not_handled", "routed_request_failed", "Unhandled")
"""What a module logs of a fault of its own."""


def hostile_lines(chance: random.Random) -> list[bytes]:
    cases = json.loads(vectors("module-runtime", "02_orchestrator_to_module.json").read_bytes())["cases"]
    right: list[Any] = [json.loads(case["text"]) for case in cases if "text" in case]
    right += [{"op": "secret", "name": "KEY", "value": SECRET}] * 3
    lines: list[bytes] = []
    while len(lines) < LINES:
        value = chance.choice(right)
        for _ in range(chance.randrange(3)):
            path = chance.choice(places(value))
            value = changed(value, path, chance.choice(["remove", "add", "set"]), chance.choice(ODD))
        if isinstance(value, dict) and value.get("op") == "shutdown":
            continue
        line = json.dumps(value).encode()
        if chance.random() < 0.05:
            line = line[: chance.randrange(len(line) + 1)] + chance.randbytes(chance.randrange(4)).replace(b"\n", b"")
        lines.append(line)
    return lines


@pytest.mark.timeout(120)
async def test_a_module_survives_an_orchestrator_that_talks_nonsense() -> None:
    seed = int(os.environ.get("SDK_CHAOS_SEED") or int.from_bytes(os.urandom(4), "little"))
    print(f"SDK_CHAOS_SEED={seed}")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(MODULE), stdin=-1, stdout=-1, stderr=-1, limit=1 << 26
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    answers = asyncio.create_task(_read_until(process.stdout, "last"))
    try:
        process.stdin.write(json.dumps(INIT).encode() + b"\n")
        for line in hostile_lines(random.Random(seed)):
            process.stdin.write(line + b"\n")
            await process.stdin.drain()
        ask = {
            "op": "http_request",
            "request_id": "last",
            "method": "POST",
            "uri": "/echo",
            "headers": {},
            "body": [120],
        }
        answer = {"status_code": 503}
        while answer["status_code"] == 503:  # it is still busy with the requests among the nonsense
            process.stdin.write(json.dumps(ask).encode() + b"\n")
            answer = await answers
            answers = asyncio.create_task(_read_until(process.stdout, "last"))
        assert answer["status_code"] == 200
        process.stdin.close()
        assert await process.wait() == 0
    finally:
        answers.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()
    log = (await errors).decode()
    assert SECRET not in log
    broken = [line for line in log.splitlines() if any(word in line for word in BROKEN)]
    assert not broken, broken[:3]


async def _read_until(lines: asyncio.StreamReader, request_id: str) -> dict[str, Any]:
    while line := await lines.readline():
        message: dict[str, Any] = json.loads(line)
        if message.get("request_id") == request_id:
            return message
    raise AssertionError("the module has ended")
