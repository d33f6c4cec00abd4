"""The store and its rights against a model of a few lines, through any sequence of calls."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sdk.module_runtime.orchestrator.secrets.keeper import ModuleSecrets
from sdk.module_runtime.orchestrator.secrets.keys import MasterKeys
from sdk.module_runtime.orchestrator.secrets.rights import SecretRights
from sdk.module_runtime.orchestrator.secrets.store import SecretStore
from sdk.module_runtime.secrets.redaction import SecretRegistry
from sdk.module_runtime.storage.migrations import MIGRATIONS
from sdk.service.database import Database
from sdk.service.migrations import upgrade

RIGHTS = {
    "reader": SecretRights(read=("A", "B")),
    "writer": SecretRights(read=("A",), write=("A", "C")),
    "nobody": SecretRights(),
}
MODULES, NAMES = st.sampled_from(sorted(RIGHTS)), st.sampled_from(["A", "B", "C"])


class SecretMachine(RuleBasedStateMachine):
    """``behind``: which modules hold what, and the rotation that they have not acknowledged yet."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.database = self.run(Database.open("sqlite://"))
        self.run(upgrade(self.database, [MIGRATIONS]))
        self.registry = SecretRegistry()
        self.store = self.run(SecretStore.open(self.database, MasterKeys([bytes(32)]), registry=self.registry))
        self.keeper = ModuleSecrets(self.store, RIGHTS, clock=self.time)
        self.now, self.count = 0.0, 0
        self.values: dict[str, str] = {}
        self.known: set[str] = set()  # names that were ever set: the first value is no rotation
        self.behind: dict[tuple[str, str], str | None] = {}  # None: up to date
        self.rotations: list[str] = []
        self.told: list[tuple[str, tuple[str, ...], str]] = []
        self.keeper.on_rotated(self.tell)

    def time(self) -> float:
        self.now += 60.0  # the limits are another test's
        return self.now

    def run(self, work: Any) -> Any:
        return self.loop.run(work)

    async def tell(self, module_id: str, names: Any, rotation_id: str) -> None:
        self.told.append((module_id, tuple(names), rotation_id))

    def changes(self, names: list[str], rotation_id: str) -> None:
        expected = {}
        self.rotations.append(rotation_id)
        for module_id, rights in RIGHTS.items():
            held = [name for name in names if (module_id, name) in self.behind]
            for name in held:
                self.behind[module_id, name] = rotation_id
            if readable := tuple(name for name in held if rights.may_read(name)):
                expected[module_id] = readable
        assert {module_id: names for module_id, names, told in self.told if told == rotation_id} == expected
        self.told.clear()

    @initialize()
    def secrets_are_set_and_held(self) -> None:
        self.operator_sets({"A", "B"})
        for module in sorted(RIGHTS):
            self.module_gets(module, "A")

    @rule(names=st.sets(NAMES, min_size=1))
    def operator_sets(self, names: set[str]) -> None:
        self.count += 1
        values = {name: f"value {self.count} of {name}" for name in sorted(names)}
        rotation = self.run(self.store.set(values, actor="operator:x"))
        self.changes([name for name in values if name in self.known], rotation.rotation_id)
        self.values |= values
        self.known |= names

    @rule(names=st.sets(NAMES, min_size=1))
    def operator_deletes(self, names: set[str]) -> None:
        rotation = self.run(self.store.delete(sorted(names), actor="operator:x"))
        self.changes([name for name in sorted(names) if self.values.pop(name, None) is not None], rotation.rotation_id)

    @rule(module=MODULES, name=NAMES)
    def module_gets(self, module: str, name: str) -> None:
        answer = self.run(self.keeper.call(module, "get", {"name": name}))
        if not RIGHTS[module].may_read(name):
            assert answer["status"] == "denied"
        elif name not in self.values:
            assert answer["status"] == "not_found"
        else:
            rotation = self.behind.setdefault((module, name), None)
            assert answer == {"status": "ok", "value": self.values[name], "rotation_id": rotation}

    @rule(module=MODULES, name=NAMES)
    def module_sets(self, module: str, name: str) -> None:
        self.count += 1
        answer = self.run(self.keeper.call(module, "set", {"name": name, "value": f"value {self.count} of {name}"}))
        if not RIGHTS[module].may_write(name):
            assert answer["status"] == "denied"
            return
        assert answer == {"status": "ok"}
        if name in self.known:
            rotations = {told for _, _, told in self.told}
            holders = [held for held in self.behind if held[1] == name]
            rotation_id = rotations.pop() if rotations else self.pending_of(holders)
            self.changes([name], rotation_id)
        self.values[name] = f"value {self.count} of {name}"
        self.known.add(name)

    def pending_of(self, holders: list[tuple[str, str]]) -> str:
        """The rotation that holders without the right to hear of it have; any text if there are none."""
        for module, name in holders:
            for rotation_id, names in self.run(self.store.pending(module)).items():
                if name in names:
                    return str(rotation_id)
        return "nobody holds it"

    @precondition(lambda self: any(self.behind.values()))
    @rule(success=st.booleans(), data=st.data())
    def module_acknowledges_and_asks_again(self, success: bool, data: st.DataObject) -> None:
        waiting = sorted(key for key, rotation_id in self.behind.items() if rotation_id is not None)
        module, name = data.draw(st.sampled_from(waiting))
        self.acknowledge(module, str(self.behind[module, name]), success=success)
        self.module_gets(module, name)

    @rule(module=MODULES, data=st.data())
    def module_acknowledges_any_rotation_there_was(self, module: str, data: st.DataObject) -> None:
        if self.rotations:
            self.acknowledge(module, data.draw(st.sampled_from(self.rotations)), success=True)

    def acknowledge(self, module: str, rotation_id: str, *, success: bool) -> None:
        self.run(self.keeper.acknowledge(module, rotation_id, success=success, message="why"))
        for key, each in self.behind.items():
            if success and key[0] == module and each == rotation_id:
                self.behind[key] = None

    @invariant()
    def what_is_pending_is_what_the_model_says(self) -> None:
        for module in RIGHTS:
            pending = self.run(self.store.pending(module))
            found = {(module, name): rotation for rotation, names in pending.items() for name in names}
            assert found == {key: each for key, each in self.behind.items() if key[0] == module and each is not None}
        assert self.run(self.store.names()) == sorted(self.values)

    @invariant()
    def every_value_in_use_is_redacted(self) -> None:
        for value in self.values.values():
            assert value not in self.registry.redact(f"with {value}")

    def teardown(self) -> None:
        self.run(self.database.close())
        self.loop.close()


TestSecretStore = SecretMachine.TestCase
TestSecretStore.settings = settings(max_examples=15, stateful_step_count=30)
