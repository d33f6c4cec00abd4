"""The orchestrator's secrets: encrypted at rest, given by right, rotated with acknowledgement, on three databases."""

from __future__ import annotations

import asyncio
import os
import pickle
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.orchestrator.secrets.keeper import (
    BURST,
    DENIED_BURST,
    LARGEST_WRITTEN,
    MOST_WRITTEN,
    WRITE_BURST,
    ModuleSecrets,
)
from sdk.module_runtime.orchestrator.secrets.key_sources import create_key, load_keys
from sdk.module_runtime.orchestrator.secrets.keys import MasterKeys
from sdk.module_runtime.orchestrator.secrets.rights import SecretRights
from sdk.module_runtime.orchestrator.secrets.store import SecretStore
from sdk.module_runtime.secrets.errors import (
    SecretDenied,
    SecretNotFound,
    SecretThrottled,
    SecretUnreadable,
)
from sdk.module_runtime.secrets.redaction import SecretRegistry
from sdk.module_runtime.secrets.redaction.forms import forms_of
from sdk.module_runtime.storage.migrations import MIGRATIONS
from sdk.service.database import Database
from sdk.service.migrations import downgrade, upgrade
from support.databases import DIALECTS, empty_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from sdk.service.database import Unit

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
OPERATOR = "operator:test"
VALUE = "correct horse/battery+staple ü"


@pytest_asyncio.fixture(params=DIALECTS)
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    with empty_database(request.param, tmp_path) as (url, schema):
        async with await Database.open(url, schema=schema) as opened:
            await upgrade(opened, [MIGRATIONS])
            yield opened


@pytest_asyncio.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    async with await Database.open(f"sqlite:///{tmp_path}/test.db") as opened:
        await upgrade(opened, [MIGRATIONS])
        yield opened


async def store_on(database: Database, *keys: bytes, registry: SecretRegistry | None = None) -> SecretStore:
    registry = SecretRegistry() if registry is None else registry
    return await SecretStore.open(database, MasterKeys(keys or (KEY,)), registry=registry)


def keeper_of(store: SecretStore, **clock: Any) -> ModuleSecrets:
    everything = SecretRights(read=("*",), write=("*",))
    some = SecretRights(read=("DB_*",), write=("DB_PASSWORD",))
    return ModuleSecrets(store, {"all": everything, "other": everything, "some": some}, **clock)


async def test_the_migration_and_the_tables_agree_both_ways(database: Database) -> None:
    assert await database.read(lambda unit: MIGRATIONS.drift(unit.connection)) == []
    await downgrade(database, MIGRATIONS, "0001")
    await upgrade(database, [MIGRATIONS])
    assert await database.read(lambda unit: MIGRATIONS.drift(unit.connection)) == []


async def test_a_module_reads_what_was_set_and_every_access_is_written_down(database: Database) -> None:
    store = await store_on(database)
    keeper = keeper_of(store)
    await store.set({"DB_PASSWORD": VALUE}, actor=OPERATOR)
    assert await keeper.get("some", "DB_PASSWORD") == (VALUE, None)
    with pytest.raises(SecretDenied):
        await keeper.get("some", "ROOT_KEY")
    with pytest.raises(SecretNotFound):
        await keeper.get("some", "DB_NONE")
    assert [(row.actor, row.operation, row.name, row.outcome) for row in await store.audit()] == [
        ("module:some", "get", "DB_NONE", "not found"),
        ("module:some", "get", "ROOT_KEY", "denied"),
        ("module:some", "get", "DB_PASSWORD", "ok"),
        (OPERATOR, "set", "DB_PASSWORD", "ok"),
    ]
    assert [row.name for row in await store.audit("ROOT_KEY")] == ["ROOT_KEY"]


