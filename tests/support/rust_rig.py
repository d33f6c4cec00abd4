"""The Rust counterpart as orchestrator of a module of ours, and as module of an orchestrator of ours."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from support.requirements import rust_peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    Event = dict[str, Any]

PATIENCE = 30.0


class RustOrchestrator:
    """``events`` are what it told so far: ``saw``, ``refused``, ``open``, ``closed``, ``exited``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.events: list[Event] = []

    async def tell(self, **command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        await self.process.stdin.drain()

    async def until(self, wanted: Callable[[Event], bool], count: int = 1) -> Event:
        """The event that makes ``count`` of the wanted ones, counted from the start."""
        found = [event for event in self.events if wanted(event)]
        async with asyncio.timeout(PATIENCE):
            while len(found) < count:
                event = await self._next()
                if wanted(event):
                    found.append(event)
        return found[count - 1]

    async def saw(self, op: str, over: str = "stdio", count: int = 1) -> Event:
        """The message, without the envelope it came in."""
        event = await self.until(
            lambda event: event.get("over") == over and _content(event.get("saw")).get("op") == op, count
        )
        return _content(event["saw"])

    async def http(self, method: str, uri: str, body: bytes | None = None, over: str = "stdio") -> tuple[int, bytes]:
        """Status and body that the module answers."""
        request_id = f"http-{len(self.events)}"
        message = {"op": "http_request", "request_id": request_id, "method": method, "uri": uri, "headers": {}}
        await self.tell(send={**message, "body": None if body is None else list(body)}, over=over)
        event = await self.until(lambda event: _content(event.get("saw")).get("request_id") == request_id)
        assert event["over"] == over
        answer = _content(event["saw"])
        return answer["status_code"], bytes(answer["body"] or [])

    async def end(self) -> int | None:
        """Shut the module down; its exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return (await self.until(lambda event: "exited" in event))["exited"]  # type: ignore[no-any-return]

    @property
    def strange(self) -> list[Event]:
        """What Rust could not read, or would have lost while reading."""
        return [event for event in self.events if "refused" in event or event.get("exact") is False]

    async def _next(self) -> Event:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        assert line, f"the orchestrator has ended; it told {self.events}"
        event: Event = json.loads(line)
        self.events.append(event)
        return event


def _content(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict):
        return {}
    content = message.get("content")
    return content if isinstance(content, dict) else message


@asynccontextmanager
async def rust_orchestrator(command: Sequence[str], **options: Any) -> AsyncIterator[RustOrchestrator]:
    """It has started ``command`` and speaks to it."""
    process = await asyncio.create_subprocess_exec(
        rust_peer("counterpart"),
        "orchestrator",
        json.dumps({"command": list(command), **options}),
        stdin=-1,
        stdout=-1,
        limit=1 << 26,
    )
    try:
        yield RustOrchestrator(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def rust_module(record: Path, *, kind: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """The counterpart as a module of a stack; ``kind`` are more keys of its table, ``options`` its own."""
    command = [str(rust_peer("counterpart")), "module", json.dumps({"record": str(record), **options})]
    return {
        "kind": "module",
        "command": command,
        "restart": {"first_delay": 0.05, "longest_delay": 0.1, "limit": 2},
        **(kind or {}),
    }


def recorded(record: Path, event: str) -> list[Any]:
    """What a Rust module noted under ``event``: ``init``, ``line``, ``frame``, ``lost``, ``services``, ``ended``."""
    if not record.exists():
        return []
    notes = [json.loads(line) for line in record.read_text().splitlines(keepends=True) if line.endswith("\n")]
    return [note[event] for note in notes if event in note]


async def until_recorded(record: Path, event: str, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
    """The module is a foreign process that writes a file: nothing tells when it has."""
    async with asyncio.timeout(PATIENCE):
        while not (found := [each for each in recorded(record, event) if wanted(each)]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    return found[0]
