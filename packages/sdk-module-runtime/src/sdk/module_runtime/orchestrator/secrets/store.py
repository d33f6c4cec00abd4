"""The secrets in the orchestrator's database, for operators; modules reach them through ``keeper``."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sdk.module_runtime.orchestrator.secrets import rows
from sdk.module_runtime.orchestrator.secrets.key_sources import add_key, is_writable, keep_keys, load_keys
from sdk.module_runtime.secrets.errors import SecretNotFound, SecretUnreadable
from sdk.module_runtime.secrets.names import check_name, check_value
from sdk.module_runtime.secrets.redaction import SECRETS
from sdk.module_runtime.storage.migrations import MIGRATIONS
from sdk.service.migrations import ensure_current

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from sdk.module_runtime.orchestrator.secrets.keys import MasterKeys
    from sdk.module_runtime.secrets.redaction import SecretRegistry
    from sdk.service.database import Database, Row, Unit

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rotation:
    """A change of secrets that modules hold: module id -> names. ``held`` is empty when nobody must be told."""

    rotation_id: str
    held: Mapping[str, Sequence[str]]


class _Known:
    """Keeps one value registered for redaction while it lives."""

    __slots__ = ("__weakref__",)


_ATTEMPTS: Final = 5
"""Each of them fails only if the key was changed again."""


class _KeyChanged(Exception):
    """Something is, or must be, sealed with a key that we do not have yet."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(key)