async def test_a_rotation_is_told_to_holders_and_stays_pending_until_each_acknowledges(database: Database) -> None:
    store = await store_on(database)
    keeper, told = keeper_of(store), []

    async def listener(module_id: str, names: Sequence[str], rotation_id: str) -> None:
        told.append((module_id, tuple(names), rotation_id))

    keeper.on_rotated(listener)
    await store.set({"DB_A": "first a", "DB_B": "first b"}, actor=OPERATOR)
    for module_id, name in (("all", "DB_A"), ("all", "DB_B"), ("some", "DB_A")):
        await keeper.get(module_id, name)
    assert told == []
    rotation = (await store.set({"DB_A": "second a", "DB_B": "second b"}, actor=OPERATOR)).rotation_id
    assert sorted(told) == [("all", ("DB_A", "DB_B"), rotation), ("some", ("DB_A",), rotation)]
    assert await keeper.get("some", "DB_A") == ("second a", rotation)
    assert await keeper.get("other", "DB_A") == ("second a", None), "it never had another"
    await keeper.acknowledge("some", rotation, success=True, message=None)
    assert await keeper.get("some", "DB_A") == ("second a", None)
    assert await keeper.pending("some") == []
    assert await keeper.pending("all") == [(["DB_A", "DB_B"], rotation)]
    assert {row.name: row.waiting for row in await store.listed()} == {"DB_A": 1, "DB_B": 1}
    await keeper.acknowledge("all", rotation, success=False, message="the database did not take it")
    assert await keeper.pending("all") == [(["DB_A", "DB_B"], rotation)]
    assert [row.failure for row in await store.holders("DB_B")] == ["the database did not take it"]
    await keeper.acknowledge("all", rotation, success=True, message=None)
    assert await keeper.pending("all") == []
    assert [row.failure for row in await store.holders("DB_B")] == [None]


async def test_acknowledging_an_overtaken_or_foreign_rotation_settles_nothing(database: Database) -> None:
    store = await store_on(database)
    keeper = keeper_of(store)
    await store.set({"K_1": "value one"}, actor=OPERATOR)
    await keeper.get("all", "K_1")
    first = (await store.set({"K_1": "value two"}, actor=OPERATOR)).rotation_id
    second = (await store.set({"K_1": "value three"}, actor=OPERATOR)).rotation_id
    for module_id, rotation in (("all", first), ("other", second), ("all", "no such rotation" * 100)):
        await keeper.acknowledge(module_id, rotation, success=True, message=None)
    assert await keeper.pending("all") == [(["K_1"], second)]


async def test_a_deleted_secret_is_gone_and_its_holders_are_told(database: Database) -> None:
    store = await store_on(database)
    keeper = keeper_of(store)
    await store.set({"K_1": "value one"}, actor=OPERATOR)
    await keeper.get("all", "K_1")
    rotation = await store.delete(["K_1", "K_2"], actor=OPERATOR)
    assert rotation.held == {"all": ["K_1"]}
    with pytest.raises(SecretNotFound):
        await keeper.get("all", "K_1")
    assert await store.names() == []
    await store.set({"K_1": "value two"}, actor=OPERATOR)
    assert (await keeper.get("all", "K_1"))[0] == "value two"
    assert await database.read(_column, "SELECT version FROM runtime_secrets WHERE version > 0") == [3], (
        "a version is never used twice"
    )


async def test_nothing_at_rest_shows_a_value(sqlite: Database, tmp_path: Path) -> None:
    store = await store_on(sqlite)
    values = {"K_1": VALUE, "K_2": "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEF\n-----END KEY-----"}
    await store.set(values, actor=OPERATOR)
    await ModuleSecrets(store, {"m": SecretRights(read=("*",))}).get("m", "K_1")
    written = _bytes_in(tmp_path)
    assert b"K_1" in written
    for value in values.values():
        assert not [form.text for form in forms_of(value) if form.text.encode() in written]


async def test_a_row_opens_under_its_own_name_and_version_only(database: Database) -> None:
    store = await store_on(database)
    await store.set({"K_1": "value one", "K_2": "value two"}, actor=OPERATOR)
    swap = "UPDATE runtime_secrets SET name = CASE name WHEN 'K_1' THEN 'K_3' ELSE name END"
    for damage, name in ((swap, "K_3"), ("UPDATE runtime_secrets SET version = 7", "K_2")):
        await database.write(_execute, damage)
        with pytest.raises(SecretUnreadable, match="altered"):
            await store.read(name, actor=OPERATOR)


async def test_a_wrong_key_is_seen_at_the_start(database: Database) -> None:
    await (await store_on(database)).set({"K_1": VALUE}, actor=OPERATOR)
    with pytest.raises(SecretUnreadable, match="not among those given") as caught:
        await store_on(database, OTHER)
    assert KEY.hex() not in str(caught.value)
    forged = MasterKeys([OTHER])
    forged._ciphers = {MasterKeys([KEY]).current: forged._ciphers[forged.current]}
    with pytest.raises(SecretUnreadable, match="altered"):
        await SecretStore.open(database, forged, registry=SecretRegistry())


