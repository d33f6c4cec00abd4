"""The life of a module as one table, and the budget that decides whether it may start again. Pure.

stopped ──start──▶ starting ──answered──▶ ready
                    ▲    │ exited           │ exited
                    │    ▼                  ▼
                   due◀─ waiting ◀──────────┘      (exhausted: failed, until an operator starts it)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from sdk.module_runtime.errors import RuntimeModuleError


class State(Enum):
    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"
    """It crashed and will be started again when its back-off is over."""
    FAILED = "failed"
    """It crashed more often than its budget allows; only an operator starts it again."""
    STOPPING = "stopping"


class Event(Enum):
    START = "start"
    ANSWERED = "answered"
    EXITED = "exited"
    EXHAUSTED = "exhausted"
    """It exited, and the budget allows no further start."""
    DUE = "due"
    STOP = "stop"


TRANSITIONS: Final[dict[tuple[State, Event], State]] = {
    (State.STOPPED, Event.START): State.STARTING,
    (State.FAILED, Event.START): State.STARTING,
    (State.STARTING, Event.ANSWERED): State.READY,
    (State.STARTING, Event.EXITED): State.WAITING,
    (State.STARTING, Event.EXHAUSTED): State.FAILED,
    (State.STARTING, Event.STOP): State.STOPPING,
    (State.READY, Event.EXITED): State.WAITING,
    (State.READY, Event.EXHAUSTED): State.FAILED,
    (State.READY, Event.STOP): State.STOPPING,
    (State.WAITING, Event.DUE): State.STARTING,
    (State.WAITING, Event.STOP): State.STOPPED,
    (State.FAILED, Event.STOP): State.STOPPED,
    (State.STOPPING, Event.EXITED): State.STOPPED,
}
"""Everything else is refused."""


class InvalidTransition(RuntimeModuleError):
    code = "ERR_INVALID_TRANSITION"

    def __init__(self, state: State, event: Event) -> None:
        self.state, self.event = state, event
        super().__init__(state, event)

    def __str__(self) -> str:
        return f"a module that is {self.state.value} cannot take the event {self.event.value!r}"


def after(state: State, event: Event) -> State:
    """The state that follows; ``InvalidTransition`` if the table has no such step."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise InvalidTransition(state, event) from None


@dataclass(frozen=True)
class RestartBudget:
    """At most ``limit`` restarts in any ``window`` seconds, each after twice the wait of the one before.

    ``crashes`` are the times (seconds of a monotonic clock) of the crashes still inside the window, oldest first.
    """

    limit: int
    window: float
    first_delay: float
    longest_delay: float
    crashes: tuple[float, ...] = ()

    def crashed(self, now: float, jitter: float) -> tuple[RestartBudget, float | None]:
        """The budget that is left and the seconds to wait, or None if it is used up.

        ``jitter``, from 0 up to 1, takes up to half of the wait away: modules felled together do not rise together.
        """
        recent = (*(at for at in self.crashes if now - at < self.window), now)
        left = RestartBudget(self.limit, self.window, self.first_delay, self.longest_delay, recent[-self.limit - 1 :])
        if len(recent) > self.limit:
            return left, None
        doublings = min(len(recent) - 1, 60)
        return left, min(self.first_delay * 2**doublings, self.longest_delay) * (1 - jitter / 2)