class SecretStore:
    """Every change or access is one transaction with its audit row. Raises ``SecretError`` and ``StorageError``."""

    def __init__(
        self,
        database: Database,
        keys: MasterKeys,
        *,
        registry: SecretRegistry = SECRETS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        """For a database whose tables are current; ``open`` checks that, and the keys."""
        self._database, self._keys, self._registry, self._clock, self._new_id = database, keys, registry, clock, new_id
        self._known: dict[str, tuple[int, _Known]] = {}
        self._replaced: dict[str, list[_Known]] = {}  # values that modules still use
        self._listeners: list[Callable[[Rotation], Awaitable[None]]] = []

    @classmethod
    async def open(cls, database: Database, keys: MasterKeys, **options: Any) -> SecretStore:
        """``NotMigrated`` if the tables are old, ``SecretUnreadable`` if the store was sealed with another key."""
        await ensure_current(database, MIGRATIONS)
        store = cls(database, keys, **options)
        await store._with_keys(store._check_keys)
        return store

    async def set(self, values: Mapping[str, str], *, actor: str) -> Rotation:
        """Set or rotate ``values`` together; listeners have been told when this returns."""
        data = {check_name(name): check_value(name, value) for name, value in values.items()}
        known = {name: self._register(value) for name, value in values.items()}

        def seal(name: str, version: int, key: str) -> bytes:
            if key not in self._keys:
                raise _KeyChanged(key)
            return self._keys.seal(name, version, data[name], key=key)

        return await self._with_keys(lambda: self._change(data, seal, actor, known))

    async def delete(self, names: Iterable[str], *, actor: str) -> Rotation:
        """Forget ``names``; what is not there is left so."""
        wanted = [check_name(name) for name in names]
        return await self._change(wanted, lambda _name, _version, _key: None, actor, {})

    async def read(self, name: str, *, actor: str) -> str:
        """The value, for an operator; ``SecretNotFound``."""

        def unit_of(unit: Any) -> rows.Sealed | None:
            found = rows.find(unit, name)
            entry = rows.Entry(actor, "get", *((self.shown(name), "not found") if found is None else (name, "ok")))
            rows.write_down(unit, [entry], now=self._clock())
            return found

        async def read() -> str:
            sealed = await self._database.write(unit_of)
            if sealed is None:
                raise SecretNotFound(name)
            return self._unsealed(sealed)

        return await self._with_keys(read)

    async def hand_out(self, module_id: str, name: str) -> tuple[str, str | None]:
        """The value for ``module_id``, and the rotation that it has not acknowledged; ``SecretNotFound``."""

        async def hand_out() -> tuple[str, str | None]:
            sealed = await self._database.write(
                rows.hand_out, module_id, name, shown=self.shown(name), now=self._clock()
            )
            if sealed is None:
                raise SecretNotFound(name)
            return self._unsealed(sealed), sealed.rotation_id

        return await self._with_keys(hand_out)

    async def acknowledge(self, module_id: str, rotation_id: str, *, success: bool, message: str) -> list[str]:
        """The names that are settled, or failed, by this; none for a rotation that another has overtaken."""
        waiting = await self._database.write(
            rows.acknowledge,
            module_id,
            rotation_id,
            success=success,
            message=self.shown(message),
            now=self._clock(),
        )
        for name, modules in waiting.items():
            if not modules:
                self._replaced.pop(name, None)
        return list(waiting)

    async def pending(self, module_id: str) -> dict[str, list[str]]:
        """Rotation id -> names, of what ``module_id`` holds and has not acknowledged the newest value of."""
        return await self._database.read(rows.pending, module_id)

    async def note(self, entry: rows.Entry) -> None:
        await self._database.write(rows.write_down, [entry], now=self._clock())

    async def version(self, name: str) -> int | None:
        """None if there is no such secret. Not an access, so not audited."""
        return await self._database.read(rows.version_of, name)

    async def names(self) -> list[str]:
        return [row.name for row in await self._database.read(rows.listed)]

    async def listed(self) -> list[Row]:
        """``name, version, key_id, created_at, changed_at, waiting`` (modules that have not acknowledged it)."""
        return await self._database.read(rows.listed)

    async def holders(self, name: str) -> list[Row]:
        """``module_id, name, version, acknowledged, failure, changed_at, newest, rotation_id``."""
        return await self._database.read(rows.state, name)

    async def audit(self, name: str | None = None, *, limit: int = 100) -> list[Row]:
        """``id, created_at, actor, operation, name, outcome, detail``, newest first."""
        return await self._database.read(rows.recent, name, limit)

    async def trim_audit(self, before: datetime) -> int:
        return await self._database.write(rows.trim, before)

    async def rekey(self, source: str, *, actor: str) -> int:
        """Encrypt everything with a new key in ``source``, and drop from there what is not used any more; how many.

        Others that use this store, and may be writing to it, find the new key by themselves. If this is interrupted,
        keys are left that are not needed; the next time drops them. Keys of an environment variable are only reordered:
        put the new one first, start everything that uses the store with it, then call this.
        """
        count = await self._database.migrate(lambda unit: self._reseal(unit, source, actor))
        if is_writable(source):
            await self._database.migrate(lambda unit: keep_keys(source, rows.used_keys(unit)))
        return count

    def _reseal(self, unit: Unit, source: str, actor: str) -> int:
        keys = add_key(source) if is_writable(source) else load_keys(source)

        def again(sealed: rows.Sealed) -> bytes:
            value = keys.unseal(sealed.name, sealed.version, sealed.key_id, sealed.sealed)
            return keys.seal(sealed.name, sealed.version, value)

        count = rows.reseal(unit, keys.current, again, actor=actor, now=self._clock())
        self._keys = keys
        return count

    def subscribe(self, listener: Callable[[Rotation], Awaitable[None]]) -> Callable[[], None]:
        """``listener`` is awaited after each change that concerns a module; the result ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def shown(self, text: str) -> str:
        """``text`` without the secrets that are known here, for audit and log."""
        return self._registry.redact(text)

    async def _check_keys(self) -> None:
        sealing = await self._database.write(rows.begin, self._keys.current, now=self._clock())
        if sealing not in self._keys:
            raise _KeyChanged(sealing)
        for sealed in await self._database.read(rows.one_of_each_key):
            self._unsealed(sealed)

    def _unsealed(self, sealed: rows.Sealed) -> str:
        if sealed.key_id not in self._keys:
            raise _KeyChanged(sealed.key_id)
        value = self._keys.unseal(sealed.name, sealed.version, sealed.key_id, sealed.sealed).decode()
        self._remember(sealed.name, sealed.version, self._register(value))
        return value

    async def _with_keys(self, work: Callable[[], Awaitable[T]]) -> T:
        """``work``, again with the keys that are there now when another process has changed them meanwhile."""
        for _ in range(_ATTEMPTS):
            try:
                return await work()
            except _KeyChanged as changed:
                wanted = changed.key
                self._keys = await asyncio.to_thread(self._keys.renewed)
        raise SecretUnreadable("*", f"the store is encrypted with the key {wanted}, which is not among those given")

    def _register(self, value: str) -> _Known:
        known = _Known()
        self._registry.register(value, holder=known)
        return known

    def _remember(self, name: str, version: int, known: _Known) -> None:
        """A slow read of an old value does not displace a newer one; what another process replaced may be in use."""
        before = self._known.get(name)
        if before is not None and before[0] > version:
            return
        if before is not None and before[0] < version:
            self._replaced.setdefault(name, []).append(before[1])
        self._known[name] = version, known

    async def _change(
        self,
        names: Iterable[str],
        seal: Callable[[str, int, str], bytes | None],
        actor: str,
        known: Mapping[str, _Known],
    ) -> Rotation:
        rotation_id = self._new_id()
        changed = await self._database.write(
            rows.change, list(names), seal, show=self.shown, actor=actor, rotation_id=rotation_id, now=self._clock()
        )
        for name, version in changed.versions.items():
            old = self._known.pop(name, None)
            if old is not None and any(name in held for held in changed.held.values()):
                self._replaced.setdefault(name, []).append(old[1])
            if name in known:
                self._remember(name, version, known[name])
        rotation = Rotation(rotation_id, changed.held)
        if rotation.held:
            for listener in list(self._listeners):
                await listener(rotation)
        return rotation
