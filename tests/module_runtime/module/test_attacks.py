"""Orchestrators that misbehave, and a module that does, over real pipes and sockets."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sdk.module_runtime.channels.channel import Channel
from sdk.module_runtime.channels.sockets import listen_unix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdk.module_runtime.protocol.frame import Frame

HERE = Path(__file__).parent
INIT = {"orchestrator_api": "x", "module_id": "echo", "env": {}, "listen": "127.0.0.1:0"}
HEARTBEAT = b'{"op":"heartbeat"}\n'
HELD_AFTER = 1.0
"""Seconds without reading, after which a module counts as one that reads no more."""

pytestmark = pytest.mark.timeout(60)


@contextmanager
def started(program: str, **init: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, HERE / program], stdin=-1, stdout=-1, stderr=-1, bufsize=0, env={"PATH": "/usr/bin:/bin"}
    )
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(INIT | init).encode() + b"\n")
        yield process
    finally:
        process.kill()
        process.communicate()


def lines(process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    held = b""
    while data := os.read(process.stdout.fileno(), 1 << 16):
        *whole, held = (held + data).split(b"\n")
        for line in whole:
            yield json.loads(line)


def memory(process: subprocess.Popen[bytes]) -> int:
    """Megabytes."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000


def test_an_orchestrator_that_floods_and_reads_nothing_is_read_no_more_until_it_reads() -> None:
    with started("echo_module.py") as process:
        assert process.stdin is not None
        heard = lines(process)
        assert next(heard)["op"] == "announce"
        before = memory(process)
        pipe = process.stdin.fileno()
        os.set_blocking(pipe, False)
        sent = 0
        flood = HEARTBEAT * 1000
        while select.select([], [pipe], [], HELD_AFTER)[1]:
            sent += os.write(pipe, flood[sent % len(flood) :])
            assert sent < 50_000_000, "it reads on and on"
        assert memory(process) - before < 60
        os.set_blocking(pipe, True)
        rest = len(HEARTBEAT) - sent % len(HEARTBEAT)
        writer = threading.Thread(
            target=os.write, args=(pipe, HEARTBEAT[len(HEARTBEAT) - rest :] + b'{"op":"shutdown"}\n')
        )
        writer.start()
        answers = [message["op"] for message in heard]
        writer.join()
        assert set(answers) == {"heartbeat_ack"}
        assert len(answers) > 1000
        assert process.wait(20) == 0


def test_a_module_that_hangs_does_not_outlive_its_orchestrator() -> None:
    with started("stuck_module.py") as process:
        assert process.stdin is not None
        assert process.stderr is not None
        assert next(lines(process))["op"] == "announce"
        request = {"op": "http_request", "request_id": "r", "method": "GET", "uri": "/hang", "headers": {}}
        process.stdin.write(json.dumps(request).encode() + b"\n")
        while b"it hangs" not in process.stderr.readline():
            pass
        process.stdin.close()
        assert process.wait(20) == 75
        assert b"ended by force" in process.stderr.read()
        process.stdin = None


_ORCHESTRATOR = """
import subprocess, sys
module = subprocess.Popen([sys.executable, sys.argv[1]], stdin=-1, stdout=-1, bufsize=0)
module.stdin.write(sys.argv[2].encode() + b"\\n")
module.stdout.readline()
print(module.pid, flush=True)
sys.stdin.read()
"""


def test_a_module_ends_when_its_orchestrator_is_killed() -> None:
    command = [sys.executable, "-c", _ORCHESTRATOR, str(HERE / "echo_module.py"), json.dumps(INIT)]
    orchestrator = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL)
    assert orchestrator.stdout is not None
    module = os.pidfd_open(int(orchestrator.stdout.readline()))
    try:
        orchestrator.kill()
        orchestrator.communicate()
        assert select.select([module], [], [], 20)[0], "a pidfd is readable once the process has ended"
    finally:
        os.close(module)


