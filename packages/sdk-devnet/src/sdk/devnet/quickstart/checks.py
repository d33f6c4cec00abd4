"""Steps that are believed only once checked, and what was found."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from sdk.devnet.errors import CheckFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")
PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.1


@dataclass
class Protocol:
    """The steps so far: what was done, what showed it, and how long it took."""

    say: Callable[[str], None]
    steps: list[tuple[str, str, float]] = field(default_factory=list)
    _started: float = field(default_factory=time.monotonic)

    def begin(self, what: str) -> None:
        self._started = time.monotonic()
        self.say(what)

    def done(self, what: str, shown: str) -> None:
        self.steps.append((what, shown, time.monotonic() - self._started))


def expect(found: object, wanted: object, what: str) -> None:
    """Raises ``CheckFailed`` unless they are equal."""
    if found != wanted:
        raise CheckFailed(f"{what}: expected {wanted}, found {found}")


async def until(what: str, look: Callable[[], Awaitable[T | None]]) -> T:
    """Look until there is something. Raises ``CheckFailed`` when patience ends."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = await look()
                if found is not None:
                    return found
                await asyncio.sleep(_PAUSE_SECONDS)
    except TimeoutError:
        raise CheckFailed(f"waited {PATIENCE_SECONDS:.0f} s in vain until {what}") from None
