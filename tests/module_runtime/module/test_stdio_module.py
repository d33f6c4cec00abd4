"""A real module process, spoken to over its pipes as an orchestrator speaks to it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).parent / "echo_module.py"
INIT = {"orchestrator_api": "http://127.0.0.1:9", "module_id": "echo", "env": {}, "listen": "127.0.0.1:0"}

pytestmark = pytest.mark.timeout(60)


class Module:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.announced: dict[str, Any] = {}

    def write(self, raw: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(raw)
        self.process.stdin.flush()

    def say(self, **message: Any) -> None:
        self.write(json.dumps(message).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.endswith(b"\n"), (line, self.errors())
        message = json.loads(line)
        assert isinstance(message, dict)
        return message

    def errors(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def ask(self, uri: str, method: str = "GET", body: bytes | None = None, id_: str = "r1") -> None:
        self.say(
            op="http_request",
            request_id=id_,
            method=method,
            uri=uri,
            headers={"Content-Type": "text/plain"},
            body=None if body is None else list(body),
        )

    def end(self) -> int:
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(20)


@contextmanager
def started(*secrets: str, init: dict[str, Any] | None = None) -> Iterator[Module]:
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), *secrets], stdin=-1, stdout=-1, stderr=-1, env={"PATH": "/usr/bin:/bin"}
    )
    module = Module(process)
    try:
        module.say(**(INIT | (init or {})))
        yield module
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()


@pytest.fixture(scope="module")
def module() -> Iterator[Module]:
    with started() as module:
        module.announced = module.hear()
        assert module.announced["op"] == "announce"
        yield module
        assert module.end() == 0


def content(answer: dict[str, Any], id_: str = "r1") -> dict[str, Any]:
    assert answer["op"] == "http_response"
    assert answer["request_id"] == id_
    return {**answer, "body": bytes(answer["body"])}


def test_it_announces_the_port_it_really_has_bound(module: Module) -> None:
    host, _, port = module.announced["listen"].rpartition(":")
    assert host == "127.0.0.1"
    assert int(port) > 0
    with urlopen(f"http://{host}:{port}/echo?a=1", timeout=10) as answer:
        assert json.load(answer)["query"] == "a=1"
    assert {"path": "/echo", "methods": ["*"]} in module.announced["endpoints"]


def test_a_request_by_message_reaches_the_same_application(module: Module) -> None:
    module.ask("/echo?x=%2F", "POST", "grüße".encode())
    answer = content(module.hear())
    assert answer["status_code"] == 200
    assert json.loads(answer["body"]) == {"method": "POST", "query": "x=%2F", "body": "grüße"}
    module.ask("/nowhere")
    assert content(module.hear())["status_code"] == 404


@pytest.mark.parametrize(("method", "uri"), [("GET", "no-slash"), ("BAD METHOD", "/echo"), ("GET", "/echo\r\nX: y")])
def test_a_request_that_http_cannot_carry_is_answered_and_ends_nothing(module: Module, method: str, uri: str) -> None:
    module.ask(uri, method)
    assert content(module.hear())["status_code"] in (400, 404)
    module.ask("/echo")
    assert content(module.hear())["status_code"] == 200


def test_what_the_program_prints_does_not_come_between_the_lines(module: Module) -> None:
    module.ask("/noisy")
    answer = content(module.hear())
    assert answer["body"] == b"quiet"
    assert answer["headers"]["X-One"] == "1"


def test_what_the_program_prints_is_in_its_log_at_once() -> None:
    with started() as module:
        module.hear()
        module.ask("/noisy")
        assert module.process.stderr is not None
        assert any(b"this is no message" in line for line in iter(module.process.stderr.readline, b""))
        assert module.process.poll() is None
        assert content(module.hear())["body"] == b"quiet"


def test_many_requests_at_once_are_answered_as_each_gets_what_it_waits_for(module: Module) -> None:
    names = [f"s{number}" for number in range(20)]
    for name in names:
        module.ask(f"/secret/{name}", id_=name)
    asked = [module.hear() for _ in names]
    assert sorted(each["name"] for each in asked) == sorted(names)
    for each in reversed(asked):
        module.say(op="secret", name=each["name"], value=f"value of {each['name']}")
    answers = {each["request_id"]: bytes(each["body"]).decode() for each in (module.hear() for _ in names)}
    assert answers == {name: f"value of {name}" for name in names}


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"hello\n",
        b"{\n",
        b"[]\n",
        b'{"op":"nonsense"}\n',
        b'{"op":"secret"}\n',
        b"\xff\xfe\n",
        b"[" * 9000 + b"\n",
    ],
)
def test_garbage_is_skipped(module: Module, garbage: bytes) -> None:
    module.write(garbage)
    module.ask("/echo")
    assert content(module.hear())["status_code"] == 200


def test_a_line_beyond_the_limit_is_skipped_in_bounded_memory(module: Module) -> None:
    for _ in range(48):
        module.write(b"x" * (1 << 20))
    module.write(b"\n")
    module.ask("/echo")
    assert content(module.hear())["status_code"] == 200
    status = Path(f"/proc/{module.process.pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak < 200_000, "kB"


def test_heartbeats_are_answered(module: Module) -> None:
    module.say(op="heartbeat")
    assert module.hear() == {"op": "heartbeat_ack"}


def test_results_without_an_id_go_by_their_echo_or_turn_one_at_a_time(module: Module) -> None:
    for number in (1, 2):
        module.say(
            op="http_request", request_id=f"r{number}", method="POST", uri=f"/operate/c{number}", headers={}, body=[49]
        )
    first = module.hear()
    assert first["op"] == "service_operation"
    other = {"connection_id": "another", "operation": "query"}
    module.say(op="service_operation_result", success=True, result="not mine", error=None, params=other)
    module.say(op="service_operation_result", success=True, result="one", error=None)
    heard = [module.hear() for _ in range(2)]
    second = next(each for each in heard if each["op"] == "service_operation")
    assert {first["connection_id"], second["connection_id"]} == {"c1", "c2"}
    answer = next(each for each in heard if each["op"] == "http_response")
    assert answer["request_id"] == "r" + first["connection_id"][1:]
    assert json.loads(bytes(answer["body"])) == "one"
    module.say(op="service_operation_result", success=True, result="two", error=None, params=second)
    assert json.loads(content(module.hear(), "r" + second["connection_id"][1:])["body"]) == "two"


def test_a_rotation_is_acknowledged_once_the_new_value_is_there(module: Module) -> None:
    module.ask("/cached/turning")
    assert module.hear() == {"op": "get_secret", "name": "turning"}
    module.say(op="secret", name="turning", value="first")
    assert content(module.hear())["body"] == b"first"
    module.say(op="rotated", keys=["turning"], rotation_id="rot")
    assert module.hear() == {"op": "get_secret", "name": "turning"}
    module.say(op="secret", name="turning", value="second", rotation_id="rot")
    assert module.hear() == {"op": "rotation_ack", "rotation_id": "rot", "status": "success"}
    module.ask("/cached/turning")
    assert content(module.hear())["body"] == b"second"


def test_no_secret_gets_into_what_the_module_logs() -> None:
    with started() as module:
        module.hear()
        module.ask("/careless")
        assert module.hear() == {"op": "get_secret", "name": "turning"}
        module.say(op="secret", name="turning", value="correct horse battery")
        answer = content(module.hear())
        assert answer["status_code"] == 500
        assert b"correct horse" not in answer["body"]
        assert module.end() == 0
        printed = "printed correct horse battery"  # which is the orchestrator's to hide
        logged = module.errors().replace(printed, "")
        assert "raised" in logged
        assert "logged" in logged
        for form in ("correct horse battery", "Y29ycmVjdCBob3JzZSBiYXR0ZXJ5"):
            assert form not in logged.replace("printed correct horse battery", ""), (
                "print is the orchestrator's to hide"
            )


# --- how it starts and ends ---


def test_secrets_named_at_the_start_are_there_before_it_announces() -> None:
    with started("FIRST", "SECOND") as module:
        for name in ("FIRST", "SECOND"):
            assert module.hear() == {"op": "get_secret", "name": name}
            module.say(op="secret", name=name, value="value")
        assert module.hear()["op"] == "announce"


@pytest.mark.parametrize("how", ["shutdown", "eof", "sigterm"])
def test_it_ends_with_0_after_what_is_in_flight(how: str) -> None:
    with started() as module:
        module.hear()
        module.ask("/slow")
        assert module.hear() == {"op": "get_secret", "name": "gate"}
        module.say(op="secret", name="gate", value="open")
        if how == "shutdown":
            module.say(op="shutdown")
        elif how == "eof":
            module.process.stdin.close()  # type: ignore[union-attr]
        else:
            assert content(module.hear())["body"] == b"open"
            module.process.send_signal(signal.SIGTERM)
        if how != "sigterm":
            assert content(module.hear())["body"] == b"open"
        assert module.process.wait(20) == 0


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "stdin ended before the first line"),
        (b"{}\n", "invalid InitBlob: orchestrator_api"),
        (b"x" * 1_100_000 + b"\n", "over the limit"),
        (json.dumps(INIT | {"listen": "192.0.2.1:80"}).encode() + b"\n", "192.0.2.1"),
    ],
    ids=["nothing", "incomplete", "endless", "port"],
)
def test_a_start_that_cannot_be_is_one_line(line: bytes, says: str) -> None:
    ended = subprocess.run([sys.executable, str(PROGRAM)], input=line, capture_output=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert ended.stdout == b""
    assert says in ended.stderr.decode()
    assert "Traceback" not in ended.stderr.decode()
    assert len(ended.stderr.splitlines()) == 1
