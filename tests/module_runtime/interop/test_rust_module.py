"""A module written in Rust, under our orchestrator."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession

from sdk.core.errors import SdkError
from sdk.module_runtime.orchestrator.hosts.cache import CacheHost
from sdk.module_runtime.orchestrator.hosts.database import DatabaseHost
from sdk.module_runtime.orchestrator.hosts.scopes import CacheScope
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from support.host_link import scope_of
from support.module_databases import KINDS, module_database
from support.requirements import rust_peer
from support.running_stack import running
from support.rust_rig import recorded, rust_module, until_recorded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from sdk.module_runtime.data.database import DatabaseConfig

SERVED = Path(__file__).parent / "programs" / "served_module.py"
pytestmark = pytest.mark.timeout(60)


class Vault:
    """A ``SecretKeeper`` whose rotations a test makes."""

    def __init__(self, **values: str) -> None:
        self.values = values
        self.acknowledged: list[tuple[str, str, bool]] = []
        self.listeners: list[Callable[[str, Sequence[str], str], Awaitable[None]]] = []

    async def get(self, module_id: str, name: str) -> tuple[str, str | None]:
        if name not in self.values:
            raise SdkError(f"{module_id} may not have {name}")
        return self.values[name], None

    async def call(self, module_id: str, operation: str, params: Any) -> Any:
        raise SdkError("a Rust module knows no extension")

    async def acknowledge(self, module_id: str, rotation_id: str, *, success: bool, message: str | None) -> None:
        self.acknowledged.append((module_id, rotation_id, success))

    async def pending(self, module_id: str) -> list[tuple[list[str], str]]:
        return []

    def on_rotated(self, listener: Callable[[str, Sequence[str], str], Awaitable[None]]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    async def rotate(self, module_id: str, rotation_id: str, **values: str) -> None:
        self.values |= values
        for listener in self.listeners:
            await listener(module_id, list(values), rotation_id)

    async def close(self) -> None:
        """Nothing is held."""


async def test_it_gets_its_secrets_is_ready_and_ends_on_shutdown(tmp_path: Path) -> None:
    record = tmp_path / "record"
    board = Switchboard(keeper=Vault(KEY="open sesame"))
    async with running({"rust": rust_module(record, secrets=["KEY"])}, board) as seen:
        await seen.until("rust", State.READY)
    assert [state for _, state in seen.seen] == [State.STARTING, State.READY, State.STOPPING, State.STOPPED]
    secret, *_, last = recorded(record, "line")
    assert secret == {"op": "secret", "name": "KEY", "value": "open sesame"}
    assert last == {"op": "shutdown"}
    assert recorded(record, "unreadable") == []
    assert recorded(record, "ended") == ["stdio"]


async def test_one_that_may_not_have_its_secret_fails_alone(tmp_path: Path) -> None:
    modules = {
        "greedy": rust_module(tmp_path / "greedy", secrets=["OTHER"], patience=0.2, kind={"restart": {"limit": 0}}),
        "good": rust_module(tmp_path / "good"),
    }
    async with running(modules, Switchboard(keeper=Vault())) as seen:
        await seen.until("greedy", State.FAILED)
        assert ("good", State.READY) in seen.seen
        assert "no secret OTHER" in seen.text("greedy")


@pytest.mark.parametrize("loses_line", [False, True])
async def test_a_rotation_reaches_it_even_where_it_loses_the_next_line(tmp_path: Path, loses_line: bool) -> None:
    record, vault = tmp_path / "record", Vault(KEY="old")
    module = rust_module(record, secrets=["KEY"], loses_line=loses_line)
    async with running({"rust": module}, Switchboard(keeper=vault)) as seen:
        await seen.until("rust", State.READY)
        await vault.rotate("rust", "r-1", KEY="new")
        await until_recorded(record, "line", lambda line: line.get("value") == "new")
    assert vault.acknowledged == [("rust", "r-1", True)]
    assert recorded(record, "lost") == (['{"op":"heartbeat"}'] if loses_line else [])


async def test_http_through_the_gateway_is_answered_by_its_messages(tmp_path: Path) -> None:
    board = Switchboard()
    endpoints = [{"path": "/items", "methods": ["GET", "POST"]}]
    module = rust_module(tmp_path / "record", endpoints=endpoints)
    async with running({"rust": module}, board, gateway={}) as seen:
        await seen.until("rust", State.READY)
        async with (
            ClientSession(board.api) as client,
            client.post("/items?x=1", data="grüße".encode()) as answer,
        ):
            assert answer.status == 200
            assert await answer.json() == {"method": "POST", "uri": "/items?x=1", "body": "grüße", "by": "rust"}


async def test_it_is_lent_a_port(tmp_path: Path) -> None:
    record = tmp_path / "record"
    async with running({"rust": rust_module(record, port_request=True)}) as seen:
        await seen.until("rust", State.READY)
        answer = await until_recorded(record, "line", lambda line: line.get("op") == "port_response")
    assert answer["success"]
    assert answer["port"] in range(21_000, 22_000)


@pytest.fixture(params=KINDS)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatabaseConfig]:
    with module_database(request.param, tmp_path) as made:
        yield made


async def test_it_works_with_a_lent_database_and_cache_whose_answers_echo_what_was_asked(
    tmp_path: Path, config: DatabaseConfig
) -> None:
    """The Rust SDK knows a result by the operation it repeats, and waits for ever without."""

    def statement(query: str, *params: Any, **more: Any) -> dict[str, Any]:
        return {"query": query, "params": list(params), **more}

    insert, record = "INSERT INTO t (name, size) VALUES (?, ?)", tmp_path / "record"
    database = [
        ("execute", statement("CREATE TABLE t (name VARCHAR(20), size DOUBLE PRECISION)")),
        ("execute", statement(insert, "grüße", 1.5)),
        ("begin_transaction", {}),
        ("transaction_execute", statement(insert, None, 2, transaction_id="$")),
        ("transaction_commit", {"transaction_id": "$"}),
        ("begin_transaction", {}),
        ("transaction_execute", statement(insert, "lost", 3, transaction_id="$")),
        ("transaction_rollback", {"transaction_id": "$"}),
        ("query", statement("SELECT name, size FROM t ORDER BY size")),
        ("query_one", statement("SELECT name FROM t WHERE size = ?", 7)),
        ("query", statement("SELECT * FROM nowhere")),
        ("ping", {}),
        ("close", {}),
    ]
    cache = [
        ("set", {"key": "k", "value": "AP8=", "ttl_seconds": None}),
        ("get", {"key": "k"}),
        ("increment", {"key": "n", "delta": 2}),
        ("lock", {"key": "l", "ttl_seconds": 5}),
        ("unlock", {"key": "l", "lock_token": "$"}),
        ("close", {}),
    ]
    wanted = {"db_type": config.db_type, "host": None, "database": "main", "pool": {"max_connections": 10}}
    services = [
        {"service_type": "Database", "config": wanted, "operations": database},
        {"service_type": "Cache", "config": {"cache_type": "InMemory", "namespace": "main"}, "operations": cache},
    ]
    environ = {"PASSWORD": config.password or ""}
    host = DatabaseHost({"rust": {"main": scope_of(config, trusted=False, transactions=3)}}, environ)
    caches = CacheHost({"rust": {"main": CacheScope(cache_type="InMemory")}})
    board = Switchboard({"Database": host, "Cache": caches})
    async with running({"rust": rust_module(record, services=services)}, board):
        assert await until_recorded(record, "services") == "done"
    lines = [line for line in recorded(record, "line") if line["op"] == "service_operation_result"]
    assert [line["params"]["operation"] for line in lines] == [name for name, _ in (*database, *cache)]
    results = [line["result"] if line["success"] else line["error"] for line in lines]
    assert results[1] == 1
    assert results[8:10] == [
        [{"data": {"name": "grüße", "size": 1.5}}, {"data": {"name": None, "size": 2.0}}],
        None,
    ]
    assert "nowhere" in results[10]
    assert results[14:16] == ["AP8=", 2]
    assert results[17] is True
    assert recorded(record, "unreadable") == []


@pytest.mark.parametrize("half_duplex", [False, True], ids=["full duplex", "half duplex"])
@pytest.mark.parametrize("channel", ["tcp", "unix"])
async def test_it_asks_a_module_of_ours_over_a_channel(tmp_path: Path, channel: str, half_duplex: bool) -> None:
    record = tmp_path / "record"
    modules = {
        "ours": {"kind": "module", "command": [sys.executable, str(SERVED)]},
        "rust": rust_module(
            record,
            route={"target": "ours", "endpoint": "sum", "body": [1, 2, 3]},
            half_duplex=half_duplex,
            kind={"after": ["ours"], "channels": [channel], "identify": "listener"},
        ),
    }
    async with running(modules) as seen:
        await seen.until("rust", State.READY)
        answer = await until_recorded(record, "frame", lambda frame: frame["op"] == "routed_module_response")
        if half_duplex:  # it could not send before it had heard something
            assert recorded(record, "frame")[0] == {"op": "heartbeat"}
        # The payload is bare, and Rust would refuse members it has to know.
        assert set(answer) == {"op", "source_module_id", "request_id", "payload"}
        assert answer["source_module_id"] == "ours"
        assert json.loads(bytes(answer["payload"]["data"])) == 6
    assert recorded(record, "unreadable") == []


async def test_the_published_crate_runs_as_a_module(tmp_path: Path) -> None:
    """It starts only with a TCP channel, and its application answers over its port."""
    module = {
        "kind": "module",
        "command": [str(rust_peer("published")), "module", "KEY", "OTHER"],
        "channels": ["tcp", "unix"],
        "identify": "listener",
        "restart": {"limit": 0},
    }
    board = Switchboard(keeper=Vault(KEY="12 letters..", OTHER="other"))
    async with running({"crate": module}, board, gateway={}) as seen:
        await seen.until("crate", State.READY)
        async with ClientSession(board.api) as client:
            async with client.get("/status") as answer:
                assert (answer.status, await answer.json()) == (200, {"module": "crate", "secrets": [12, 5]})
            async with client.post("/echo", data="grüße".encode()) as answer:
                assert (answer.status, await answer.json()) == (200, {"body": "grüße"})
        assert seen.modules["crate"].instance is not None
    assert [state for _, state in seen.seen] == [State.STARTING, State.READY, State.STOPPING, State.STOPPED]
    assert "12 letters.." not in seen.text("crate")
