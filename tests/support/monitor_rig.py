"""A backend and tasks that do what a test says, for the monitor."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sdk.monitor.tasks.base import TaskResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.monitor.tasks.base import TaskContext


@dataclass(frozen=True)
class Tip:
    height: int
    hash: str


@dataclass(frozen=True)
class Report:
    processed: int = 0
    more: bool = False
    detail: Mapping[str, int] = field(default_factory=dict)


class ScriptedBackend:
    """Answers come from ``answers`` by method name (a report, an exception), else an empty report."""

    def __init__(self) -> None:
        self.chain_tip = Tip(100, "aa" * 32)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, deque[Any]] = {}
        self.closed = False

    def will(self, method: str, *answers: Any) -> None:
        self.answers.setdefault(method, deque()).extend(answers)

    def _answer(self, method: str, default: Any, **given: Any) -> Any:
        self.calls.append((method, given))
        waiting = self.answers.get(method)
        answer = waiting.popleft() if waiting else default
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def send_waiting(self, *, min_age: timedelta, limit: int) -> Report:
        return self._answer("send_waiting", Report(), min_age=min_age, limit=limit)  # type: ignore[no-any-return]

    async def check_for_proofs(self, *, up_to_height: int, limit: int) -> Report:
        return self._answer("check_for_proofs", Report(), up_to_height=up_to_height, limit=limit)  # type: ignore[no-any-return]

    async def fail_abandoned(self, *, older_than: timedelta, limit: int) -> Report:
        return self._answer("fail_abandoned", Report(), older_than=older_than, limit=limit)  # type: ignore[no-any-return]

    async def tip(self) -> Tip:
        return self._answer("tip", self.chain_tip)  # type: ignore[no-any-return]

    async def follow_tip(self, tip: Any) -> Report:
        return self._answer("follow_tip", Report(), tip=(tip.height, tip.hash))  # type: ignore[no-any-return]

    async def close(self) -> None:
        self.closed = True

    def called(self, method: str) -> int:
        return sum(name == method for name, _ in self.calls)


class ScriptedTask:
    """Each run takes the next of ``script``: a result, an exception, or an event to wait for; then empty results."""

    def __init__(self, name: str, *script: Any, interval: timedelta = timedelta(seconds=10)) -> None:
        self.name, self.interval = name, interval
        self.script = deque(script)
        self.contexts: list[TaskContext] = []
        self.started = asyncio.Event()
        self.cancelled = 0

    @property
    def runs(self) -> int:
        return len(self.contexts)

    async def run(self, context: TaskContext) -> TaskResult:
        self.contexts.append(context)
        self.started.set()
        step = self.script.popleft() if self.script else TaskResult()
        if isinstance(step, asyncio.Event):
            try:
                await step.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
            return TaskResult(1)
        if isinstance(step, Exception):
            raise step
        assert isinstance(step, TaskResult)
        return step
