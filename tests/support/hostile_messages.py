"""A conversation with real services behind it, fed with messages that are nearly right."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING, Any

from sdk.core.errors import SdkError
from sdk.module_runtime.data.database import DatabaseConfig, open_database
from sdk.module_runtime.orchestrator.conversation import Conversation
from sdk.module_runtime.orchestrator.hosts.cache import CacheHost
from sdk.module_runtime.orchestrator.hosts.database import DatabaseHost
from sdk.module_runtime.orchestrator.hosts.scopes import CacheScope
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from support.host_link import scope_of
from support.requirements import vectors
from support.wire_mutation import ODD, changed, places

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sdk.module_runtime.ports import ServiceHost
    from sdk.module_runtime.protocol.model import WireStruct

FAULT = "the orchestrator failed; its log says why"
SECRET = "a secret that no answer and no note may show"
_ID = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


class Heard:
    """A transport that keeps what the orchestrator says."""

    label = "unix"

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.is_held = False

    def send(self, message: WireStruct) -> None:
        self.messages.append(json.loads(message.to_json()))

    def hold(self, held: bool) -> None:
        self.is_held = held


class Keeper:
    """Keeps one secret that the module has no right to."""

    async def get(self, module_id: str, name: str) -> tuple[str, str | None]:
        raise SdkError(f"{module_id} may not have it")

    async def call(self, module_id: str, operation: str, params: Any) -> Any:
        raise SdkError("not allowed")

    async def acknowledge(self, module_id: str, rotation_id: str, *, success: bool, message: str | None) -> None:
        """Nothing rotates."""

    async def pending(self, module_id: str) -> Sequence[tuple[Sequence[str], str]]:
        return []

    def on_rotated(self, listener: Any) -> Callable[[], None]:
        return lambda: None

    async def close(self) -> None:
        """Nothing is held."""


def templates(database: str, cache: str) -> list[Any]:
    """Right messages of every kind, with operations on these connections."""
    cases = json.loads(vectors("module-runtime", "01_module_to_orchestrator.json").read_bytes())["cases"]
    found = [json.loads(case["text"]) for case in cases if "text" in case]
    statement = {"query": "SELECT n FROM t WHERE n = ?", "params": [1]}
    operations: list[tuple[str, str, str, Any]] = [
        *((database, "Database", name, statement) for name in ("execute", "query", "query_one")),
        (database, "Database", "begin_transaction", {}),
        (database, "Database", "transaction_execute", {"transaction_id": "t", **statement}),
        (database, "Database", "transaction_commit", {"transaction_id": "t"}),
        (database, "Database", "ping", {}),
        (cache, "Cache", "set", {"key": "k", "value": "eA==", "ttl_seconds": 1}),
        (cache, "Cache", "set_many", {"items": {"k": "eA=="}, "ttl_seconds": None}),
        (cache, "Cache", "increment", {"key": "n", "delta": 1}),
        (cache, "Cache", "lock", {"key": "l", "ttl_seconds": 1}),
        (cache, "Cache", "unlock", {"key": "l", "lock_token": "x"}),
        *((cache, "Cache", name, {"key": "k"}) for name in ("get", "delete", "exists")),
        *((cache, "Cache", name, {"keys": ["k"]}) for name in ("get_many", "delete_many")),
        (cache, "Cache", "stats", {}),
        (cache, "Cache", "clear", {"namespace": None}),
    ]
    for connection, service, operation, params in operations:
        named = {"connection_id": connection, "service_type": service, "operation": operation, "params": params}
        found.append({"op": "service_operation", **named, "operation_id": "1"})
    answer = {"request_id": _ID, "payload": {"data": [49], "format": "Json"}}
    calls: list[tuple[str, str, Any]] = [
        ("secrets", "get", {"name": "KEY"}),
        ("secrets", "list", {}),
        ("routed_answer", "answer", answer),
        ("drain", "draining", {}),
    ]
    for extension, operation, params in calls:
        call = {"extension": extension, "operation": operation, "params": params}
        found.append({"op": "extension_call", "call_id": "1", **call})
    found.append({"op": "hello", "module_id": "m", "auth_token": "no"})
    return found


async def bombard(folder: Path, seed: int, rounds: int) -> dict[str, int]:
    """Counts of what came of it. ``AssertionError`` with what failed that should have been refused."""
    chance, faults, notes = random.Random(seed), list[str](), list[str]()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(str(context.get("exception") or context["message"])))
    config = DatabaseConfig(db_type="sqlite", database=str(folder / "m.db"))
    database = await open_database(config)
    await database.execute("CREATE TABLE t (n INTEGER)")
    await database.close()
    hosts: dict[str, ServiceHost] = {
        "Database": DatabaseHost({"m": {"main": scope_of(config)}}),
        "Cache": CacheHost({"m": {"main": CacheScope(cache_type="InMemory")}}),
    }
    board = Switchboard(hosts, Keeper())
    conversation = Conversation("m", SECRET, board, lambda _level, text: notes.append(text))
    heard = Heard()
    conversation.attach(heard)
    conversation.is_ready = True
    board.enter(conversation)
    try:
        requests = [("Database", {"db_type": "sqlite", "database": "main"}), ("Cache", {"namespace": "main"})]
        for service, wanted in requests:
            request = {"op": "service_request", "id": service, "service_type": service, "config": wanted}
            conversation.line(json.dumps(request).encode(), heard)
        await _quiet(conversation)
        opened = {each["id"]: each["connection_id"] for each in heard.messages if each["op"] == "service_response"}
        right = templates(opened["Database"], opened["Cache"])
        for number in range(rounds):
            value = chance.choice(right)
            for _ in range(chance.randrange(3)):
                path = chance.choice(places(value))
                value = changed(value, path, chance.choice(["remove", "add", "set"]), chance.choice(ODD))
            line = json.dumps(value).encode()
            if chance.random() < 0.05:
                line = line[: chance.randrange(len(line) + 1)]
            try:
                conversation.line(line, heard)
            except Exception as error:
                raise AssertionError(f"seed {seed}: {type(error).__name__}: {error} over {line!r}") from error
            if number % 50 == 0 or heard.is_held:
                await _quiet(conversation)
        await _quiet(conversation)
    finally:
        await conversation.close()
        await board.close()
        loop.set_exception_handler(None)
    failed = [each for each in heard.messages if each.get("error") == FAULT]
    assert not faults, f"seed {seed}: {faults[:3]}"
    assert not failed, f"seed {seed}: {failed[:3]}"
    shown = json.dumps(heard.messages) + "".join(notes)
    assert SECRET not in shown, f"seed {seed}: the token was shown"
    return {"answers": len(heard.messages), "refused": conversation.refused, "received": conversation.received}


async def _quiet(conversation: Conversation) -> None:
    """Until nothing of it waits."""
    async with asyncio.timeout(60):
        while conversation._lanes.waiting:  # noqa: ASYNC110 - lanes tell nobody when they are empty
            await asyncio.sleep(0.001)
