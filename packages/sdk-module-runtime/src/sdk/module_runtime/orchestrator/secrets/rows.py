"""Units on the tables of secrets. Values are sealed before they come here and opened after they have left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, bindparam, delete, func, insert, select, update

from sdk.module_runtime.storage.tables import runtime_secret_audit, runtime_secret_holders, runtime_secrets
from sdk.service.database import Prepared, insert_or_ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sdk.service.database import Row, Unit

LONGEST_DETAIL: Final = 500
LONGEST_ACTOR: Final = 96
_S, _H, _A = runtime_secrets.c, runtime_secret_holders.c, runtime_secret_audit.c

_ONE = Prepared(select(runtime_secrets).where(_S.name == bindparam("wanted")))
_ADD = Prepared(insert(runtime_secrets))
_CHANGE = Prepared(
    update(runtime_secrets)
    .where(_S.name == bindparam("wanted"))
    .values(
        version=bindparam("next"),
        rotation_id=bindparam("rotation"),
        key_id=bindparam("key"),
        sealed=bindparam("box"),
        changed_at=bindparam("now"),
    )
)
_RESEAL = Prepared(
    update(runtime_secrets)
    .where(_S.name == bindparam("wanted"))
    .values(key_id=bindparam("key"), sealed=bindparam("box"))
)
_SEALED_OTHERWISE = Prepared(
    select(_S.name, _S.version, _S.key_id, _S.sealed).where(_S.sealed.is_not(None), _S.key_id != bindparam("current"))
)
_ONE_OF_EACH_KEY = Prepared(
    select(_S.name, _S.version, _S.key_id, _S.sealed).where(
        _S.name.in_(select(func.min(_S.name)).where(_S.sealed.is_not(None)).group_by(_S.key_id))
    )
)
CURRENT_KEY: Final = "(current key)"
"""The name, which no secret can have, of the row that says which key seals. Who seals reads it in the same transaction
under a shared lock, so that nothing is sealed with a key that is being replaced."""
_MARK = insert_or_ignore(runtime_secrets)
_MARKED = select(_S.key_id).where(_S.name == CURRENT_KEY)
_SEALING_KEY = Prepared(
    _MARKED,
    postgresql=lambda: _MARKED.with_for_update(read=True),
    mysql=lambda: _MARKED.with_for_update(read=True),
)
_USED_KEYS = Prepared(select(_S.key_id).where(_S.key_id.is_not(None)).distinct())
_BEHIND = and_(_H.name == _S.name, _H.acknowledged < _S.version)
_LISTED = Prepared(
    select(
        _S.name,
        _S.version,
        _S.key_id,
        _S.created_at,
        _S.changed_at,
        select(func.count()).where(_BEHIND).correlate(runtime_secrets).scalar_subquery().label("waiting"),
    )
    .where(_S.sealed.is_not(None))
    .order_by(_S.name)
)
_HOLDER = Prepared(
    select(runtime_secret_holders).where(_H.module_id == bindparam("module"), _H.name == bindparam("wanted"))
)
_ADD_HOLDER = Prepared(insert(runtime_secret_holders))
_HANDED = Prepared(
    update(runtime_secret_holders)
    .where(_H.module_id == bindparam("module"), _H.name == bindparam("wanted"))
    .values(version=bindparam("next"), changed_at=bindparam("now"))
)
_HOLDERS = Prepared(select(_H.module_id).where(_H.name == bindparam("wanted")).order_by(_H.module_id))
_PENDING = Prepared(
    select(_S.rotation_id, _S.name)
    .join(runtime_secret_holders, _BEHIND)
    .where(_H.module_id == bindparam("module"), _S.rotation_id.is_not(None))
    .order_by(_S.changed_at, _S.name)
)
_ROTATED = Prepared(
    select(_S.name, _S.version)
    .join(runtime_secret_holders, _H.name == _S.name)
    .where(_H.module_id == bindparam("module"), _S.rotation_id == bindparam("rotation"))
    .order_by(_S.name)
)
_ACKNOWLEDGE = Prepared(
    update(runtime_secret_holders)
    .where(_H.module_id == bindparam("module"), _H.name == bindparam("wanted"))
    .values(acknowledged=bindparam("used"), failure=None, changed_at=bindparam("now"))
)
_FAIL = Prepared(
    update(runtime_secret_holders)
    .where(_H.module_id == bindparam("module"), _H.name == bindparam("wanted"))
    .values(failure=bindparam("why"), changed_at=bindparam("now"))
)
_STATE = Prepared(
    select(
        _H.module_id,
        _H.name,
        _H.version,
        _H.acknowledged,
        _H.failure,
        _H.changed_at,
        _S.version.label("newest"),
        _S.rotation_id,
    )
    .join(runtime_secrets, _H.name == _S.name)
    .where(_H.name == bindparam("wanted"))
    .order_by(_H.module_id)
)
_WAITING = Prepared(
    select(func.count())
    .select_from(runtime_secret_holders)
    .join(runtime_secrets, _BEHIND)
    .where(_H.name == bindparam("wanted"))
)
_AUDIT = Prepared(insert(runtime_secret_audit))
_RECENT = Prepared(select(runtime_secret_audit).order_by(_A.id.desc()).limit(bindparam("most")))
_RECENT_OF = Prepared(
    select(runtime_secret_audit).where(_A.name == bindparam("wanted")).order_by(_A.id.desc()).limit(bindparam("most"))
)
_TRIM = Prepared(delete(runtime_secret_audit).where(_A.created_at < bindparam("before")))


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the audit. ``actor`` is ``module:NAME`` or ``operator:NAME``."""

    actor: str
    operation: str
    name: str
    outcome: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Sealed:
    name: str
    version: int
    key_id: str
    sealed: bytes
    rotation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """``versions`` by name; ``held``: module id -> those of the names that it was given."""

    versions: Mapping[str, int]
    held: Mapping[str, Sequence[str]]