def test_a_module_that_is_told_to_end_by_a_signal_tells_an_orchestrator_that_can_hear_it() -> None:
    with started("echo_module.py", extensions=["drain"]) as process:
        heard = lines(process)
        assert next(heard)["op"] == "announce"
        process.send_signal(signal.SIGTERM)
        said = [(message["op"], message["extension"], message["operation"]) for message in heard]
        assert said == [("extension_call", "drain", "draining")]
        assert process.wait(20) == 0


def test_a_question_of_another_module_that_is_in_flight_is_answered_before_the_end_and_a_new_one_refused() -> None:
    with started("echo_module.py", extensions=["routed_answer"]) as process:
        assert process.stdin is not None
        heard = lines(process)
        assert next(heard)["op"] == "announce"
        process.stdin.write(_routed(1, "wait"))
        assert next(heard) == {"op": "get_secret", "name": "gate"}
        process.stdin.write(b'{"op":"shutdown"}\n')
        process.stdin.write(_routed(2, "double"))
        refused = _answered(process, next(heard))
        assert (refused["request_id"][-1], refused["error"]["code"]) == ("2", "unavailable")
        process.stdin.write(b'{"op":"secret","name":"gate","value":"opened"}\n')
        answered = _answered(process, next(heard))
        assert (answered["request_id"][-1], bytes(answered["payload"]["data"])) == ("1", b'"opened"')
        assert process.wait(20) == 0


def _answered(process: subprocess.Popen[bytes], call: dict[str, Any]) -> dict[str, Any]:
    """What a module answered another; the orchestrator has taken it."""
    assert process.stdin is not None
    assert (call["extension"], call["operation"]) == ("routed_answer", "answer")
    taken = {"op": "extension_result", "call_id": call["call_id"], "success": True}
    process.stdin.write(json.dumps(taken).encode() + b"\n")
    params = call["params"]
    assert isinstance(params, dict)
    return params


def _routed(number: int, endpoint: str) -> bytes:
    message = {
        "op": "routed_module_message",
        "source_module_id": "other",
        "original_request_id": f"00000000-0000-0000-0000-00000000000{number}",
        "payload": {"data": list(b"21"), "format": "Json"},
        "target_endpoint": endpoint,
    }
    return json.dumps(message).encode() + b"\n"


def test_a_line_cut_off_by_the_end_is_not_believed() -> None:
    with started("echo_module.py") as process:
        assert process.stdin is not None
        heard = lines(process)
        assert next(heard)["op"] == "announce"
        process.stdin.write(b'{"op":"heartbeat"}\n{"op":"heartbeat"}')
        process.stdin.close()
        assert [message["op"] for message in heard] == ["heartbeat_ack"]
        assert process.wait(20) == 0
        process.stdin = None


async def test_a_channel_that_floods_and_reads_nothing_is_read_no_more_until_it_reads(tmp_path: Path) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    accepted: asyncio.Queue[Channel] = asyncio.Queue()

    def accept() -> Channel:
        channel = Channel(lambda frame: heard.put_nowait(_op(frame)))
        channel.opened = lambda: accepted.put_nowait(channel)
        return channel

    server = await listen_unix(accept, str(tmp_path / "s"))
    offer = {"ipc_channel": {"socket_path": str(tmp_path / "s"), "required": True}}
    with started("echo_module.py", **offer) as process:
        channel = await accepted.get()
        channel.send(HEARTBEAT.strip())
        assert await heard.get() == "heartbeat_ack"
        announced = await asyncio.to_thread(next, lines(process))
        assert announced["op"] == "announce", "what the application needs is loaded"
        before = memory(process)
        channel.hold(True)
        sent = 0
        while True:
            for _ in range(1000):
                channel.send(HEARTBEAT.strip())
            sent += 1000
            try:
                async with asyncio.timeout(HELD_AFTER):
                    await channel.drain()
            except TimeoutError:
                break
            assert sent < 2_000_000, "it reads on and on"
        assert memory(process) - before < 30, "one read of the system, 256 KiB, is eleven thousand of these frames"
        channel.hold(False)
        for _ in range(sent):
            assert await heard.get() == "heartbeat_ack"
        channel.abort("enough")
        await channel.closed
    server.close()


def _op(frame: Frame) -> str:
    return str(json.loads(frame.payload)["content"]["op"])