async def test_keys_are_rotated_under_a_running_orchestrator_which_goes_on_reading_and_writing(
    database: Database, tmp_path: Path
) -> None:
    source = f"file:{tmp_path}/key"
    old = create_key(source)
    values = {f"K_{i}": f"value {i}" for i in range(50)}
    running = await SecretStore.open(database, load_keys(source), registry=SecretRegistry())
    await running.set(values, actor=OPERATOR)
    operator = await SecretStore.open(database, load_keys(source), registry=SecretRegistry())
    assert await operator.rekey(source, actor=OPERATOR) == 50
    new = load_keys(source)
    assert old.current not in new
    assert {row.key_id for row in await operator.listed()} == {new.current}
    await running.set({"K_0": "a new value"}, actor=OPERATOR)
    assert await running.read("K_7", actor=OPERATOR) == "value 7"
    assert await operator.read("K_0", actor=OPERATOR) == "a new value"
    assert await operator.rekey(source, actor=OPERATOR) == 50
    store = await SecretStore.open(database, load_keys(source), registry=SecretRegistry())
    assert [await store.read(f"K_{i}", actor=OPERATOR) for i in (0, 49)] == ["a new value", "value 49"]
    assert len((tmp_path / "key").read_text().split()) == 1
    assert [name for name in os.listdir(tmp_path) if "key" in name] == ["key"]


async def test_an_empty_store_knows_its_key_too(database: Database, tmp_path: Path) -> None:
    source = f"file:{tmp_path}/key"
    create_key(source)
    running = await SecretStore.open(database, load_keys(source))
    await (await SecretStore.open(database, load_keys(source))).rekey(source, actor=OPERATOR)
    await running.set({"K_1": "value one"}, actor=OPERATOR)
    store = await SecretStore.open(database, load_keys(source))
    assert await store.read("K_1", actor=OPERATOR) == "value one"
    with pytest.raises(SecretUnreadable):
        await store_on(database, OTHER)
    assert await store.names() == ["K_1"]


async def test_many_who_rotate_the_key_at_once_lose_nothing(database: Database, tmp_path: Path) -> None:
    source = f"file:{tmp_path}/key"
    create_key(source)
    stores = [await SecretStore.open(database, load_keys(source), registry=SecretRegistry()) for _ in range(3)]
    await stores[0].set({f"K_{i}": f"value {i}" for i in range(5)}, actor=OPERATOR)

    async def write(number: int) -> None:
        for round_ in range(5):
            await stores[number].set({f"W_{number}": f"round {round_}"}, actor=OPERATOR)

    await asyncio.gather(*(each.rekey(source, actor=OPERATOR) for each in stores), *(write(i) for i in range(3)))
    store = await SecretStore.open(database, load_keys(source), registry=SecretRegistry())
    found = [await store.read(name, actor=OPERATOR) for name in await store.names()]
    assert found == [f"value {i}" for i in range(5)] + ["round 4"] * 3
    await store.rekey(source, actor=OPERATOR)
    assert len((tmp_path / "key").read_text().split()) == 1


async def test_changes_at_the_same_time_each_get_a_version_of_their_own(database: Database) -> None:
    one, other = await store_on(database), await store_on(database)
    await one.set({"K_1": "value"}, actor=OPERATOR)
    await asyncio.gather(*(each.set({"K_1": f"value {i}"}, actor=OPERATOR) for i in range(5) for each in (one, other)))
    assert await database.read(_column, "SELECT version FROM runtime_secrets WHERE version > 0") == [11]
    assert re.fullmatch("value [0-4]", await other.read("K_1", actor=OPERATOR))


async def test_the_wire_says_the_same_for_secrets_that_exist_and_that_do_not_without_a_right(sqlite: Database) -> None:
    store = await store_on(sqlite)
    keeper = keeper_of(store)
    await store.set({"ROOT_KEY": VALUE, "DB_X": "value x"}, actor=OPERATOR)
    for operation in ("get", "set", "delete"):
        answers = [
            await keeper.call("some", operation, {"name": name, "value": "attack"}) for name in ("ROOT_KEY", "NO_KEY")
        ]
        assert answers[0] == answers[1]
        assert answers[0]["status"] == "denied"
    assert await keeper.call("some", "list", {}) == {"status": "ok", "names": ["DB_X"]}
    assert await keeper.call("stranger", "list", None) == {"status": "ok", "names": []}
    assert await store.read("ROOT_KEY", actor=OPERATOR) == VALUE


