"""The record of what happens, in the orchestrator's tables. It follows; nothing waits for it but the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import bindparam, delete, insert, select, update

from sdk.core.errors import StorageError
from sdk.module_runtime.orchestrator import happenings
from sdk.module_runtime.storage.tables import (
    runtime_endpoints,
    runtime_events,
    runtime_instances,
    runtime_modules,
    runtime_ports,
)
from sdk.service.database import Prepared
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sdk.module_runtime.orchestrator.happenings import Happening
    from sdk.service.database import Database, Row, Unit

_log = get_logger(__name__)
MOST_WAITING: Final = 10_000
_AT_ONCE: Final = 500
_RETRY_AFTER: Final = 1.0
KEPT_FOR: Final = timedelta(days=30)
_TRIM_EVERY: Final = 1_000

_E, _I, _M, _P, _N = (
    runtime_events.c,
    runtime_instances.c,
    runtime_modules.c,
    runtime_ports.c,
    runtime_endpoints.c,
)
_ADD_EVENT = Prepared(insert(runtime_events))
_SET_STATE = Prepared(
    update(runtime_modules)
    .where(_M.module_id == bindparam("wanted"))
    .values(state=bindparam("new_state"), restarts=bindparam("count"), changed_at=bindparam("now"))
)
_ADD_STATE = Prepared(insert(runtime_modules))
_ADD_INSTANCE = Prepared(insert(runtime_instances))
_SET_READY = Prepared(update(runtime_instances).where(_I.id == bindparam("wanted")).values(ready_at=bindparam("now")))
_SET_ENDED = Prepared(
    update(runtime_instances)
    .where(_I.id == bindparam("wanted"))
    .values(ended_at=bindparam("now"), status=bindparam("exit"))
)
_END_ALL = Prepared(update(runtime_instances).where(_I.ended_at.is_(None)).values(ended_at=bindparam("now")))
_STOP_ALL = Prepared(
    update(runtime_modules).where(_M.state != "stopped").values(state="stopped", changed_at=bindparam("now"))
)
_FREE_ALL = Prepared(delete(runtime_ports))
_FREE = Prepared(delete(runtime_ports).where(_P.module_id == bindparam("wanted")))
_LEASE = Prepared(insert(runtime_ports))
_DROP_ENDPOINTS = Prepared(delete(runtime_endpoints).where(_N.module_id == bindparam("wanted")))
_ADD_ENDPOINT = Prepared(insert(runtime_endpoints))
_TRIM_EVENTS = Prepared(delete(runtime_events).where(_E.created_at < bindparam("before")))
_TRIM_INSTANCES = Prepared(delete(runtime_instances).where(_I.ended_at < bindparam("before")))
_NEWEST = select(runtime_events).where(_E.id < bindparam("below")).order_by(_E.id.desc()).limit(bindparam("most"))
_RECENT = Prepared(_NEWEST)
_RECENT_OF = Prepared(_NEWEST.where(_E.module_id == bindparam("wanted")))
_BIGGEST: Final = (1 << 63) - 1


class Journal:
    """``take`` what happens at any time; ``run`` writes it, in order, as soon as the database lets it."""

    def __init__(self, database: Database, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._database, self._clock = database, clock
        self._waiting: deque[tuple[datetime, Happening]] = deque()
        self._news = asyncio.Event()
        self._written = 0
        self.dropped = 0

    def take(self, happening: Happening) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append((self._clock(), happening))
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self.flush()
            except StorageError as error:
                _log.warning("journal_waits", reason=str(error), waiting=len(self._waiting))
                await asyncio.sleep(_RETRY_AFTER)
                self._news.set()

    async def flush(self) -> None:
        """Write all that waits. ``StorageError`` leaves what is not written where it is."""
        while self._waiting:
            batch = [self._waiting[index] for index in range(min(_AT_ONCE, len(self._waiting)))]
            writing = asyncio.ensure_future(self._write_down(batch))
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                await asyncio.wait((writing,), timeout=_RETRY_AFTER)  # or it would be written twice
                if not writing.cancel() and not writing.cancelled():
                    writing.exception()  # which leaves them waiting
                raise
            if self._written >= _TRIM_EVERY:
                self._written = 0
                await self._database.write(_trim, self._clock() - KEPT_FOR)

    async def _write_down(self, batch: Sequence[tuple[datetime, Happening]]) -> None:
        await self._database.write(_write, batch)
        for entry in batch:
            if self._waiting and self._waiting[0] is entry:  # it was not dropped meanwhile
                self._waiting.popleft()
        self._written += len(batch)

    async def close(self, patience: float = 5.0) -> None:
        """What waits is written, if the database is there within ``patience`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while not await self._is_flushed():  # noqa: ASYNC110 - a database tells nobody that it is back
                    await asyncio.sleep(_RETRY_AFTER / 4)
        if self._waiting or self.dropped:
            _log.warning("journal_incomplete", lost=len(self._waiting) + self.dropped)

    async def _is_flushed(self) -> bool:
        try:
            await self.flush()
        except StorageError:
            return False
        return True

    async def reconcile(self) -> None:
        """For a start: what an earlier orchestrator left running is over, and its ports are free."""
        await self._database.write(_reconcile, self._clock())

    async def events(self, module_id: str | None = None, *, below: int | None = None, limit: int = 100) -> list[Row]:
        """``id, created_at, module_id, kind, detail``, newest first; ``below`` an id, for the next page."""
        return await self._database.read(_events, module_id, below or _BIGGEST, limit)


def _events(unit: Unit, module_id: str | None, below: int, limit: int) -> list[Row]:
    if module_id is None:
        return unit.rows(_RECENT, below=below, most=limit)
    return unit.rows(_RECENT_OF, below=below, most=limit, wanted=module_id)


def _reconcile(unit: Unit, now: datetime) -> None:
    unit.run(_END_ALL, now=now)
    unit.run(_STOP_ALL, now=now)
    unit.run(_FREE_ALL)


def _trim(unit: Unit, before: datetime) -> None:
    unit.run(_TRIM_EVENTS, before=before)
    unit.run(_TRIM_INSTANCES, before=before)


def _write(unit: Unit, batch: Sequence[tuple[datetime, Happening]]) -> None:
    unit.insert_many(
        _ADD_EVENT,
        [
            {
                "created_at": at,
                "module_id": each.module_id,
                "kind": each.kind,
                "detail": orjson.dumps(dict(each.detail)).decode(),
            }
            for at, each in batch
        ],
    )
    for at, each in batch:
        apply = _APPLIED.get(each.kind)
        if apply is not None and each.module_id is not None:
            apply(unit, each.module_id, each.detail, at)


def _state(unit: Unit, module_id: str, detail: Mapping[str, Any], at: datetime) -> None:
    changed = unit.run(_SET_STATE, wanted=module_id, new_state=detail["state"], count=detail["restarts"], now=at)
    if changed == 0:
        unit.run_many(
            _ADD_STATE,
            [{"module_id": module_id, "state": detail["state"], "restarts": detail["restarts"], "changed_at": at}],
        )


def _started(unit: Unit, module_id: str, detail: Mapping[str, Any], at: datetime) -> None:
    unit.run_many(
        _ADD_INSTANCE,
        [
            {
                "id": detail["instance"],
                "module_id": module_id,
                "pid": detail["pid"],
                "started_at": at,
                "ready_at": None,
                "ended_at": None,
                "status": None,
            }
        ],
    )


def _ready(unit: Unit, module_id: str, detail: Mapping[str, Any], at: datetime) -> None:
    unit.run(_SET_READY, wanted=detail["instance"], now=at)


def _ended(unit: Unit, module_id: str, detail: Mapping[str, Any], at: datetime) -> None:
    unit.run(_SET_ENDED, wanted=detail["instance"], now=at, exit=detail["status"])


def _ports(unit: Unit, module_id: str, detail: Mapping[str, Any], at: datetime) -> None:
    unit.run(_FREE, wanted=module_id)
    unit.run_many(_LEASE, [{"port": port, "module_id": module_id, "leased_at": at} for port in detail["ports"]])


def _announced(unit: Unit, module_id: str, detail: Mapping[str, Any], at: datetime) -> None:
    unit.run(_DROP_ENDPOINTS, wanted=module_id)
    unit.insert_many(
        _ADD_ENDPOINT,
        [
            {
                "module_id": module_id,
                "listen": detail["listen"][:255],
                "path": each["path"][:2048],
                "methods": " ".join(each["methods"])[:255],
                "auth": each["auth"] and each["auth"][:255],
            }
            for each in detail["endpoints"]
        ],
    )


_APPLIED: Final[Mapping[str, Callable[[Unit, str, Mapping[str, Any], datetime], None]]] = {
    happenings.STATE: _state,
    happenings.STARTED: _started,
    happenings.READY: _ready,
    happenings.ENDED: _ended,
    happenings.PORTS: _ports,
    happenings.ANNOUNCED: _announced,
}
"""The other kinds are events alone."""
