"""Keeps one module running, and a stack of them; a module that fails degrades alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from typing import TYPE_CHECKING, Final

from aiohttp import ClientError, ClientSession, ClientTimeout

from sdk.module_runtime.orchestrator.lifecycle import Event, RestartBudget, State, after
from sdk.module_runtime.orchestrator.logs import LogCollector
from sdk.module_runtime.orchestrator.process import Process
from sdk.module_runtime.orchestrator.stack import environment_of, program_of
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sdk.module_runtime.orchestrator.stack import Module, Stack

_log = get_logger(__name__)
_ASK_EVERY: Final = 0.1
_ASK_TIMEOUT: Final = ClientTimeout(total=5)


class Supervisor:
    """One module. ``run`` starts it, again after each crash as long as its budget lasts, until ``stop``."""

    def __init__(
        self,
        name: str,
        module: Module,
        environ: Mapping[str, str],
        session: ClientSession,
        on_change: Callable[[str, State], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``ConfigurationError`` if the module's program, directory or environment is missing."""
        self.name, self.module, self.state = name, module, State.STOPPED
        self.ready = asyncio.Event()
        self._environment = environment_of(name, module, environ)
        self._program = program_of(name, module, self._environment)
        self._session, self._on_change, self._clock, self._jitter = session, on_change, clock, jitter
        policy = module.restart
        self._budget = RestartBudget(policy.limit, policy.window, policy.first_delay, policy.longest_delay)
        self._stop = asyncio.Event()
        self._logs = LogCollector(self._line, clock)

    def stop(self) -> None:
        """Ask for the end; ``run`` returns when the process is gone."""
        self._stop.set()

    async def run(self) -> None:
        event = Event.START
        while not self._stop.is_set():
            self._take(event)
            await self._live()
            if self.state is State.STOPPED:
                return
            self._budget, delay = self._budget.crashed(self._clock(), self._jitter())
            self._take(Event.EXITED if delay is not None else Event.EXHAUSTED)
            await self._until_stopped(delay)
            event = Event.DUE
        if self.state is not State.STOPPED:
            self._take(Event.STOP)

    async def _live(self) -> None:
        """From start to exit of one process. The state is STOPPED afterwards if the exit was asked for."""
        try:
            process = Process.start(
                self._program, self.module.command, self._environment, self.module.directory, self._logs
            )
        except OSError as error:
            _log.error("module_not_started", module_id=self.name, reason=error.strerror or str(error))
            return
        try:
            await self._watch(process)
        finally:
            await process.kill()  # whatever happened, nothing stays behind
            self.ready.clear()
            dropped, truncated = self._logs.dropped, self._logs.truncated
            if dropped or truncated:
                _log.warning("module_output_dropped", module_id=self.name, dropped=dropped, truncated=truncated)

    async def _watch(self, process: Process) -> None:
        exited = asyncio.ensure_future(process.wait())
        stopped = asyncio.ensure_future(self._stop.wait())
        answered = asyncio.ensure_future(self._until_answered())
        try:
            watched = (exited, stopped, answered)
            await asyncio.wait(watched, timeout=self.module.start_timeout, return_when=asyncio.FIRST_COMPLETED)
            if answered.done() and not exited.done() and not stopped.done():
                answered.result()
                self._take(Event.ANSWERED)
                self.ready.set()
                await asyncio.wait((exited, stopped), return_when=asyncio.FIRST_COMPLETED)
            if stopped.done() and not exited.done():
                self._take(Event.STOP)
                await process.stop(self.module.stop_timeout)
                self._take(Event.EXITED)
            elif exited.done():
                _log.warning("module_exited", module_id=self.name, status=exited.result())
            else:
                _log.warning("module_not_ready_in_time", module_id=self.name, seconds=self.module.start_timeout)
        finally:
            for task in (exited, stopped, answered):
                task.cancel()
            await asyncio.gather(exited, stopped, answered, return_exceptions=True)

    async def _until_answered(self) -> None:
        while not await self._answers():  # noqa: ASYNC110 - another program has no event to wait for
            await asyncio.sleep(_ASK_EVERY)

    async def _answers(self) -> bool:
        """Whether the module says that it is ready. That its port is open is not enough."""
        try:
            async with self._session.get(self.module.ready_url, timeout=_ASK_TIMEOUT, allow_redirects=False) as answer:
                return answer.status == 200
        except (ClientError, TimeoutError, OSError, ValueError):  # ValueError: an answer or address aiohttp cannot read
            return False

    async def _until_stopped(self, seconds: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    def _take(self, event: Event) -> None:
        self.state = after(self.state, event)
        _log.info("module_state", module_id=self.name, state=self.state.value)
        self._on_change(self.name, self.state)

    def _line(self, level: str, line: str) -> None:
        {"debug": _log.debug, "warning": _log.warning, "error": _log.error}.get(level, _log.info)(
            "module_output", module_id=self.name, line=line
        )


async def run_stack(
    stack: Stack,
    stop: asyncio.Event,
    environ: Mapping[str, str] | None = None,
    on_change: Callable[[str, State], None] = lambda _name, _state: None,
) -> None:
    """Run all modules until ``stop`` is set, then stop them, dependents first.

    A module starts when those it comes ``after`` are ready. ``ConfigurationError`` before anything was started.
    """
    environ = os.environ if environ is None else environ
    async with ClientSession() as session, asyncio.TaskGroup() as group:
        modules = {
            name: Supervisor(name, module, environ, session, on_change) for name, module in stack.modules.items()
        }
        tasks = {name: group.create_task(_run_in_turn(each, modules)) for name, each in modules.items()}
        await stop.wait()
        await asyncio.gather(*(_stop_in_turn(name, modules, tasks) for name in modules))


async def _run_in_turn(supervisor: Supervisor, modules: Mapping[str, Supervisor]) -> None:
    for name in supervisor.module.after:
        await modules[name].ready.wait()
    await supervisor.run()


async def _stop_in_turn(name: str, modules: Mapping[str, Supervisor], tasks: Mapping[str, asyncio.Task[None]]) -> None:
    dependents = [tasks[other] for other, each in modules.items() if name in each.module.after]
    if dependents:
        await asyncio.wait(dependents)
    modules[name].stop()
    if modules[name].state is State.STOPPED:
        tasks[name].cancel()  # it still waits for its turn
    await asyncio.wait((tasks[name],))
