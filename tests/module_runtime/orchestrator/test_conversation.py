"""Real processes that speak the wire on their standard streams."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from sdk.core.errors import SdkError
from sdk.module_runtime.errors import LinkClosed, ServiceOperationFailed
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.pipes import MOST_QUEUED
from sdk.module_runtime.orchestrator.port_leases import PortLeases
from sdk.module_runtime.orchestrator.supervisor import NotReplaced
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from sdk.module_runtime.protocol.messages import Secret
from support.running_stack import running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

PROGRAM = Path(__file__).parent / "programs" / "scripted.py"
ANNOUNCE = {"send": {"op": "announce", "listen": "127.0.0.1:1", "endpoints": []}}


def scripted(record: Path, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "kind": "module",
        "command": [sys.executable, str(PROGRAM), json.dumps(steps), str(record)],
        "restart": {"first_delay": 0.01, "longest_delay": 0.05, "limit": 2},
        **more,
    }


def recorded(record: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in record.read_text().splitlines()]


class Ledger:
    """A service: numbers added per connection. ``fail`` fails as services do, ``break`` as they should not."""

    def __init__(self) -> None:
        self.sums: dict[str, int] = {}
        self.released: list[str] = []
        self.is_closed = False

    async def open(self, module_id: str, config: Mapping[str, Any] | None) -> str:
        if config is None:
            raise ServiceOperationFailed("Custom:ledger", "open", "a ledger needs a config")
        self.sums[f"{module_id}/{len(self.sums)}"] = int(config["start"])
        return list(self.sums)[-1]

    async def operate(self, module_id: str, connection_id: str, operation: str, params: Any) -> Any:
        if operation == "fail":
            raise ServiceOperationFailed("Custom:ledger", "fail", "as it was told")
        if operation == "break":
            raise ZeroDivisionError("inner secret")
        await asyncio.sleep(0)
        self.sums[connection_id] += params
        return self.sums[connection_id]

    async def release(self, module_id: str) -> None:
        self.released.append(module_id)

    async def close(self) -> None:
        self.is_closed = True


class Vault:
    def __init__(self) -> None:
        self.acknowledged: list[tuple[str, str, bool]] = []
        self.listeners: list[Callable[[str, Sequence[str], str], Awaitable[None]]] = []

    async def get(self, module_id: str, name: str) -> tuple[str, str | None]:
        if name != "KEY":
            raise SdkError(f"{module_id} may not have it")
        return "open sesame", None

    async def call(self, module_id: str, operation: str, params: Any) -> Any:
        return {"list": ["KEY"]}[operation]

    async def acknowledge(self, module_id: str, rotation_id: str, *, success: bool, message: str | None) -> None:
        self.acknowledged.append((module_id, rotation_id, success))

    async def pending(self, module_id: str) -> list[tuple[list[str], str]]:
        return [(["KEY"], "r-0")]

    def on_rotated(self, listener: Callable[[str, Sequence[str], str], Awaitable[None]]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    async def close(self) -> None:
        """Nothing is held."""


def operation(connection: str, name: str, params: Any, **more: Any) -> dict[str, Any]:
    named = {"connection_id": connection, "service_type": {"Custom": "ledger"}, "operation": name, "params": params}
    return {"send": {"op": "service_operation", **named, **more}}


def waits(op: str, times: int) -> list[dict[str, Any]]:
    return [{"wait": op}] * times


def opening(config: Any) -> dict[str, Any]:
    return {"send": {"op": "service_request", "id": "r1", "service_type": {"Custom": "ledger"}, "config": config}}


async def test_a_module_gets_its_init_first_is_ready_once_announced_and_ends_on_shutdown(tmp_path: Path) -> None:
    record = tmp_path / "record"
    async with running({"one": scripted(record, ANNOUNCE, environment={"COLOUR": "blue"})}) as seen:
        await seen.until("one", State.READY)
    init, *rest = recorded(record)
    assert init["module_id"] == "one"
    assert init["env"] == {"COLOUR": "blue"}
    assert init["listen"] == "127.0.0.1:0"
    assert init["security_level"] == "Token"
    assert len(init["auth_token"]) >= 32
    assert "routed_answer" in init["extensions"]
    assert rest == [{"op": "shutdown"}]
    assert [state for _, state in seen.seen] == [State.STARTING, State.READY, State.STOPPING, State.STOPPED]


async def test_operations_of_a_connection_are_done_in_order_and_echoed(tmp_path: Path) -> None:
    record, ledger = tmp_path / "record", Ledger()
    adding = [operation("one/0", "add", amount) for amount in (1, 2, 3)]
    steps = [opening({"start": 10}), {"wait": "service_response"}, *adding, *waits("service_operation_result", 3)]
    async with running({"one": scripted(record, *steps, ANNOUNCE)}, Switchboard({"Custom:ledger": ledger})) as seen:
        await seen.until("one", State.READY)
    _, opened, *results = recorded(record)[:5]
    assert opened == {
        "op": "service_response",
        "id": "r1",
        "service_type": {"Custom": "ledger"},
        "success": True,
        "error": None,
        "connection_id": "one/0",
    }
    assert [each["result"] for each in results] == [11, 13, 16]
    assert [each["params"] for each in results] == [
        {key: value for key, value in each["send"].items() if key != "op"} for each in adding
    ]
    assert ledger.released == ["one"]
    assert ledger.is_closed


async def test_what_a_service_refuses_is_told_and_what_it_breaks_on_is_not(tmp_path: Path) -> None:
    record = tmp_path / "record"
    steps = [
        opening(None),
        opening({"start": 0}),
        *waits("service_response", 2),
        operation("one/0", "fail", None, operation_id="a"),
        operation("one/0", "break", None),
        operation("two/0", "add", 1),
        *waits("service_operation_result", 3),
    ]
    async with running({"one": scripted(record, *steps, ANNOUNCE)}, Switchboard({"Custom:ledger": Ledger()})) as seen:
        await seen.until("one", State.READY)
    answers = recorded(record)[1:6]
    assert [each["error"] for each in answers[:2]] == ["a ledger needs a config", None]
    failed = {each["error"] for each in answers[2:]}
    assert failed == {
        "as it was told",
        "the orchestrator failed; its log says why",
        "this module has no such connection",
    }
    assert [each.get("operation_id") for each in answers[2:]].count("a") == 1


async def test_a_secret_is_given_by_right_and_a_refusal_is_silent(tmp_path: Path) -> None:
    record, vault = tmp_path / "record", Vault()
    asking = [{"send": {"op": "get_secret", "name": name}} for name in ("OTHER", "KEY")]
    ack = {"send": {"op": "rotation_ack", "rotation_id": "r-1", "status": "success"}}
    steps: list[dict[str, Any]] = [*asking, {"wait": "secret"}, ANNOUNCE, *waits("rotated", 2), ack]
    listing = {"op": "extension_call", "call_id": "c", "extension": "secrets", "operation": "list", "params": {}}
    async with running(
        {"one": scripted(record, *steps, {"send": listing}, {"wait": "extension_result"}, {"print": "done"})},
        Switchboard(keeper=vault),
    ) as seen:
        await seen.until("one", State.READY)
        for listener in vault.listeners:
            await listener("one", ["KEY"], "r-1")
        await seen.until_true(lambda: "done" in seen.text("one"))
    _, secret, missed, _, rotated, heartbeat, listed, _ = recorded(record)
    assert missed == {"op": "rotated", "keys": ["KEY"], "rotation_id": "r-0"}
    assert secret == {"op": "secret", "name": "KEY", "value": "open sesame"}
    assert rotated == {"op": "rotated", "keys": ["KEY"], "rotation_id": "r-1"}
    assert heartbeat == {"op": "heartbeat"}  # a Rust module loses the line after "rotated"
    assert listed["result"] == ["KEY"]
    assert vault.acknowledged == [("one", "r-1", True)]
    assert not vault.listeners


async def test_ports_are_lent_once_and_given_back(tmp_path: Path) -> None:
    record, ports = tmp_path / "record", PortLeases(range(21_500, 21_501))
    asking = [{"send": {"op": "port_request", "request_id": str(n), "specific_port": None}} for n in range(2)]
    steps: list[dict[str, Any]] = [*asking, *waits("port_response", 2), ANNOUNCE]
    async with running({"one": scripted(record, *steps)}, Switchboard(ports=ports)) as seen:
        await seen.until("one", State.READY)
        assert ports.held_by("one") == [21_500]
    granted, refused = recorded(record)[1:3]
    assert (granted["success"], granted["port"]) == (True, 21_500)
    assert (refused["success"], refused["port"]) == (False, 0)
    assert "are held" in refused["error_message"]
    assert ports.held_by("one") == []


async def test_providers_are_found_while_their_module_is_ready(tmp_path: Path) -> None:
    offer = {
        "service_type": {"Custom": "mail"},
        "name": "post",
        "version": None,
        "address": "unix:/x",
        "metadata": None,
    }
    offering: list[dict[str, Any]] = [
        {"send": {"op": "register_service_provider", **offer}},
        {"wait": "register_service_provider_response"},
    ]
    looking = {"send": {"op": "discover_service_providers", "service_type": {"Custom": "mail"}, "all_providers": None}}
    record = tmp_path / "two"
    modules = {
        "one": scripted(tmp_path / "one", *offering, ANNOUNCE),
        "two": scripted(record, looking, {"wait": "discover_service_providers_response"}, ANNOUNCE, after=["one"]),
    }
    async with running(modules) as seen:
        await seen.until("two", State.READY)
    answer = recorded(record)[1]
    provider_id = recorded(tmp_path / "one")[1]["provider_id"]
    assert answer["providers"] == [
        {**offer, "provider_id": provider_id, "module_id": "one", "metadata": {}, "is_healthy": True}
    ]


async def test_a_module_asks_another_and_gets_its_answer_or_a_reason(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    ids = [str(uuid4()) for _ in range(2)]

    def routed(target: str, request_id: str) -> dict[str, Any]:
        payload = {"data": [1, 2], "format": "Json"}
        named = {"target_module_id": target, "target_endpoint": "sum", "request_id": request_id, "payload": payload}
        return {"send": {"op": "route_to_module", **named}}

    answer = {"request_id": ids[0], "payload": {"data": [3], "format": "Json"}}
    call = {"op": "extension_call", "call_id": "1", "extension": "routed_answer", "operation": "answer"}
    modules = {
        "two": scripted(two, ANNOUNCE, {"wait": "routed_module_message"}, {"send": {**call, "params": answer}}),
        "one": scripted(
            one,
            routed("two", ids[0]),
            {"wait": "routed_module_response"},
            routed("nobody", ids[1]),
            {"wait": "routed_module_response"},
            ANNOUNCE,
            after=["two"],
        ),
    }
    async with running(modules) as seen:
        await seen.until("one", State.READY)
    asked = recorded(two)[1]
    assert (asked["source_module_id"], asked["original_request_id"]) == ("one", ids[0])
    assert asked["target_endpoint"] == "sum"
    answered, failed = recorded(one)[1:3]
    assert answered["payload"] == {"data": [3], "format": "Json"}
    assert (answered["source_module_id"], answered["request_id"]) == ("two", ids[0])
    assert (failed["request_id"], failed["error"]["code"]) == (ids[1], "not_found")


async def test_what_is_no_message_is_logged_and_a_wrong_message_is_named_without_its_value(
    tmp_path: Path,
) -> None:
    steps: list[dict[str, Any]] = [
        {"print": "hello from print"},
        {"print": '{"level": "error", "event": "a structured line"}'},
        {"print": '{"op": "get_secret", "name": ["hush-hush"]}'},
        {"print": '{"op": "get_secret", "name": '},
        {"print": '{"op": "identify", "identify": "x"}'},
        {"log": "on stderr"},
        ANNOUNCE,
    ]
    async with running({"one": scripted(tmp_path / "record", *steps)}) as seen:
        await seen.until("one", State.READY)
        await seen.until_true(lambda: "on stderr" in seen.text("one"))
    text = seen.text("one")
    assert "hello from print" in text
    assert "a structured line" in text
    assert text.count("a message of the module was refused") == 3
    assert "hush-hush" not in text


@pytest.mark.parametrize(
    "steps",
    [
        [{"flood": 100_000, "line": '{"op":"heartbeat_ack"}'}],
        [{"flood": 100_000, "line": "garbage"}],
        [{"flood": 20_000, "line": '{"op":"nonsense"}'}],
        [{"bulk": 64 * 1024 * 1024}],
    ],
    ids=["messages", "garbage", "wrong messages", "an endless line"],
)
async def test_a_flood_is_survived_and_the_neighbour_is_served(tmp_path: Path, steps: list[dict[str, Any]]) -> None:
    record = tmp_path / "good"
    asking = [opening({"start": 0}), {"wait": "service_response"}]
    modules = {
        "bad": scripted(tmp_path / "bad", *steps, ANNOUNCE),
        "good": scripted(record, *asking, ANNOUNCE),
    }
    async with running(modules, Switchboard({"Custom:ledger": Ledger()})) as seen:
        await seen.until("good", State.READY)
        await seen.until("bad", State.READY)  # what it announced after its flood was heard
    assert len(seen.lines) < 5_000


async def test_what_costs_the_orchestrator_much_may_not_be_asked_for_often(tmp_path: Path) -> None:
    def announcing(listen: str) -> str:
        return json.dumps({"op": "announce", "listen": listen, "endpoints": []})

    looking = json.dumps({"op": "discover_service_providers", "service_type": "Cache"})
    steps: list[dict[str, Any]] = [
        {"flood": 2000, "line": f"{announcing('one')}\n{announcing('two')}"},
        {"flood": 2000, "line": looking},
        {"send": {"op": "port_request", "request_id": "last"}},
        {"wait": "port_response"},
        {"print": "done"},
    ]
    board = Switchboard()
    taken_up: list[object] = []
    board.on_announced = taken_up.append
    async with running({"one": scripted(tmp_path / "record", *steps)}, board) as seen:
        await seen.until_true(lambda: "done" in seen.text("one"))
        assert "announced too often" in seen.text("one")
    assert len(taken_up) < 40  # ten and what may be in the time that passes; none before it is ready
    answers = [each["success"] for each in recorded(tmp_path / "record") if "providers" in each]
    assert len(answers) == 2000
    assert answers.count(True) < 500


async def test_a_module_that_never_reads_costs_bounded_memory_and_degrades_alone(tmp_path: Path) -> None:
    modules = {
        "deaf": scripted(tmp_path / "deaf", ANNOUNCE, {"deaf": True}, stop_timeout=0.2),
        "good": scripted(tmp_path / "good", ANNOUNCE, after=["deaf"]),
    }
    board, secret = Switchboard(), Secret(name="n", value="x" * 1_000_000)
    async with running(modules, board) as seen:
        await seen.until("good", State.READY)
        for _ in range(MOST_QUEUED // len(secret.to_json())):
            board.conversations["deaf"].send(secret)
        with pytest.raises(LinkClosed, match="does not read"):
            board.conversations["deaf"].send(Secret(name="n", value="x" * 2_000_000))
        assert board.is_ready("good")
    assert seen.seen[-1][1] is State.STOPPED


async def test_ten_crashes_leave_the_others_alone(tmp_path: Path) -> None:
    modules = {
        "bad": scripted(
            tmp_path / "bad", {"exit": 3}, restart={"first_delay": 0.001, "longest_delay": 0.01, "limit": 10}
        ),
        "good": scripted(tmp_path / "good", ANNOUNCE),
    }
    board = Switchboard()
    async with running(modules, board) as seen:
        await seen.until("bad", State.FAILED)
        await seen.until("good", State.READY)
        assert board.is_ready("good")
        assert seen.modules["bad"].restarts == 10
    assert seen.seen.count(("good", State.STARTING)) == 1


async def test_a_replacement_serves_before_the_old_one_ends(tmp_path: Path) -> None:
    board = Switchboard()
    async with running({"one": scripted(tmp_path / "record", ANNOUNCE)}, board) as seen:
        await seen.until("one", State.READY)
        supervisor = seen.modules["one"]
        old, first = supervisor.instance, board.conversations["one"]
        assert old is not None
        await supervisor.replace()
        assert board.conversations["one"] is not first
        assert board.is_ready("one")
        assert await old.process.wait() == 0
        assert supervisor.instance is not old
    assert [state for _, state in seen.seen] == [State.STARTING, State.READY, State.STOPPING, State.STOPPED]


async def test_a_replacement_that_fails_leaves_the_old_one_serving(tmp_path: Path) -> None:
    marker = tmp_path / "record"
    program = "import os,sys; os.path.exists(sys.argv[2]) and sys.exit(9); exec(open(sys.argv[0]).read())"
    one = scripted(marker, ANNOUNCE)
    one["command"] = [
        sys.executable,
        "-c",
        f"import sys; sys.argv[0] = {str(PROGRAM)!r}; {program}",
        *one["command"][2:],
    ]
    async with running({"one": one}) as seen:
        await seen.until("one", State.READY)
        first = seen.modules["one"].instance
        with pytest.raises(NotReplaced, match="the new one ended"):
            await seen.modules["one"].replace()
        assert seen.modules["one"].instance is first


class Sticky(Ledger):
    """Cannot let go of what a module held."""

    async def release(self, module_id: str) -> None:
        await super().release(module_id)
        raise ZeroDivisionError("a fault of the orchestrator")


async def test_a_fault_of_the_orchestrator_costs_one_module_a_start_and_the_others_nothing(tmp_path: Path) -> None:
    sticky, ledger = Sticky(), Ledger()
    board = Switchboard({"Custom:sticky": sticky, "Custom:ledger": ledger})
    modules = {"bad": scripted(tmp_path / "bad", ANNOUNCE), "good": scripted(tmp_path / "good", ANNOUNCE)}
    async with running(modules, board) as seen:
        await seen.until("bad", State.READY)
        await seen.until("good", State.READY)
        bad = seen.modules["bad"].instance
        assert bad is not None
        await bad.process.kill()
        await seen.until("bad", State.READY, times=2)
        assert board.is_ready("good")
    assert seen.seen.count(("good", State.STARTING)) == 1
    assert ledger.released.count("bad") == 2


async def test_a_command_is_not_replaced_for_its_old_instance_would_answer_for_the_new(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(__file__).parents[2] / "support" / "runtime_module.py"
    well = {
        "command": [sys.executable, str(program), str(port), "well"],
        "ready_url": f"http://127.0.0.1:{port}/healthz",
    }
    async with running({"one": well}) as seen:
        await seen.until("one", State.READY)
        first = seen.modules["one"].instance
        with pytest.raises(NotReplaced, match="restart it"):
            await seen.modules["one"].replace()
        assert seen.modules["one"].instance is first


async def test_an_operator_stops_starts_and_restarts_a_module(tmp_path: Path) -> None:
    async with running({"one": scripted(tmp_path / "record", ANNOUNCE)}) as seen:
        await seen.until("one", State.READY)
        one = seen.modules["one"]
        await one.stop()
        assert one.state is State.STOPPED
        one.start()
        await seen.until("one", State.READY, times=2)
        await one.restart()
        assert seen.seen[-1] == ("one", State.READY)
        assert one.restarts == 0
