"""A stack that runs while a test looks at it."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sdk.module_runtime.orchestrator.orchestrator import run_stack
from sdk.module_runtime.orchestrator.stack import parse_stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from sdk.module_runtime.orchestrator.gateway import Authorizer
    from sdk.module_runtime.orchestrator.lifecycle import State
    from sdk.module_runtime.orchestrator.orchestrator import Orchestrator
    from sdk.module_runtime.orchestrator.supervisor import Supervisor
    from sdk.module_runtime.orchestrator.switchboard import Switchboard

PATIENCE = 30.0


class Running:
    """``seen`` are the changes of state and ``lines`` what the modules wrote: ``(module, level, line)``."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, State]] = []
        self.lines: list[tuple[str, str, str]] = []
        self.modules: Mapping[str, Supervisor] = {}
        self.orchestrator: Orchestrator | None = None
        self._changed = asyncio.Event()

    def on_change(self, name: str, state: State) -> None:
        self.seen.append((name, state))
        self._changed.set()

    def on_line(self, name: str, level: str, line: str) -> None:
        self.lines.append((name, level, line))
        self._changed.set()

    def on_start(self, orchestrator: Orchestrator) -> None:
        self.modules, self.orchestrator = orchestrator.modules, orchestrator

    def text(self, name: str) -> str:
        return "\n".join(line for module, _, line in self.lines if module == name)

    async def until(self, name: str, state: State, times: int = 1) -> None:
        await self.until_true(lambda: self.seen.count((name, state)) >= times)

    async def until_true(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def running(
    modules: Mapping[str, Mapping[str, Any]],
    board: Switchboard | None = None,
    *,
    authorizer: Authorizer | None = None,
    registration_key: str | None = None,
    **tables: Any,
) -> AsyncIterator[Running]:
    """``tables`` are those of the stack file beside ``modules``."""
    stack, stop, seen = parse_stack({"modules": modules, **tables}, "test"), asyncio.Event(), Running()
    task = asyncio.create_task(
        run_stack(
            stack,
            stop,
            dict(os.environ),
            seen.on_change,
            board=board,
            on_start=seen.on_start,
            on_line=seen.on_line,
            authorizer=authorizer,
            registration_key=registration_key,
        )
    )
    try:
        yield seen
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE):
            await task