def write_down(unit: Unit, entries: Iterable[Entry], *, now: datetime) -> None:
    unit.run_many(
        _AUDIT,
        [
            {
                "created_at": now,
                "actor": each.actor[:LONGEST_ACTOR],
                "operation": each.operation,
                "name": each.name,
                "outcome": each.outcome,
                "detail": each.detail[:LONGEST_DETAIL],
            }
            for each in entries
        ],
    )


def find(unit: Unit, name: str) -> Sealed | None:
    row = unit.first(_ONE, wanted=name)
    return None if row is None or row.sealed is None else Sealed(row.name, row.version, row.key_id, row.sealed)


def version_of(unit: Unit, name: str) -> int | None:
    """None if there is no such secret."""
    row = unit.first(_ONE, wanted=name)
    return None if row is None or row.sealed is None else int(row.version)


def change(
    unit: Unit,
    names: Iterable[str],
    seal: Callable[[str, int, str], bytes | None],
    *,
    show: Callable[[str], str],
    actor: str,
    rotation_id: str,
    now: datetime,
) -> Changed:
    """Set or delete ``names`` together. Deleting what is not there changes nothing.

    ``seal(name, version, key)`` answers None for a deletion.
    """
    key = str(unit.scalar(_SEALING_KEY))
    versions: dict[str, int] = {}
    held: dict[str, list[str]] = {}
    for name in names:
        row = unit.first(_ONE, wanted=name)
        version = 1 if row is None else row.version + 1
        sealed = seal(name, version, key)
        if sealed is None and (row is None or row.sealed is None):
            write_down(unit, [Entry(actor, "delete", show(name), "not found")], now=now)
            continue
        versions[name] = version
        sealed_with = None if sealed is None else key
        if row is None:
            values = {"rotation_id": None, "key_id": sealed_with, "sealed": sealed, "created_at": now}
            unit.run(_ADD, name=name, version=1, changed_at=now, **values)
        else:
            unit.run(_CHANGE, wanted=name, next=version, rotation=rotation_id, key=sealed_with, box=sealed, now=now)
            for holder in unit.rows(_HOLDERS, wanted=name):
                held.setdefault(holder.module_id, []).append(name)
        operation = "delete" if sealed is None else "set" if row is None else "rotate"
        write_down(unit, [Entry(actor, operation, name, "ok", f"version {version}")], now=now)
    return Changed(versions, held)


