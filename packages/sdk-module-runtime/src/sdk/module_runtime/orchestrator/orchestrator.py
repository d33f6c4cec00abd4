"""All modules of a stack, from the start of the first to the end of the last."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from aiohttp import ClientSession

from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.supervisor import Supervisor
from sdk.module_runtime.orchestrator.switchboard import Switchboard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sdk.module_runtime.orchestrator.stack import Stack


async def run_stack(
    stack: Stack,
    stop: asyncio.Event,
    environ: Mapping[str, str] | None = None,
    on_change: Callable[[str, State], None] = lambda _name, _state: None,
    *,
    board: Switchboard | None = None,
    on_start: Callable[[Mapping[str, Supervisor]], None] = lambda _modules: None,
    on_line: Callable[[str, str, str], None] | None = None,
) -> None:
    """Run all modules until ``stop`` is set, then stop them, dependents first.

    A module starts when those it comes ``after`` are ready. ``ConfigurationError`` before anything was started.
    """
    environ = os.environ if environ is None else environ
    board = board or Switchboard()
    try:
        async with ClientSession() as session, asyncio.TaskGroup() as group:
            modules = {
                name: Supervisor(name, module, environ, session, board, on_change, on_line=on_line)
                for name, module in stack.modules.items()
            }
            tasks = {name: group.create_task(_run_in_turn(each, modules)) for name, each in modules.items()}
            on_start(modules)
            await stop.wait()
            await asyncio.gather(*(_end_in_turn(name, modules, tasks) for name in modules))
    finally:
        await board.close()


async def _run_in_turn(supervisor: Supervisor, modules: Mapping[str, Supervisor]) -> None:
    for name in supervisor.module.after:
        await modules[name].ready.wait()
    await supervisor.run()


async def _end_in_turn(name: str, modules: Mapping[str, Supervisor], tasks: Mapping[str, asyncio.Task[None]]) -> None:
    dependents = [tasks[other] for other, each in modules.items() if name in each.module.after]
    if dependents:
        await asyncio.wait(dependents)
    modules[name].end()
    if modules[name].state is State.STOPPED:
        tasks[name].cancel()  # it still waits for its turn
    await asyncio.wait((tasks[name],))
