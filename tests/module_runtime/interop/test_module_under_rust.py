"""A module of ours, started and served by an orchestrator written in Rust."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.processes import children, until_gone
from support.rust_rig import rust_orchestrator

if TYPE_CHECKING:
    from support.rust_rig import RustOrchestrator

MODULE = [sys.executable, str(Path(__file__).parent / "programs" / "served_module.py")]
pytestmark = pytest.mark.timeout(60)


async def service(rust: RustOrchestrator, kind: str, *operations: tuple[str, Any]) -> list[Any]:
    asked = {"service": kind, "config": {"db_type": "sqlite", "database": "x"}, "operations": operations}
    status, body = await rust.http("POST", "/service", json.dumps(asked).encode())
    assert status == 200
    answer: list[Any] = json.loads(body)
    return answer


async def test_it_starts_with_its_secrets_announces_where_it_listens_and_ends_on_shutdown() -> None:
    async with rust_orchestrator([*MODULE, "KEY", "OTHER"], secrets={"KEY": "a", "OTHER": "b"}) as rust:
        announced = await rust.saw("announce")
        assert not announced["listen"].endswith(":0")
        assert {"path": "/echo", "methods": ["POST"]} in announced["endpoints"]
        assert await rust.end() == 0
    asked = [event["saw"]["name"] for event in rust.events if event.get("saw", {}).get("op") == "get_secret"]
    assert asked == ["KEY", "OTHER"]
    assert rust.strange == []


async def test_it_does_not_start_without_a_secret_it_needs() -> None:
    async with rust_orchestrator([*MODULE, "KEY"], secrets={}) as rust:
        assert (await rust.until(lambda event: "exited" in event))["exited"] == 1
    assert not [event for event in rust.events if event.get("saw", {}).get("op") == "announce"]


async def test_its_application_answers_on_every_channel(tmp_path: Path) -> None:
    async with rust_orchestrator(MODULE, tcp=True, unix=str(tmp_path / "channel")) as rust:
        await rust.saw("announce")
        for over in ("stdio", "tcp", "unix"):
            await rust.until(lambda event, over=over: over == "stdio" or event.get("open") == over)  # type: ignore[misc]
            assert await rust.http("POST", "/echo", "grüße".encode(), over) == (
                200,
                json.dumps({"method": "POST", "body": "grüße"}).encode(),
            )
            assert (await rust.http("GET", "/nowhere", None, over))[0] == 404
        await rust.tell(heartbeats=0.05)
        await rust.saw("heartbeat_ack", "tcp", count=2)
        await rust.saw("heartbeat_ack", "unix", count=2)
        assert await rust.end() == 0
    assert rust.strange == []


async def test_a_rotation_is_acknowledged_when_the_new_value_is_there() -> None:
    async with rust_orchestrator(MODULE, secrets={"KEY": "old"}) as rust:
        await rust.saw("announce")
        assert await rust.http("GET", "/secret/KEY") == (200, b"old")
        await rust.tell(secret="KEY", value="new")
        await rust.tell(send={"op": "rotated", "keys": ["KEY"], "rotation_id": "r-1"})
        acknowledged = await rust.saw("rotation_ack")
        assert (acknowledged["rotation_id"], acknowledged["status"]) == ("r-1", "success")
        order = [event["saw"]["op"] for event in rust.events if event.get("saw", {}).get("op") != "http_response"]
        assert order[-2:] == ["get_secret", "rotation_ack"]
        assert await rust.http("GET", "/secret/KEY") == (200, b"new")
        assert await rust.end() == 0
    assert rust.strange == []


@pytest.mark.parametrize("echo", [True, False], ids=["echoed", "in turn"])
async def test_it_uses_the_database_and_the_cache_of_a_foreign_orchestrator(tmp_path: Path, echo: bool) -> None:
    file = tmp_path / "database.sqlite"

    def statement(query: str, *params: Any) -> dict[str, Any]:
        return {"query": query, "params": params}

    async with rust_orchestrator(MODULE, database=str(file), echo=echo) as rust:
        await rust.saw("announce")
        insert = "INSERT INTO t (name, size) VALUES (?, ?)"
        results = await service(
            rust,
            "Database",
            ("execute", statement("CREATE TABLE t (name TEXT, size REAL)")),
            ("execute", statement(insert, "ä", 1.5)),
            ("begin_transaction", {}),
            ("transaction_execute", {"transaction_id": "$", **statement(insert, None, 2)}),
            ("transaction_commit", {"transaction_id": "$"}),
            ("begin_transaction", {}),
            ("transaction_execute", {"transaction_id": "$", **statement(insert, "lost", 3)}),
            ("transaction_rollback", {"transaction_id": "$"}),
        )
        assert [results[at] for at in (0, 1, 3, 4, 6, 7)] == [0, 1, 1, None, 1, None]
        rows = await service(rust, "Database", ("query", statement("SELECT name, size FROM t ORDER BY size")))
        assert rows == [[{"data": {"name": "ä", "size": 1.5}}, {"data": {"name": None, "size": 2.0}}]]
        (refused,) = await service(rust, "Database", ("query", statement("SELECT * FROM nowhere")))
        assert "no such table: nowhere" in refused
        value = b64encode(b"\0\xff").decode()
        assert await service(
            rust,
            "Cache",
            ("set", {"key": "k", "value": value, "ttl_seconds": None}),
            ("get", {"key": "k"}),
            ("get", {"key": "other"}),
            ("delete", {"key": "k"}),
        ) == [None, value, None, True]
        (refused,) = await service(rust, "Jwt", ("validate", {"token": "x"}))
        assert "no such service" in refused
        assert await rust.end() == 0
    assert rust.strange == []
    with sqlite3.connect(file) as database:
        assert database.execute("SELECT count(*) FROM t").fetchone() == (2,)


@pytest.mark.parametrize("over", ["stdio", "tcp"])
async def test_it_asks_another_module_through_a_foreign_orchestrator(over: str) -> None:
    async with rust_orchestrator(MODULE, tcp=over == "tcp") as rust:
        await rust.saw("announce")
        status, body = await rust.http("POST", "/ask/other", b"[1, 2]")
        assert (status, json.loads(body)) == (200, {"endpoint": "sum", "asked": [1, 2]})
        routed = await rust.saw("route_to_module", over)
        assert (routed["target_module_id"], routed["target_endpoint"]) == ("other", "sum")
        assert await rust.end() == 0
    assert rust.strange == []


async def test_it_goes_on_after_what_it_cannot_read() -> None:
    async with rust_orchestrator(MODULE) as rust:
        await rust.saw("announce")
        for text in ("", "garbage", '{"op":"nonsense"}', '{"op":"secret","name":1}', "[" * 100_000, '{"op":"init"}'):
            await rust.tell(raw=text)
        assert (await rust.http("POST", "/echo", b"still here"))[0] == 200
        assert await rust.end() == 0


async def test_a_channel_out_of_step_is_opened_again(tmp_path: Path) -> None:
    async with rust_orchestrator(MODULE, unix=str(tmp_path / "channel")) as rust:
        await rust.until(lambda event: event.get("open") == "unix")
        await rust.saw("announce")
        await rust.tell(raw="garbage", over="unix")
        assert (await rust.http("POST", "/echo", b"one", "unix"))[0] == 200
        assert await rust.end() == 0


async def test_it_ends_when_its_orchestrator_is_killed() -> None:
    async with rust_orchestrator(MODULE) as rust:
        await rust.saw("announce")
        (child,) = children(rust.process.pid)
        os.kill(rust.process.pid, 9)
        await until_gone(child)
