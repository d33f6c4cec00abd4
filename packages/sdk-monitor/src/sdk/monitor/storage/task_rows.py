"""Units on ``monitor_tasks``: leases by compare-and-set, and what a run leaves behind (R69)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, case, delete, func, insert, or_, select, update

from sdk.monitor.storage.tables import monitor_log, monitor_tasks
from sdk.service.database import Prepared, insert_or_ignore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sdk.service.database import Row, Unit

_M = monitor_tasks.c
_L = monitor_log.c
_FREE = or_(_M.lease_until.is_(None), _M.lease_until < bindparam("now"))
_NAMED = _M.name.in_(bindparam("names", expanding=True))

_REGISTER = insert_or_ignore(monitor_tasks)
_DUE = select(_M.name, _M.state, _M.failures, _M.owner).where(_NAMED, _M.next_run <= bindparam("now"), _FREE)
_CLAIMABLE = Prepared(_DUE, postgresql=lambda: _DUE.with_for_update(skip_locked=True))
_ANY = select(_M.name, _M.state, _M.failures, _M.owner).where(_NAMED, _FREE)
_CLAIMABLE_NOW = Prepared(_ANY, postgresql=lambda: _ANY.with_for_update(skip_locked=True))
_BUSY = Prepared(
    select(_M.name, _M.owner, _M.lease_until).where(
        _NAMED, _M.next_run <= bindparam("now"), _M.lease_until >= bindparam("now"), _M.owner != bindparam("own")
    )
)
_CLAIM = Prepared(
    update(monitor_tasks)
    .where(_M.name == bindparam("wanted"), _FREE)
    .values(owner=bindparam("own"), lease_until=bindparam("until"), last_started=bindparam("now"), woken=False)
)
_RENEW = Prepared(
    update(monitor_tasks)
    .where(_M.name == bindparam("wanted"), _M.owner == bindparam("own"))
    .values(lease_until=bindparam("until"))
)
_FINISH = Prepared(
    update(monitor_tasks)
    .where(_M.name == bindparam("wanted"), _M.owner == bindparam("own"))
    .values(
        owner=None,
        lease_until=None,
        next_run=case(
            (_M.woken.is_(True), bindparam("now", type_=_M.next_run.type)),
            else_=bindparam("due", type_=_M.next_run.type),
        ),
        woken=False,
        last_finished=bindparam("now"),
        outcome=bindparam("result"),
        message=bindparam("text"),
        runs=_M.runs + 1,
        failures=bindparam("failed"),
        processed=_M.processed + bindparam("items"),
        state=func.coalesce(bindparam("kept", type_=_M.state.type), _M.state),
    )
)
_WAKE = Prepared(update(monitor_tasks).where(_NAMED).values(next_run=bindparam("now"), woken=True))
_STATE = Prepared(select(_M.state).where(_M.name == bindparam("wanted")))
_NEXT = Prepared(select(func.min(_M.next_run)).where(_NAMED))
_ALL = Prepared(select(monitor_tasks).order_by(_M.name))
_LOG = Prepared(insert(monitor_log))
_TRIM = Prepared(delete(monitor_log).where(_L.created_at < bindparam("before")))
_RECENT = Prepared(select(monitor_log).order_by(_L.id.desc()).limit(bindparam("most")))

MAX_MESSAGE = 2_000


@dataclass(frozen=True, slots=True)
class ClaimedTask:
    """A task this worker holds; ``failures`` in a row before this run; ``took_over`` from a worker that went away."""

    name: str
    state: Mapping[str, Any]
    failures: int
    took_over: str | None


@dataclass(frozen=True, slots=True)
class Finished:
    """How a run ended: ``outcome`` is ``ok``, ``error``, ``timeout`` or ``cancelled``; ``due`` is its next date."""

    name: str
    outcome: str
    message: str
    processed: int
    detail: Mapping[str, int]
    milliseconds: int
    failures: int
    due: datetime
    state: Mapping[str, Any] | None = None
    wake: tuple[str, ...] = ()


def register(unit: Unit, names: Iterable[str], *, now: datetime) -> None:
    """Rows for tasks that have none yet; they are due at once."""
    unit.run_many(_REGISTER, [{"name": name, "next_run": now} for name in names])


def claim(
    unit: Unit, names: Iterable[str], *, owner: str, now: datetime, until: datetime, only_due: bool = True
) -> list[ClaimedTask]:
    """Take every task of ``names`` that is due and that nobody holds (or whose holder's lease has run out)."""
    rows = unit.rows(_CLAIMABLE if only_due else _CLAIMABLE_NOW, names=list(names), now=now)
    return [
        ClaimedTask(row.name, json.loads(row.state), row.failures, row.owner)
        for row in rows
        if unit.run(_CLAIM, wanted=row.name, own=owner, now=now, until=until) == 1
    ]


def held_by_others(unit: Unit, names: Iterable[str], *, owner: str, now: datetime) -> list[Row]:
    """``name, owner, lease_until`` of tasks that are due and that another worker runs."""
    return unit.rows(_BUSY, names=list(names), now=now, own=owner)


def renew(unit: Unit, name: str, *, owner: str, until: datetime) -> bool:
    """Whether the lease was still this owner's."""
    return unit.run(_RENEW, wanted=name, own=owner, until=until) == 1


def finish(unit: Unit, run: Finished, *, owner: str, now: datetime) -> bool:
    """Give the lease back with what the run left, wake others, and log it if it is worth a row.

    ``False``, and nothing kept, if the lease was lost meanwhile.
    """
    held = unit.run(
        _FINISH,
        wanted=run.name,
        own=owner,
        now=now,
        due=run.due,
        result=run.outcome,
        text=run.message[:MAX_MESSAGE],
        failed=run.failures,
        items=run.processed,
        kept=None if run.state is None else json.dumps(run.state, separators=(",", ":")),
    )
    if run.processed or run.outcome != "ok":
        _log(unit, run, owner, now)
    if held != 1:
        return False
    if run.wake:
        unit.run(_WAKE, names=list(run.wake), now=now)
    return True


def _log(unit: Unit, run: Finished, owner: str, now: datetime) -> None:
    detail: dict[str, Any] = dict(run.detail)
    if run.message:
        detail["message"] = run.message[:MAX_MESSAGE]
    unit.insert(
        _LOG,
        created_at=now,
        task=run.name,
        owner=owner,
        outcome=run.outcome,
        milliseconds=run.milliseconds,
        processed=run.processed,
        detail=json.dumps(detail, separators=(",", ":")),
    )


def task_state(unit: Unit, name: str) -> dict[str, Any]:
    text = unit.scalar(_STATE, wanted=name)
    state: dict[str, Any] = {} if text is None else json.loads(text)
    return state


def next_due(unit: Unit, names: Iterable[str]) -> datetime | None:
    """The next date of any of ``names``, held by somebody or not."""
    due: datetime | None = unit.scalar(_NEXT, names=list(names))
    return due


def all_tasks(unit: Unit) -> list[Row]:
    return unit.rows(_ALL)


def recent_log(unit: Unit, limit: int) -> list[Row]:
    """Newest first."""
    return unit.rows(_RECENT, most=limit)


def trim_log(unit: Unit, before: datetime) -> int:
    return unit.run(_TRIM, before=before)


__all__ = [
    "ClaimedTask",
    "Finished",
    "all_tasks",
    "claim",
    "finish",
    "held_by_others",
    "next_due",
    "recent_log",
    "register",
    "renew",
    "task_state",
    "trim_log",
]