def hand_out(unit: Unit, module_id: str, name: str, *, shown: str, now: datetime) -> Sealed | None:
    """The secret for ``module_id``, who holds it from now on; with its rotation, if that is not acknowledged yet.

    ``shown`` stands in the audit for a name that is none: it may be a secret itself.
    """
    actor = f"module:{module_id}"
    row = unit.first(_ONE, wanted=name)
    if row is None or row.sealed is None:
        write_down(unit, [Entry(actor, "get", shown, "not found")], now=now)
        return None
    holder = unit.first(_HOLDER, module=module_id, wanted=name)
    if holder is None:
        unit.run(
            _ADD_HOLDER,
            module_id=module_id,
            name=name,
            version=row.version,
            acknowledged=row.version,
            failure=None,
            changed_at=now,
        )
    elif holder.version != row.version:
        unit.run(_HANDED, module=module_id, wanted=name, next=row.version, now=now)
    write_down(unit, [Entry(actor, "get", name, "ok", f"version {row.version}")], now=now)
    behind = holder is not None and holder.acknowledged < row.version
    return Sealed(row.name, row.version, row.key_id, row.sealed, row.rotation_id if behind else None)


def acknowledge(
    unit: Unit, module_id: str, rotation_id: str, *, success: bool, message: str, now: datetime
) -> dict[str, int]:
    """Of each name whose newest change is this rotation, how many modules it still waits for.

    Empty if the module does not hold any, or another rotation has overtaken this one.
    """
    found = unit.rows(_ROTATED, module=module_id, rotation=rotation_id)
    for row in found:
        if success:
            unit.run(_ACKNOWLEDGE, module=module_id, wanted=row.name, used=row.version, now=now)
        else:
            unit.run(_FAIL, module=module_id, wanted=row.name, why=message[:LONGEST_DETAIL], now=now)
    outcome = "ok" if success else "failed"
    actor = f"module:{module_id}"
    write_down(unit, [Entry(actor, "acknowledge", row.name, outcome, message) for row in found], now=now)
    return {row.name: unit.scalar(_WAITING, wanted=row.name) for row in found}


def pending(unit: Unit, module_id: str) -> dict[str, list[str]]:
    """Rotation id -> names, of what the module has not acknowledged; oldest first."""
    found: dict[str, list[str]] = {}
    for row in unit.rows(_PENDING, module=module_id):
        found.setdefault(row.rotation_id, []).append(row.name)
    return found


def begin(unit: Unit, key_id: str, *, now: datetime) -> str:
    """The key that seals, which is ``key_id`` in a new store."""
    mark = {"version": 0, "rotation_id": None, "sealed": None, "created_at": now, "changed_at": now}
    unit.run(_MARK, name=CURRENT_KEY, key_id=key_id, **mark)
    return str(unit.scalar(_SEALING_KEY))


def used_keys(unit: Unit) -> set[str]:
    return {row.key_id for row in unit.rows(_USED_KEYS)}


def reseal(unit: Unit, current: str, again: Callable[[Sealed], bytes], *, actor: str, now: datetime) -> int:
    """Seal with ``current`` from now on, and what another key has sealed; how many that were."""
    unit.run(_RESEAL, wanted=CURRENT_KEY, key=current, box=None)
    found = [Sealed(*row) for row in unit.rows(_SEALED_OTHERWISE, current=current)]
    unit.run_many(_RESEAL, [{"wanted": each.name, "key": current, "box": again(each)} for each in found])
    write_down(unit, [Entry(actor, "rekey", "*", "ok", f"key {current}, {len(found)} secrets")], now=now)
    return len(found)


def one_of_each_key(unit: Unit) -> list[Sealed]:
    return [Sealed(*row) for row in unit.rows(_ONE_OF_EACH_KEY)]


def listed(unit: Unit) -> list[Row]:
    """``name, version, key_id, created_at, changed_at, waiting``: how many modules have not acknowledged the newest."""
    return unit.rows(_LISTED)


def state(unit: Unit, name: str) -> list[Row]:
    """``module_id, name, version, acknowledged, failure, changed_at, newest, rotation_id`` of each holder."""
    return unit.rows(_STATE, wanted=name)


def recent(unit: Unit, name: str | None, limit: int) -> list[Row]:
    """Audit rows, newest first."""
    return unit.rows(_RECENT, most=limit) if name is None else unit.rows(_RECENT_OF, wanted=name, most=limit)


def trim(unit: Unit, before: datetime) -> int:
    return unit.run(_TRIM, before=before)
