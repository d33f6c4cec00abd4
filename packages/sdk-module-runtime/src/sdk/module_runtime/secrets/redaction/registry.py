"""Which secrets are redacted, and for how long."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sdk.module_runtime.secrets.redaction.forms import MINIMUM_LENGTH, forms_of
from sdk.module_runtime.secrets.redaction.matcher import Matcher, Matchers

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.module_runtime.secrets.redaction.forms import Form

DEFAULT_GRACE: Final = 3600.0
"""Seconds. A rotated value still stands in buffers, retries and tracebacks, and may still open something."""


_MOST_RECENT: Final = 32
"""Secrets that are matched apart from the others, so that one that is added costs what these cost, not what all do."""


@dataclass(slots=True)
class _Entry:
    forms: frozenset[Form]
    holders: int = 0
    pinned: bool = False
    forget_at: float = float("inf")


class SecretRegistry:
    """Secrets by value. Threads may share it.

    A value is redacted while it is pinned (registered without a holder) or any of its holders lives, and for
    ``grace`` seconds afterwards. Holders are held weakly; the value itself is not, so that it is never forgotten early.
    """

    def __init__(
        self,
        *,
        minimum: int = MINIMUM_LENGTH,
        grace: float = DEFAULT_GRACE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if minimum < 1:
            raise ValueError(f"minimum is {minimum}; a secret to be redacted has at least 1 character")
        self._minimum, self._grace, self._clock = minimum, grace, clock
        self._entries: dict[str | bytes, _Entry] = {}
        self._lock = threading.Lock()
        self._dropped: deque[tuple[str | bytes, float]] = deque()  # by finalizers, which may run inside the lock
        self._recent: list[frozenset[Form]] = []
        self._others: Matcher | None = Matcher(())  # of those that are not recent
        self._matcher: Matchers | None = Matchers(())
        self._next_forget = float("inf")

    def __repr__(self) -> str:
        return f"<SecretRegistry of {len(self._entries)} secrets>"

    def __len__(self) -> int:
        self.matcher()
        return len(self._entries)

    def register(self, value: str | bytes, *, holder: object | None = None) -> bool:
        """Redact ``value`` from now on, while ``holder`` lives, or without one until ``retire``.

        ``False``: it is shorter than the minimum or an ordinary word, so not redacted. ``TypeError``: ``holder`` takes
        no weak reference.
        """
        with self._lock:
            entry = self._entries.get(value)
            if entry is None:
                forms = forms_of(value, minimum=self._minimum)
                if not forms:
                    return False
                entry = _Entry(forms)
            if holder is None:
                entry.pinned = True
            else:
                weakref.finalize(holder, self._drop, value).atexit = False
                entry.holders += 1
            entry.forget_at = float("inf")
            if value not in self._entries:
                self._entries[value] = entry
                self._add(entry.forms)
        return True

    def retire(self, value: str | bytes) -> None:
        """Unpin ``value``, which was rotated: it stays redacted while holders live and for the grace time."""
        with self._lock:
            self._settle()
            entry = self._entries.get(value)
            if entry is not None and entry.pinned:
                entry.pinned = False
                self._begin_grace(entry, self._clock())

    def redact(self, text: str) -> str:
        """``text`` without any registered secret."""
        return self.matcher().redact(text)

    def matcher(self) -> Matchers:
        """What finds the secrets registered now; built anew after a change, at the first use."""
        matcher = self._matcher
        if matcher is not None and not self._dropped and self._clock() < self._next_forget:
            return matcher
        with self._lock:
            self._settle()
            if self._matcher is None:
                if self._others is None:
                    self._others = Matcher(form for entry in self._entries.values() for form in entry.forms)
                recent = Matcher(form for forms in self._recent for form in forms)
                self._matcher = Matchers((self._others, recent))
            return self._matcher

    def _add(self, forms: frozenset[Form]) -> None:
        self._recent.append(forms)
        self._matcher = None
        if len(self._recent) > _MOST_RECENT:
            self._match_anew()

    def _match_anew(self) -> None:
        self._recent.clear()
        self._others = self._matcher = None

    def _drop(self, value: str | bytes) -> None:
        """A holder is gone. Called by the garbage collector at any point of any thread: takes no lock."""
        self._dropped.append((value, self._clock()))

    def _settle(self) -> None:
        while self._dropped:
            value, when = self._dropped.popleft()
            entry = self._entries[value]
            entry.holders -= 1
            self._begin_grace(entry, when)
        now = self._clock()
        if now < self._next_forget:
            return
        forgotten = [value for value, entry in self._entries.items() if entry.forget_at <= now]
        if forgotten:
            for value in forgotten:
                del self._entries[value]
            self._match_anew()
        self._next_forget = min((entry.forget_at for entry in self._entries.values()), default=float("inf"))

    def _begin_grace(self, entry: _Entry, when: float) -> None:
        if not entry.holders and not entry.pinned:
            entry.forget_at = when + self._grace
            self._next_forget = min(self._next_forget, entry.forget_at)


SECRETS: Final = SecretRegistry()
"""The secrets of this process."""


def register_secret(value: str | bytes, *, holder: object | None = None) -> bool:
    """``SecretRegistry.register`` of the process's secrets."""
    return SECRETS.register(value, holder=holder)


def redact_secrets(text: str) -> str:
    """``text`` without the process's secrets."""
    return SECRETS.redact(text)
