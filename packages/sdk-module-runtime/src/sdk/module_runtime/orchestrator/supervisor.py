"""Keeps one module running; a module that fails degrades alone."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from sdk.core.errors import SdkError
from sdk.module_runtime.errors import RuntimeModuleError
from sdk.module_runtime.orchestrator import happenings
from sdk.module_runtime.orchestrator.bell import Bell
from sdk.module_runtime.orchestrator.happenings import Happening
from sdk.module_runtime.orchestrator.instance import Instance, Setting
from sdk.module_runtime.orchestrator.lifecycle import Event, RestartBudget, State, after
from sdk.module_runtime.orchestrator.logs import LogCollector
from sdk.module_runtime.orchestrator.stack import PORT, environment_of, program_of
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from aiohttp import ClientSession

    from sdk.module_runtime.orchestrator.listeners import ChannelSetup
    from sdk.module_runtime.orchestrator.stack import Module
    from sdk.module_runtime.orchestrator.switchboard import Switchboard

_log = get_logger(__name__)


class NotReplaced(RuntimeModuleError):
    """The new instance did not become ready; the old one serves on."""

    code = "ERR_NOT_REPLACED"


class Supervisor:
    """One module. ``run`` starts it, again after each crash as long as its budget lasts, until ``end``."""

    def __init__(
        self,
        name: str,
        module: Module,
        environ: Mapping[str, str],
        session: ClientSession,
        board: Switchboard,
        channels: ChannelSetup,
        on_change: Callable[[str, State], None],
        *,
        on_line: Callable[[str, str, str], None] | None = None,
        marks: Mapping[str, str] | None = None,
        listening: socket.socket | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``ConfigurationError`` if the module's program, directory or environment is missing.

        ``on_line(module, level, line)`` takes what the module writes. Every process inherits ``listening``.
        """
        self.name, self.module, self.state = name, module, State.STOPPED
        self.ready = asyncio.Event()
        self.instance: Instance | None = None
        self.restarts = 0
        self._address: str | None = None
        """Where it has served: others may know it, so it shall serve there again."""
        self._on_change, self._on_line, self._clock, self._jitter = on_change, on_line or log_line, clock, jitter
        self._logs = LogCollector(self._line, clock)
        environment = {**environment_of(name, module, environ), **(marks or {})}
        self._setting = Setting(
            name,
            module,
            program_of(name, module, environment),
            environment,
            board,
            channels,
            session,
            self._logs,
            clock,
            listening,
        )
        self._budget = self._full_budget()
        self._wanted, self._ended, self._again = True, False, False
        self._bell = Bell()
        self._replacing = asyncio.Lock()
        self._replacements: set[asyncio.Task[None]] = set()

    # --- what an operator may ask for ---

    def end(self) -> None:
        """``run`` returns when the process is gone."""
        self._ended = True
        self._bell.ring()

    async def stop(self) -> None:
        """Until the module is stopped, or somebody else wants it again. It stays so until ``start``."""
        self._wanted = False
        self._bell.ring()
        await self._bell.until(lambda: self.state is State.STOPPED or self._wanted)

    def start(self) -> None:
        """Start a module that is stopped or failed, with a new budget; a running one is left alone."""
        self._wanted = True
        if self.state in (State.STOPPED, State.FAILED):
            self._budget = self._full_budget()
        self._again = True
        self._bell.ring()

    async def start_and_wait(self) -> None:
        """Until it is ready, or has failed, or nobody wants it any more."""
        self.start()
        await self._bell.until(self._is_settled)

    def _is_settled(self) -> bool:
        has_failed = self.state is State.FAILED and not self._again
        return self.state is State.READY or has_failed or not self._wanted or self._ended

    async def restart(self) -> None:
        """Stop it, start it again with a new budget, and wait until it is ready, or has failed."""
        await self.stop()
        await self.start_and_wait()

    async def replace(self) -> None:
        """A new instance serves before the old one is asked to end. ``NotReplaced`` if it does not get ready."""
        if self.module.kind == "command" and PORT not in (self.module.ready_url or ""):
            raise NotReplaced(
                f"{self.name} is a command that is always asked at the same place: restart it, "
                f"or let its command and ready_url name {PORT}, which is another for each instance"
            )
        task = asyncio.get_running_loop().create_task(self._replace())
        self._replacements.add(task)
        task.add_done_callback(self._replaced)
        await asyncio.shield(task)  # who asked may leave; what was begun is brought to its end

    def _replaced(self, task: asyncio.Task[None]) -> None:
        self._replacements.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.warning("module_not_replaced", module_id=self.name, reason=str(error))

    async def _replace(self) -> None:
        async with self._replacing:
            old = self.instance
            if old is None or self.state is not State.READY:
                raise NotReplaced(f"{self.name} is {self.state.value}: only a module that is ready can be replaced")
            successor = await self._successor()
            if self.instance is not old or self.state is not State.READY:
                await successor.close()
                raise NotReplaced(f"{self.name} ended while it was being replaced")
            self.instance, self._address = successor, successor.address
            successor.enter()
            self._bell.ring()
            _log.info("module_replaced", module_id=self.name)
            self._setting.board.tell(Happening(happenings.REPLACED, self.name, {"instance": successor.id}))
            try:
                await old.stop(self.module.stop_timeout)
            finally:
                await old.close()

    async def _successor(self) -> Instance:
        try:
            successor = await Instance.start(self._setting)
        except (OSError, SdkError) as error:
            raise NotReplaced(f"{self.name} cannot be started: {error}") from error
        ready, exited = asyncio.ensure_future(successor.until_ready()), asyncio.ensure_future(successor.process.wait())
        try:
            await asyncio.wait((ready, exited), timeout=self.module.start_timeout, return_when=asyncio.FIRST_COMPLETED)
            if exited.done() or not ready.done():
                raise NotReplaced(f"the new {self.name} {'ended' if exited.done() else 'is not ready in time'}")
            ready.result()
        except BaseException:
            await successor.close()
            raise
        finally:
            await _cancel(ready, exited)
        return successor

    # --- its life ---

    async def run(self) -> None:
        event = Event.START
        while not self._ended:
            self._again = False
            if not self._wanted:
                await self._bell.until(lambda: self._ended or self._wanted)
                continue
            self._take(event)
            try:
                await self._live()
            except Exception:  # noqa: BLE001 - a fault of ours costs this module a start, and the others nothing
                _log.exception("module_supervision_failed", module_id=self.name)
                if self.state is State.STOPPING:
                    self._take(Event.EXITED)
            if self.state is State.STOPPED:
                event = Event.START
                continue
            self._budget, delay = self._budget.crashed(self._clock(), self._jitter())
            self.restarts += delay is not None
            self._take(Event.EXITED if delay is not None else Event.EXHAUSTED)
            event = await self._wait(delay)
        if self.state is not State.STOPPED:
            self._take(Event.STOP)
        await asyncio.gather(*self._replacements, return_exceptions=True)

    async def _wait(self, delay: float | None) -> Event:
        """After a crash: until it is due again, or an operator says otherwise."""
        self._again = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._bell.until(lambda: self._ended or not self._wanted or self._again)
        if self._ended or not self._wanted:
            self._take(Event.STOP)
            return Event.START
        return Event.DUE if self.state is State.WAITING else Event.START

    async def _live(self) -> None:
        """From start to exit of one process, or of those that replace it. STOPPED afterwards if that was asked for."""
        try:
            self.instance = await Instance.start(self._setting, self._address)
        except (OSError, SdkError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            _log.error("module_not_started", module_id=self.name, reason=reason)
            return
        try:
            self._address = None  # if it does not get ready there, it may choose again
            if await self._becomes_ready(self.instance):
                self._take(Event.ANSWERED)
                self.instance.enter()
                self._address = self.instance.address
                self.ready.set()
                await self._serves()
        finally:
            self.ready.clear()
            last, self.instance = self.instance, None  # first, so that nothing takes its place while it is closed
            await last.close()
            dropped, truncated = self._logs.dropped, self._logs.truncated
            if dropped or truncated:
                _log.warning("module_output_dropped", module_id=self.name, dropped=dropped, truncated=truncated)
        if self.state is State.STOPPING:
            self._take(Event.EXITED)

    async def _becomes_ready(self, instance: Instance) -> bool:
        exited, asked = asyncio.ensure_future(instance.process.wait()), asyncio.ensure_future(self._unwanted())
        ready = asyncio.ensure_future(instance.until_ready())
        try:
            await asyncio.wait(
                (exited, asked, ready), timeout=self.module.start_timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if exited.done():
                _log.warning("module_exited", module_id=self.name, status=exited.result())
            elif asked.done():
                await self._stop(instance)
            elif ready.done():
                ready.result()
                return True
            else:
                _log.warning("module_not_ready_in_time", module_id=self.name, seconds=self.module.start_timeout)
            return False
        finally:
            await _cancel(exited, asked, ready)

    async def _serves(self) -> None:
        """Until the instance that serves ends, whichever it is by then."""
        asked = asyncio.ensure_future(self._unwanted())
        try:
            while (instance := self.instance) is not None:
                exited = asyncio.ensure_future(instance.process.wait())
                hung = asyncio.ensure_future(instance.until_hung())
                replaced = asyncio.ensure_future(self._bell.until(partial(self._is_other_than, instance)))
                try:
                    await asyncio.wait((exited, hung, asked, replaced), return_when=asyncio.FIRST_COMPLETED)
                    if self.instance is not instance:
                        continue
                    if exited.done():
                        _log.warning("module_exited", module_id=self.name, status=exited.result())
                    elif asked.done():
                        await self._stop(instance)
                    else:
                        _log.warning("module_hung", module_id=self.name)
                    return
                finally:
                    await _cancel(exited, hung, replaced)
        finally:
            await _cancel(asked)

    async def _stop(self, instance: Instance) -> None:
        self._take(Event.STOP)
        await instance.stop(self.module.stop_timeout)

    async def _unwanted(self) -> None:
        await self._bell.until(lambda: self._ended or not self._wanted)

    # --- helpers ---

    def _is_other_than(self, instance: Instance) -> bool:
        return self.instance is not instance

    def _full_budget(self) -> RestartBudget:
        policy = self.module.restart
        return RestartBudget(policy.limit, policy.window, policy.first_delay, policy.longest_delay)

    def _take(self, event: Event) -> None:
        self.state = after(self.state, event)
        _log.info("module_state", module_id=self.name, state=self.state.value)
        self._setting.board.tell(
            Happening(happenings.STATE, self.name, {"state": self.state.value, "restarts": self.restarts})
        )
        self._on_change(self.name, self.state)
        self._bell.ring()

    def _line(self, level: str, line: str) -> None:
        self._on_line(self.name, level, line)


def log_line(module_id: str, level: str, line: str) -> None:
    {"debug": _log.debug, "warning": _log.warning, "error": _log.error}.get(level, _log.info)(
        "module_output", module_id=module_id, line=line
    )


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
