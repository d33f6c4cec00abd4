"""What the monitor needs from those whose work it schedules. Satisfied structurally; nobody imports a sibling.

A backend is opened by an ``OpenBackend`` of the entry-point group ``sdk.monitor.backends``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping
    from datetime import timedelta

    from sdk.service.database import Database


class Tip(Protocol):
    """The newest block: its height, and its hash in display hex."""

    @property
    def height(self) -> int: ...
    @property
    def hash(self) -> str: ...


class Report(Protocol):
    """What a piece of work did. ``more``: another call would find work at once."""

    @property
    def processed(self) -> int: ...
    @property
    def more(self) -> bool: ...
    @property
    def detail(self) -> Mapping[str, int]: ...


class Backend(Protocol):
    """The work itself: its rows, its evidence. Each call may be repeated, cut short, or made by two workers at once.

    Calls raise ``ServiceUnavailable`` or ``StorageError`` when they could not do their work; what was done stays done.
    """

    async def send_waiting(self, *, min_age: timedelta, limit: int) -> Report: ...

    async def check_for_proofs(self, *, up_to_height: int, limit: int) -> Report: ...

    async def fail_abandoned(self, *, older_than: timedelta, limit: int) -> Report: ...

    async def tip(self) -> Tip: ...

    async def follow_tip(self, tip: Tip) -> Report: ...

    async def close(self) -> None: ...


class HostingBackend(Backend, Protocol):
    """A backend whose database may hold the monitor's tables as well."""

    @property
    def database(self) -> Database: ...


class OpenBackend(Protocol):
    def __call__(self) -> Awaitable[HostingBackend]: ...