async def test_what_a_module_without_a_right_asks_for_costs_the_store_nothing_but_the_audit_row(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the time of the answer cannot tell whether the secret exists."""
    store = await store_on(sqlite)
    keeper = keeper_of(store)
    await store.set({"ROOT_KEY": VALUE}, actor=OPERATOR)
    monkeypatch.setattr(store, "hand_out", None)
    for name in ("ROOT_KEY", "NO_KEY", "", "../../etc\x00", "x" * 10_000):
        with pytest.raises(SecretDenied) as caught:
            await keeper.get("some", name)
        assert len(str(caught.value)) < 250


async def test_a_module_sets_rotates_reads_and_deletes_within_its_rights(sqlite: Database) -> None:
    keeper = keeper_of(await store_on(sqlite))
    set_it = {"name": "DB_PASSWORD", "value": VALUE}
    assert await keeper.call("some", "set", set_it) == {"status": "ok"}
    assert await keeper.call("some", "get", {"name": "DB_PASSWORD"}) == {
        "status": "ok",
        "value": VALUE,
        "rotation_id": None,
    }
    assert await keeper.call("some", "delete", {"name": "DB_PASSWORD"}) == {"status": "ok"}
    assert (await keeper.call("some", "get", {"name": "DB_PASSWORD"}))["status"] == "not_found"


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("get", None),
        ("get", {"name": 5}),
        ("set", {"name": "K_1"}),
        ("set", {"name": "K_1", "value": ""}),
        ("set", {"name": "K_1", "value": "\ud800"}),
        ("set", {"name": "K_1", "value": "x" * 70_000}),
        ("set", {"name": "K 1\n", "value": "fine"}),
        ("destroy", {"name": "K_1"}),
        ("get", [["name"]]),
    ],
)
async def test_bad_calls_are_refused_and_change_nothing(sqlite: Database, operation: str, params: Any) -> None:
    store = await store_on(sqlite)
    answer = await keeper_of(store).call("all", operation, params)
    assert answer["status"] == "invalid"
    assert answer["reason"]
    assert await store.names() == []


async def test_a_flood_is_refused_without_touching_the_store_and_ends_with_time(sqlite: Database) -> None:
    store, now = await store_on(sqlite), [0.0]
    keeper = keeper_of(store, clock=lambda: now[0])
    await store.set({"K_1": "value one"}, actor=OPERATOR)
    for _ in range(int(BURST)):
        keeper._throttle("all", "K_1")
    before = len(await store.audit(limit=10_000))
    with pytest.raises(SecretThrottled):
        await keeper.get("all", "K_1")
    assert (await keeper.call("all", "list", {}))["status"] == "throttled"
    assert len(await store.audit(limit=10_000)) == before
    assert await keeper.get("other", "K_1") == ("value one", None)
    now[0] += 1
    assert await keeper.get("all", "K_1") == ("value one", None)


async def test_a_module_that_keeps_asking_without_a_right_fills_no_audit(sqlite: Database) -> None:
    store, now = await store_on(sqlite), [0.0]
    keeper = keeper_of(store, clock=lambda: now[0])
    for _ in range(int(DENIED_BURST) + 50):
        answer = await keeper.call("some", "get", {"name": "ROOT_KEY"})
        assert answer["status"] in ("denied", "throttled")
    assert len(await store.audit(limit=1_000)) == DENIED_BURST
    await store.set({"DB_X": "value x"}, actor=OPERATOR)
    assert await keeper.get("some", "DB_X") == ("value x", None), "what it may do it still may"
    assert await store.trim_audit(datetime.now(UTC) + timedelta(seconds=1)) == DENIED_BURST + 2
    assert await store.audit() == []


async def test_what_a_module_may_set_is_bounded_in_number_size_and_rate(sqlite: Database) -> None:
    store, now = await store_on(sqlite), [0.0]
    keeper = keeper_of(store, clock=lambda: now[0])

    async def set_it(name: str, value: str = "a value") -> str:
        status: str = (await keeper.call("all", "set", {"name": name, "value": value}))["status"]
        return status

    assert await set_it("LARGE", "x" * LARGEST_WRITTEN) == "ok"
    assert await set_it("LARGER", "x" * (LARGEST_WRITTEN + 1)) == "invalid"
    done = [await set_it(f"K_{number}") for number in range(40)]
    assert done == ["ok"] * int(WRITE_BURST - 2) + ["throttled"] * int(42 - WRITE_BURST)
    for number in range(MOST_WRITTEN + 5):
        now[0] += 30
        await set_it(f"L_{number}")
    assert len(await store.names()) == MOST_WRITTEN
    now[0] += 30
    assert await set_it("K_0", "another value") == "ok"


async def test_a_value_is_redacted_from_when_it_is_known_until_its_last_user_lets_it_go(sqlite: Database) -> None:
    now = [0.0]
    registry = SecretRegistry(grace=60, clock=lambda: now[0])
    store = await store_on(sqlite, registry=registry)
    keeper = keeper_of(store)
    await store.set({"K_1": "value one"}, actor=OPERATOR)
    assert registry.redact("value one") == "[redacted]"
    await keeper.get("all", "K_1")
    rotation = (await store.set({"K_1": "value two"}, actor=OPERATOR)).rotation_id
    now[0] += 1_000
    assert registry.redact("value one value two") == "[redacted] [redacted]", "a module still uses the first"
    await keeper.acknowledge("all", rotation, success=False, message="cannot take value one")
    assert "value one" not in "".join(row.failure for row in await store.holders("K_1"))
    await keeper.acknowledge("all", rotation, success=True, message=None)
    now[0] += 1_000
    assert registry.redact("value one value two") == "value one [redacted]"


async def test_a_value_that_another_process_replaced_is_redacted_while_a_module_uses_it(sqlite: Database) -> None:
    now = [0.0]
    registry = SecretRegistry(grace=60, clock=lambda: now[0])
    store, elsewhere = await store_on(sqlite, registry=registry), await store_on(sqlite)
    keeper = keeper_of(store)
    await store.set({"K_1": "value one"}, actor=OPERATOR)
    for module_id in ("all", "other"):
        await keeper.get(module_id, "K_1")
    rotation = (await elsewhere.set({"K_1": "value two"}, actor=OPERATOR)).rotation_id
    assert await keeper.get("all", "K_1") == ("value two", rotation)
    await keeper.acknowledge("all", rotation, success=True, message=None)
    now[0] += 1_000
    assert registry.redact("value one value two") == "[redacted] [redacted]", "the other has not acknowledged it"
    await keeper.acknowledge("other", rotation, success=True, message=None)
    now[0] += 1_000
    assert registry.redact("value one value two") == "value one [redacted]"


@settings(max_examples=30)
@given(
    st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,20}", fullmatch=True), st.text(min_size=1), max_size=5)
)
def test_any_text_survives_sealing_and_a_change_of_any_bit_does_not(values: dict[str, str]) -> None:
    keys = MasterKeys([KEY])
    for version, (name, value) in enumerate(values.items()):
        data = value.encode("utf-8", "surrogatepass")
        sealed = keys.seal(name, version, data)
        assert keys.unseal(name, version, keys.current, sealed) == data
        at = version % len(sealed)
        for bad in (sealed[:at], sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], sealed + b"\0"):
            with pytest.raises(SecretUnreadable):
                keys.unseal(name, version, keys.current, bad)


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    source = f"file:{tmp_path}/key"
    create_key(source)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigurationError, match="cannot be made: File exists"):
        create_key(source)
    (tmp_path / "key").chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_keys(source)


def test_bad_sources_of_keys_say_what_to_do_and_show_no_key(tmp_path: Path) -> None:
    wrong = "ab" * 31
    (tmp_path / "short").write_text(wrong)
    (tmp_path / "short").chmod(0o600)
    cases = {
        f"file:{tmp_path}/none": "secrets init",
        f"file:{tmp_path}/short": "64 hexadecimal digits",
        f"file:{tmp_path}": "no regular file|Is a directory",
        "environment:NOT_SET": "holds no key",
        "environment:WRONG": "64 hexadecimal digits",
        "vault:x": "file:PATH",
        "file:": "file:PATH",
    }
    for source, expected in cases.items():
        with pytest.raises(ConfigurationError, match=expected) as caught:
            load_keys(source, {"WRONG": wrong})
        assert wrong not in str(caught.value)
    assert load_keys("environment:GOOD", {"GOOD": f"{KEY.hex()} {OTHER.hex()}"}).current == MasterKeys([KEY]).current


def test_keys_are_neither_printed_nor_pickled() -> None:
    keys = MasterKeys([KEY, OTHER])
    assert KEY.hex() not in f"{keys!r}{keys}"
    with pytest.raises(TypeError):
        pickle.dumps(keys)
    with pytest.raises(ConfigurationError):
        MasterKeys([b"short"])


def _column(unit: Unit, sql: str) -> list[Any]:
    return [row[0] for row in unit.connection.execute(sa.text(sql))]


def _execute(unit: Unit, sql: str) -> None:
    unit.connection.execute(sa.text(sql))


def _bytes_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())
