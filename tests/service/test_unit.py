"""What a unit of work promises, on every dialect."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdk.core.errors import StorageError
from sdk.service.database import Prepared, Timestamp, Unit, insert_or_ignore, upsert
from sdk.service.database.types import from_text, to_text
from sdk.service.errors import ConstraintViolated, InvalidValue
from sdk.service.metrics import DatabaseMetrics, create_registry, render
from support import things

if TYPE_CHECKING:
    from sdk.service.database import Database, Row

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


async def test_values_come_back_as_they_went_in(database: Database) -> None:
    def write(unit: Unit) -> int:
        return unit.insert(
            things.ADD,
            name="ä\U0001f600",
            satoshis=2**62,
            made_at=NOW,
            document={"a": [1, None, "x"]},
            raw=bytes(range(256)),
        )

    key = await database.write(write)
    row = await database.read(lambda unit: unit.first(things.FIND, name="ä\U0001f600"))
    assert row is not None
    assert row._asdict() == {
        "thingId": key,
        "name": "ä\U0001f600",
        "satoshis": 2**62,
        "made_at": NOW.replace(microsecond=678000),
        "document": {"a": [1, None, "x"]},
        "spendable": True,
        "raw": bytes(range(256)),
    }
    assert row.made_at.tzinfo is UTC
    assert isinstance(row.raw, bytes)
    assert pickle.loads(pickle.dumps(row)) == row


async def test_null_comes_back_as_none(database: Database) -> None:
    await database.write(lambda unit: unit.insert(things.ADD, name="n", made_at=None, raw=None, spendable=None))
    row = await database.read(lambda unit: unit.first(things.FIND, name="n"))
    assert row is not None
    assert (row.made_at, row.raw, row.spendable, row.satoshis) == (None, None, None, 7)


async def test_column_defaults_apply_to_what_is_left_out(database: Database) -> None:
    await database.write(lambda unit: unit.insert_many(things.ADD, [{"name": "a"}, {"name": "b"}]))
    rows = await database.read(lambda unit: unit.rows(things.AMONG, names=["a", "b"]))
    assert [(row.satoshis, row.spendable) for row in rows] == [(7, True), (7, True)]


async def test_results_of_each_method(database: Database) -> None:
    def write(unit: Unit) -> list[Any]:
        first = things.add(unit, "a")
        more = unit.insert_many(things.ADD, [{"name": f"m{i}", "satoshis": i} for i in range(5)])
        return [
            more == list(range(first + 1, first + 6)),
            unit.rows(things.AMONG, names=[]),
            unit.first(things.FIND, name="none"),
            unit.scalar(Prepared(sa.select(things.THINGS.c.name).where(sa.false()))),
            unit.scalar(things.COUNT),
            unit.run(things.SPEND, which="a", to=False),
            unit.run(things.SPEND, which="a", to=False),
            unit.run_many(things.MOVE, [{"which": "a", "by": 1}, {"which": "m1", "by": 2}, {"which": "none", "by": 3}]),
            unit.run_many(things.MOVE, []),
            unit.insert_many(things.ADD, []),
        ]

    assert await database.write(write) == [True, [], None, None, 6, 1, 0, 2, 0, []]


async def test_an_update_that_changes_nothing_still_counts_its_row(database: Database) -> None:
    await database.write(things.add, "a", 5)
    assert await database.write(lambda unit: unit.run(things.MOVE, which="a", by=0)) == 1


async def test_statements_are_counted_not_rows(database: Database) -> None:
    def write(unit: Unit, rows: int) -> int:
        unit.insert_many(things.ADD, [{"name": f"{rows}-{i}"} for i in range(rows)])
        unit.rows(things.AMONG, names=[f"{rows}-{i}" for i in range(rows)])
        with unit.savepoint():
            unit.run(things.SPEND, which="x", to=True)
        return unit.statements

    assert await database.write(write, 1) == await database.write(write, 100) == 3


async def test_keys_of_many_rows_are_in_order(database: Database) -> None:
    given_names = [f"n{i:04}" for i in range(1500)]

    def write(unit: Unit) -> list[int]:
        return unit.insert_many(things.ADD, [{"name": name, "raw": b"x" * 2000} for name in given_names])

    keys = await database.write(write)
    rows = await database.read(lambda unit: unit.rows(things.AMONG, names=given_names))
    assert {row.thingId: row.name for row in rows} == dict(zip(keys, given_names, strict=True))


async def test_given_keys_are_kept(database: Database) -> None:
    def write(unit: Unit) -> list[Any]:
        one = unit.insert(things.ADD, thingId=500, name="a")
        many = unit.insert_many(things.ADD, [{"thingId": 900, "name": "b"}, {"thingId": 700, "name": "c"}])
        return [one, *many]

    assert await database.write(write) == [500, 900, 700]


async def test_an_insert_that_may_meet_its_row_says_how_many_were_new(database: Database) -> None:
    ignore = insert_or_ignore(things.THINGS)
    await database.write(things.add, "a")
    assert await database.write(lambda unit: unit.run(ignore, name="a")) == 0
    assert await database.write(lambda unit: unit.run_many(ignore, [{"name": "a"}, {"name": "b"}])) == 1
    assert await database.read(things.names) == ["a", "b"]


async def test_an_upsert_sets_only_what_it_names(database: Database) -> None:
    put = upsert(things.THINGS, ["name"], ["satoshis"])
    for satoshis, spendable in ((1, True), (2, False)):
        await database.write(partial(Unit.run, statement=put, name="a", satoshis=satoshis, spendable=spendable))
    row = await database.read(lambda unit: unit.first(things.FIND, name="a"))
    assert row is not None
    assert (row.satoshis, row.spendable) == (2, True)


@pytest.mark.parametrize(
    ("unit", "kind", "column"),
    [
        (lambda unit: unit.insert(things.ADD, name="a"), "unique", "name"),
        (lambda unit: unit.insert(things.ADD, name=None), "not null", "name"),
        (lambda unit: unit.insert(things.ADD, name="x", satoshis=-1), "check", None),
        (lambda unit: unit.insert(things.ADD_PART, thingId=99), "foreign key", None),
    ],
)
async def test_constraints_are_told_apart(database: Database, unit: Any, kind: str, column: str | None) -> None:
    await database.write(things.add, "a")
    with pytest.raises(ConstraintViolated) as raised:
        await database.write(unit)
    assert raised.value.kind == kind
    if kind == "unique":
        assert raised.value.columns == ("name",) or raised.value.constraint == "uq_things_name"
    if kind == "not null":
        assert raised.value.columns == (column,)
    if kind == "check":
        assert raised.value.constraint == "ck_things_not_negative"
    assert kind in str(raised.value)


async def test_values_that_do_not_fit_are_refused(database: Database) -> None:
    wrong: list[dict[str, Any]] = [{"satoshis": 2**63}, {"made_at": datetime(2026, 1, 1)}]  # noqa: DTZ001
    for values in wrong:
        with pytest.raises(StorageError):
            await database.write(lambda unit, values: unit.insert(things.ADD, name="a", **values), values)
    with pytest.raises(InvalidValue):
        await database.write(lambda unit: unit.insert(things.ADD, name="\ud800"))
    assert await database.read(things.names) == []


async def test_a_failed_unit_leaves_no_trace(database: Database) -> None:
    with pytest.raises(RuntimeError, match="gone"):
        await database.write(things.add_then_fail, "gone")
    assert await database.read(things.names) == []


async def test_a_savepoint_undoes_only_what_is_inside(database: Database) -> None:
    def write(unit: Unit) -> str:
        things.add(unit, "kept")
        try:
            with unit.savepoint():
                things.add(unit, "undone")
                things.add(unit, "kept")
        except ConstraintViolated as error:
            kind = error.kind
        with pytest.raises(RuntimeError), unit.savepoint():
            things.add_then_fail(unit, "undone too")
        with unit.savepoint(), unit.savepoint():
            things.add(unit, "nested")
        return kind

    assert await database.write(write) == "unique"
    assert await database.read(things.names) == ["kept", "nested"]


async def test_an_error_outside_a_savepoint_ends_the_unit(database: Database) -> None:
    """PostgreSQL would answer COMMIT with a silent rollback, MySQL would go on without a transaction."""

    def write(unit: Unit) -> None:
        things.add(unit, "a")
        with pytest.raises(ConstraintViolated):
            things.add(unit, "a")
        with pytest.raises(ConstraintViolated):
            things.add(unit, "b")

    with pytest.raises(ConstraintViolated):
        await database.write(write)
    assert await database.read(things.names) == []


async def test_an_error_swallowed_inside_a_savepoint_is_raised_at_its_end(database: Database) -> None:
    def write(unit: Unit) -> None:
        with unit.savepoint():
            things.add(unit, "a")
            with pytest.raises(ConstraintViolated):
                things.add(unit, "a")

    with pytest.raises(ConstraintViolated):
        await database.write(write)
    assert await database.read(things.names) == []


async def test_a_unit_is_over_when_its_function_returns(database: Database) -> None:
    kept: list[Unit] = []
    await database.write(kept.append)
    with pytest.raises(StorageError, match="over"):
        kept[0].run(things.SPEND, which="a", to=True)
    with pytest.raises(StorageError, match="over"):
        _ = kept[0].connection


async def test_a_read_unit_cannot_write(database: Database) -> None:
    with pytest.raises(StorageError):
        await database.read(things.add, "a")
    assert await database.read(things.names) == []
    await database.write(things.add, "b")
    assert await database.read(things.names) == ["b"]


async def test_the_connection_is_the_same_transaction(database: Database) -> None:
    def write(unit: Unit) -> int:
        things.add(unit, "a")
        unit.connection.execute(sa.insert(things.THINGS).values(name="b", satoshis=1))
        unit.connection.commit()  # lent connections have no say in this
        found = unit.connection.execute(sa.select(sa.func.count()).select_from(things.THINGS)).scalar_one()
        if found == 2:
            raise RuntimeError("undo")
        return int(found)

    with pytest.raises(RuntimeError, match="undo"):
        await database.write(write)
    assert await database.read(things.names) == []


async def test_errors_through_the_connection_are_ours_too(database: Database) -> None:
    def write(unit: Unit) -> None:
        for _ in range(2):
            unit.connection.execute(sa.insert(things.THINGS).values(name="b", satoshis=1))

    with pytest.raises(ConstraintViolated) as raised:
        await database.write(write)
    assert raised.value.kind == "unique"
    assert await database.read(things.names) == []


async def test_parameters_are_checked(database: Database) -> None:
    cases: list[tuple[Prepared, dict[str, Any], str]] = [
        (things.FIND, {}, "lacks name"),
        (things.FIND, {"name": "a", "nmae": "b"}, "does not take nmae"),
        (things.ADD, {"name": "a", "satoshi": 1}, "no column satoshi"),
        (things.SPEND, {"which": "a"}, "lacks to"),
    ]
    for statement, params, complaint in cases:
        with pytest.raises(TypeError, match=complaint):
            await database.write(lambda unit, statement, params: unit.rows(statement, **params), statement, params)


async def test_tuple_lists_and_constants(database: Database) -> None:
    pairs = Prepared(
        sa.select(things.THINGS.c.name)
        .where(
            sa.tuple_(things.THINGS.c.name, things.THINGS.c.satoshis).in_(sa.bindparam("pairs", expanding=True)),
            things.THINGS.c.spendable.in_([True]),
        )
        .order_by(things.THINGS.c.name)
        .limit(2)
    )
    await database.write(
        lambda unit: unit.insert_many(things.ADD, [{"name": n, "satoshis": i} for i, n in enumerate("abcd")])
    )
    found = await database.read(lambda unit: unit.rows(pairs, pairs=[("a", 0), ("b", 2), ("c", 2), ("d", 3)]))
    assert [row.name for row in found] == ["a", "c"]


async def test_python_defaults_of_updates_apply(database: Database) -> None:
    moments = iter([NOW, NOW + timedelta(hours=1)])
    table = sa.Table(
        "touched",
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("n", sa.Integer),
        sa.Column("at", Timestamp, default=lambda: next(moments), onupdate=lambda: next(moments)),
    )
    await database.migrate(lambda unit: table.create(unit.connection))
    read = Prepared(sa.select(table.c.at))
    key = await database.write(lambda unit: unit.insert(Prepared(sa.insert(table)), n=1))
    assert await database.read(lambda unit: unit.scalar(read)) == NOW.replace(microsecond=678000)
    touch = Prepared(sa.update(table).where(table.c.id == sa.bindparam("which")).values(n=2))
    await database.write(lambda unit: unit.run(touch, which=key))
    assert await database.read(lambda unit: unit.scalar(read)) == NOW.replace(microsecond=678000) + timedelta(hours=1)


async def test_columns_of_one_name_must_be_labelled(sqlite: Database) -> None:
    twice = Prepared(sa.select(things.THINGS.c.name, sa.literal_column("1").label("name")))
    await sqlite.write(things.add, "a")
    with pytest.raises(StorageError, match="label them apart"):
        await sqlite.read(lambda unit: unit.rows(twice))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(st.integers(0, 60), max_size=70), negate=st.booleans())
async def test_in_lists_of_any_length_mean_what_they_say(sqlite: Database, wanted: list[int], negate: bool) -> None:
    def fill(unit: Unit) -> None:
        if not unit.scalar(things.COUNT):
            unit.insert_many(things.ADD, [{"name": f"n{i}", "satoshis": i} for i in range(50)])

    await sqlite.write(fill)
    column = things.THINGS.c.satoshis
    values: sa.BindParameter[int] = sa.bindparam("wanted", expanding=True)
    statement = Prepared(sa.select(column).where(column.not_in(values) if negate else column.in_(values)))
    rows: list[Row] = await sqlite.read(lambda unit: unit.rows(statement, wanted=wanted))
    assert {row.satoshis for row in rows} == {i for i in range(50) if (i in wanted) != negate}


@given(
    st.datetimes(
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7)), timezone(timedelta(hours=5, minutes=30))])
    )
)
def test_timestamp_text_is_exact_to_the_millisecond_and_sorts_as_time(moment: datetime) -> None:
    try:
        expected = moment.astimezone(UTC)
    except OverflowError:
        return
    text = to_text(moment)
    assert len(text) == 24
    assert text.endswith("Z")
    assert from_text(text) == expected.replace(microsecond=expected.microsecond // 1000 * 1000)
    assert (text > to_text(NOW)) == (text != to_text(NOW) and moment > NOW)


def test_sqlite_default_timestamps_are_read_and_nonsense_is_not() -> None:
    assert from_text("2025-01-02 03:04:05") == datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    with pytest.raises(InvalidValue):
        from_text("yesterday")


async def test_figures_and_readiness(database: Database) -> None:
    before = database.figures.commits
    for name in "abc":
        await database.write(things.add, name)
    assert database.figures.commits == before + 3
    assert database.figures.units >= before + 3
    assert (database.figures.waiting, database.figures.repeats) == (0, 0)
    assert await database.check() is None
    registry = create_registry()
    registry.register(DatabaseMetrics(database, "wallet"))
    assert 'database_commits_total{database="wallet"} ' in render(registry).decode()
    await database.close()
    assert "closed" in str(await database.check())


async def test_r26_a_unit_cannot_be_async(sqlite: Database) -> None:
    async def wrong(unit: Unit) -> None:
        things.add(unit, "a")

    function: Any = wrong
    for refused in (sqlite.write, sqlite.read):
        with pytest.raises(TypeError, match="plain function"):
            await refused(function)
    assert await sqlite.read(things.names) == []
