"""Faults on demand, for tests of what depends on the services.

A fault names the endpoints it hits by pattern (``arc.submit``, ``whatsonchain.*``, ``*``; the names stand at the
routes), what it does, and how often. Without ``times`` it holds until it is cleared.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, field_validator

from sdk.core.wire import WireModel
from sdk.devnet.lies import ENDPOINTS, Lie

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import ValidationInfo


class FaultKind(Enum):
    DROP = "drop"  # close the connection, the request unread
    DROP_ANSWER = "drop-answer"  # do what was asked, then close the connection
    DELAY = "delay"  # wait ``seconds``, then do what was asked
    ERROR = "error"  # answer ``status`` and ``body``, do nothing
    ERROR_ANSWER = "error-answer"  # do what was asked, then answer ``status`` and ``body``
    TRUNCATE = "truncate"  # do what was asked, then break off in the middle of the answer
    LIE = "lie"  # answer what is not so; which lies there are: ``sdk.devnet.lies``


class Fault(WireModel):
    endpoint: str = "*"
    kind: FaultKind
    times: int | None = None
    skip: int = 0
    seconds: float = 0.0
    status: int = 503
    body: str = "Service Unavailable"
    content_type: str = "text/plain"
    lie: Annotated[Lie | None, Field(validate_default=True)] = None

    @field_validator("lie")
    @classmethod
    def _fits(cls, lie: Lie | None, info: ValidationInfo) -> Lie | None:
        if (info.data.get("kind") is FaultKind.LIE) is not (lie is not None):
            raise ValueError('given with kind "lie", and only then')
        endpoint = info.data.get("endpoint", "*")
        if lie is not None and not any(fnmatchcase(each, endpoint) for each in ENDPOINTS[lie]):
            raise ValueError(f"told at {' or '.join(sorted(ENDPOINTS[lie]))}, not at {endpoint}")
        return lie

    def concerns(self, endpoint: str) -> bool:
        """Whether it can hit a request to ``endpoint``."""
        fits = self.lie is None or endpoint in ENDPOINTS[self.lie]
        return fits and fnmatchcase(endpoint, self.endpoint)


@dataclass(slots=True)
class _Armed:
    fault: Fault
    to_skip: int
    left: int | None


class Faults:
    def __init__(self) -> None:
        self._armed: list[_Armed] = []

    def add(self, fault: Fault) -> None:
        self._armed.append(_Armed(fault, fault.skip, fault.times))

    def clear(self) -> None:
        self._armed.clear()

    def armed(self) -> Sequence[Fault]:
        """What is still to come."""
        return tuple(each.fault for each in self._armed)

    def take(self, endpoint: str) -> list[Fault]:
        """The faults that hit this request; each is counted."""
        hits: list[Fault] = []
        for each in tuple(self._armed):
            if not each.fault.concerns(endpoint):
                continue
            if each.to_skip > 0:
                each.to_skip -= 1
                continue
            hits.append(each.fault)
            if each.left is not None:
                each.left -= 1
                if each.left <= 0:
                    self._armed.remove(each)
        return hits
