"""Models: spelled as Rust spells them, judged as Rust judges them, and made on real databases as they say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sdk.module_runtime.data.database.engine import create_engine
from sdk.module_runtime.models import (
    ModelDescriptor,
    ModelError,
    ModelUnsupported,
    apply_models,
    diff_models,
    generate,
    read_models,
    sync_models,
    validate_model,
    validate_models,
)
from sdk.module_runtime.models.definitions import ColumnDescriptor, Constraint, DataType, IndexDescriptor
from sdk.module_runtime.models.errors import ChangesHeldBack, ModelApplyError
from support.module_databases import KINDS, module_database
from support.requirements import vectors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sdk.module_runtime.data.database import DatabaseConfig

SPELLED: dict[str, TypeAdapter[Any]] = {
    "DataType": TypeAdapter(DataType), "Constraint": TypeAdapter(Constraint),
    "ColumnDescriptor": TypeAdapter(ColumnDescriptor), "ModelDescriptor": TypeAdapter(ModelDescriptor),
}  # fmt: skip


def cases(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(vectors("module-runtime", name).read_text())["cases"]
    return found


def table(name: str, *columns: dict[str, Any], **more: Any) -> ModelDescriptor:
    return ModelDescriptor.model_validate({"name": name, "columns": list(columns), **more})


def column(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "data_type": kind, **more}


ID = column("id", {"Integer": "I64"}, is_primary_key=True, auto_increment=True)


@pytest.fixture(params=KINDS)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatabaseConfig]:
    with module_database(request.param, tmp_path) as made:
        yield made


def test_models_are_spelled_as_rust_spells_them() -> None:
    seen = 0
    for case in cases("12_model_definitions.json"):
        adapter = SPELLED.get(case["type"])
        if adapter is None:
            continue
        seen += 1
        if "text" in case:
            read = adapter.validate_json(case["text"])
            assert json.loads(adapter.dump_json(read, by_alias=True)) == case["value"]
        elif case["accepted"]:
            adapter.validate_json(case["input"])
        else:
            with pytest.raises(ValidationError):
                adapter.validate_json(case["input"])
    assert seen > 20


def test_models_are_judged_as_the_reference_judges_them() -> None:
    found = cases("14_model_validate.json")
    assert len(found) >= 10
    for case in found:
        model = ModelDescriptor.model_validate(case["model"])
        if case["result"] == "ok":
            validate_model(model)
        else:
            with pytest.raises(ModelError) as error:
                validate_model(model)
            assert str(error.value) == case["result"]["err"], case["case"]


def test_the_references_own_models_become_sql_that_the_databases_take(config: DatabaseConfig) -> None:
    """It gives PostgreSQL no primary key and MariaDB two, and no database the enumeration."""
    document = json.loads(vectors("module-runtime", "13_model_sql.json").read_text())["models"]
    users, orders = (ModelDescriptor.model_validate(document[name]) for name in ("users", "orders"))
    orders = orders.model_copy(update={"schema_": None})
    if config.db_type == "mysql":
        with pytest.raises(ModelUnsupported, match="partial indexes"):
            generate([users], "mysql")
        users = users.model_copy(update={"indexes": users.indexes[:1]})
    apply_models(config, [users, orders])
    assert diff_models(config, [users, orders]) == []
    engine = create_engine(config)
    inspector = sa.inspect(engine)
    assert inspector.get_pk_constraint("users")["constrained_columns"] == ["id"]
    assert inspector.get_pk_constraint("orders")["constrained_columns"] == ["a", "b"]
    with engine.connect() as connection:
        connection.exec_driver_sql("INSERT INTO users (email) VALUES ('a@b.c')")
        assert connection.exec_driver_sql("SELECT id, nick FROM users").fetchone() == (1, "it's")
        connection.exec_driver_sql("INSERT INTO orders VALUES (1, 65535, 1)")
        for wrong in (
            "INSERT INTO orders VALUES (2, 65536, 1)", "INSERT INTO orders VALUES (2, -1, 1)",
            "INSERT INTO orders VALUES (2, 1, 99)", "INSERT INTO users (email, bal) VALUES ('d', -1)",
            "INSERT INTO users (email, mood) VALUES ('e', 'odd')", "INSERT INTO users (email) VALUES ('a@b.c')",
        ):  # fmt: skip
            with pytest.raises(sa.exc.DBAPIError):
                connection.exec_driver_sql(wrong)
        connection.exec_driver_sql("DELETE FROM users")
        assert connection.exec_driver_sql("SELECT COUNT(*) FROM orders").scalar() == 0
    engine.dispose()


@pytest.mark.parametrize(
    "name", ['we"ird', "we`ird", "per%cent", "a b", "sel:ect", "order", "ünïcode", "x'; DROP TABLE t"]
)
def test_no_name_breaks_out_of_its_quotes(config: DatabaseConfig, name: str) -> None:
    model = table(
        name,
        column(name, {"Varchar": 20}, is_primary_key=True, comment=name, default_value=name),
        column("n", "BigInt"),
        indexes=[{"columns": ["n"]}],
        comment=name,
        constraints=[{"Unique": {"name": name, "columns": [name, "n"]}}],
    )
    if config.db_type == "mysql" and "`" in name:
        with pytest.raises(ModelUnsupported, match="backtick"):
            apply_models(config, [model])
        return
    apply_models(config, [model])
    assert diff_models(config, [model]) == []
    engine = create_engine(config)
    assert name in sa.inspect(engine).get_table_names()
    engine.dispose()


TYPES: list[Any] = [
    {"Text": None}, {"Text": 100}, {"Text": 70_000}, {"Varchar": 40}, {"Char": 4}, "SmallInt", "BigInt", "Boolean",
    "Float", "Double", {"Decimal": [20, 4]}, "Date", "Time", "DateTime", "Timestamp", "TimestampTz", "Blob", "Json",
    "JsonB", "Uuid", {"Enum": ["mood", ["ok", "it's", "sad"]]},
    *({"Integer": size} for size in ("I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64")),
]  # fmt: skip
DEFAULTS = {
    "Boolean": ["true", "false"], "BigInt": ["0", "-5", "NULL"], "SmallInt": ["7"], "Double": ["1.5"],
    "Date": ["'2020-02-03'"], "DateTime": ["CURRENT_TIMESTAMP"], "Timestamp": ["CURRENT_TIMESTAMP"],
}  # fmt: skip
TEXTS = ["", "it's", "'quoted'", "a\\b", "50%", "a:b", "null", "(x)", "1.0", "true", "::text", "日本"]


@st.composite
def models(draw: Any, dialect: str) -> list[ModelDescriptor]:
    made: list[ModelDescriptor] = []
    for number in range(draw(st.integers(1, 3))):
        columns = [ID if draw(st.booleans()) else column("id", {"Varchar": 30}, is_primary_key=True)]
        for each in range(draw(st.integers(0, 5))):
            kind = draw(st.sampled_from([kind for kind in TYPES if dialect != "sqlite" or kind != {"Integer": "U64"}]))
            more: dict[str, Any] = {"is_nullable": draw(st.booleans())}
            known = DEFAULTS.get(kind) if isinstance(kind, str) else TEXTS if set(kind) & {"Varchar", "Text"} else None
            if known and draw(st.booleans()):
                more["default_value"] = draw(st.sampled_from(known))
            if draw(st.booleans()):
                more["comment"] = draw(st.sampled_from(["a comment", "it's 50%: \\"]))
            columns.append(column(f"c{each}", kind, **more))
        plain = [each["name"] for each in columns if each["data_type"] in ("BigInt", "SmallInt", {"Varchar": 40})]
        indexes: list[dict[str, Any]] = [{"columns": [name], "is_unique": draw(st.booleans())} for name in plain[:2]]
        constraints: list[dict[str, Any]] = []
        if plain and draw(st.booleans()):
            constraints.append({"Unique": {"name": None, "columns": plain}})
        constraints.append({"Check": {"name": None, "expression": "1 = 1 OR ':' = '%'"}})
        if made and draw(st.booleans()):
            target = made[-1]
            columns.append(column("ref", target.columns[0].data_type.model_dump()))  # type: ignore[union-attr]
            key = {"columns": ["ref"], "references_table": target.name, "references_columns": ["id"]}
            action = draw(st.sampled_from(["NoAction", "Cascade", "SetNull", None]))
            constraints.append({"ForeignKey": key | {"name": None, "on_delete": action, "on_update": None}})
        made.append(table(f"t{number}", *columns, indexes=indexes, constraints=constraints, comment="it's"))
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_applied_has_no_difference_and_survives_being_applied_again(kind: str, tmp_path: Path) -> None:
    """On every database, for models of any kind."""

    @settings(max_examples=12, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])
    @given(models(kind))
    def check(made: list[ModelDescriptor]) -> None:
        with module_database(kind, tmp_path) as config:
            (tmp_path / "module.db").unlink(missing_ok=True)
            apply_models(config, made)
            assert diff_models(config, made) == []
            apply_models(config, made)
            assert sync_models(config, made) == []
            generate(made, kind)

    check()


def rows(config: DatabaseConfig, query: str) -> list[tuple[Any, ...]]:
    engine = create_engine(config)
    with engine.connect() as connection:
        result = connection.exec_driver_sql(query)
        found = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return found


def test_sync_adds_and_never_takes_away_unasked(config: DatabaseConfig) -> None:
    first = [
        table("authors", ID, column("name", {"Varchar": 50})),
        table(
            "books", ID, column("title", {"Varchar": 50}), column("author", "BigInt"), column("old", {"Varchar": 9}),
            constraints=[{"ForeignKey": {
                "columns": ["author"], "references_table": "authors", "references_columns": ["id"],
                "on_delete": "Cascade",
            }}],
        ),
    ]  # fmt: skip
    second = [
        table("authors", ID, column("name", {"Varchar": 80}, is_nullable=False), column("born", "Date")),
        table(
            "books", ID, column("title", {"Varchar": 50}, default_value="untitled"), column("author", "BigInt"),
            column("pages", {"Integer": "U16"}, is_nullable=False, default_value="1"),
            indexes=[{"columns": ["title"]}], constraints=[{"Check": {"name": "some", "expression": "pages > 0"}}],
        ),
        table("tags", ID, column("word", {"Varchar": 20}, is_unique=True)),
    ]  # fmt: skip
    apply_models(config, first)
    rows(config, "INSERT INTO authors (name) VALUES ('Ada')")
    rows(config, "INSERT INTO books (title, author, old) VALUES ('Notes', 1, 'x')")
    rows(config, "CREATE TABLE not_ours (a INTEGER)")
    planned = sync_models(config, second, dry_run=True)
    texts = [change.text for change in planned]
    assert {"add column authors.born", "drop column books.old", "create table tags"} <= set(texts)
    assert {change.text for change in planned if change.is_removal} >= {"drop column books.old"}
    assert not any("not_ours" in text for text in texts)
    assert rows(config, "SELECT title, old FROM books") == [("Notes", "x")]
    with pytest.raises(ChangesHeldBack, match=r"drop column books\.old"):
        sync_models(config, second)
    assert rows(config, "SELECT title, old FROM books") == [("Notes", "x")]
    done = sync_models(config, second, remove=True)
    assert done[: len(planned)] == planned
    assert diff_models(config, second) == []
    assert rows(config, "SELECT title, author, pages FROM books") == [("Notes", 1, 1)]
    assert rows(config, "SELECT name FROM authors") == [("Ada",)]
    assert rows(config, "SELECT * FROM not_ours") == []


def test_a_change_the_database_refuses_is_told_and_half_done_only_on_mariadb(config: DatabaseConfig) -> None:
    first = [table("t", ID, column("name", {"Varchar": 50}))]
    second = [table("t", ID, column("name", {"Varchar": 50}, is_nullable=False), column("new", "BigInt"))]
    apply_models(config, first)
    rows(config, "INSERT INTO t (name) VALUES (NULL)")
    with pytest.raises(ModelApplyError):
        sync_models(config, second, remove=True)
    assert rows(config, "SELECT name FROM t") == [(None,)]
    if config.db_type != "mysql":
        assert {change.text for change in diff_models(config, second)} == {
            "alter column t.name: forbid NULL", "add column t.new",
        }  # fmt: skip


def test_enumerations_gain_values(config: DatabaseConfig) -> None:
    before = table("t", ID, column("mood", {"Enum": ["mood", ["ok"]]}))
    after = table("t", ID, column("mood", {"Enum": ["mood", ["ok", "it's"]]}))
    apply_models(config, [before])
    if config.db_type == "sqlite":
        pytest.skip("an enumeration is a check there, whose expression is not compared")
    assert len(sync_models(config, [after], remove=True)) == 1
    rows(config, "INSERT INTO t (mood) VALUES ('it''s')")
    assert diff_models(config, [after]) == []


def test_tables_may_refer_to_one_another_and_to_themselves(config: DatabaseConfig) -> None:
    def referring(name: str, other: str) -> ModelDescriptor:
        key = {"columns": ["other"], "references_table": other, "references_columns": ["id"]}
        return table(name, ID, column("other", "BigInt"), constraints=[{"ForeignKey": key}])

    circle = [referring("a", "b"), referring("b", "a"), referring("c", "c")]
    apply_models(config, circle)
    assert diff_models(config, circle) == []


@pytest.mark.parametrize(
    "bad",
    [
        "1); DROP TABLE t; --",
        "a > 0 -- ",
        "a /* ",
        "(a",
        "a)",
        "a > 'x",
        "",
        "a > $1 $$",
        ") OR (1=1",
        "a = `x`",
        "\x00",
    ],
)
def test_no_expression_and_no_default_ends_its_statement(bad: str) -> None:
    with pytest.raises(ModelError):
        validate_model(table("t", column("a", "BigInt"), constraints=[{"Check": {"expression": bad}}]))
    with pytest.raises(ModelError):
        validate_model(table("t", column("a", "BigInt"), indexes=[{"columns": ["a"], "condition": bad}]))
    with pytest.raises(ModelError):
        generate([table("t", column("a", "BigInt", default_value=bad))], "postgres")


@pytest.mark.parametrize(
    ("model", "dialect", "reason"),
    [
        (table("t", column("a", {"Integer": "U64"})), "sqlite", "no unsigned 64-bit"),
        (table("t", column("a", {"Text": None}, is_unique=True)), "mysql", "make 'a' a Varchar"),
        (table("t", column("a", "Json"), indexes=[{"columns": ["a"]}]), "postgres", "JsonB"),
        (
            table("t", column("a", "BigInt"), indexes=[{"columns": ["a"], "index_type": "Gin"}]),
            "sqlite",
            "no index of type",
        ),
        (table("t", ID, column("b", "BigInt", is_primary_key=True)), "sqlite", "only a primary key of one column"),
        (table("t", column("a", "BigInt"), options={"x": "y"}), "mysql", "options x are unknown"),
    ],
)
def test_what_a_database_cannot_do_is_refused(model: ModelDescriptor, dialect: str, reason: str) -> None:
    with pytest.raises(ModelUnsupported, match=reason):
        generate([model], dialect)


@pytest.mark.parametrize(
    "bad",
    [
        [table("x" * 64, column("a", "BigInt"))],
        [table("t", column("a\n", "BigInt"))],
        [table("t", column("a", {"Custom": "int); DROP TABLE t"}))],
        [table("t", column("a", {"Decimal": [4, 5]}))],
        [table("t", column("a", {"Enum": ["e", []]}))],
        [table("t", column("a", "BigInt")), table("T", column("a", "BigInt"))],
        [table("t", column("a", "BigInt"), engine="InnoDB; DROP TABLE t")],
        [table("t", column("a", "BigInt"), constraints=[{"PrimaryKey": {"columns": ["a"]}}], primary_key=["a"])],
    ],
)
def test_a_model_that_is_wrong_is_refused(bad: list[ModelDescriptor]) -> None:
    with pytest.raises(ModelError):  # noqa: PT012
        validate_models(bad)
        generate(bad, "mysql")


def test_yaml_with_serdes_tags_and_json_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "tables:\n- name: t\n  columns:\n  - {name: a, data_type: !Varchar 255, constraints: [NotNull]}\n"
        "  - {name: b, data_type: !Decimal [10, 2]}\n  - {name: c, data_type: BigInt}\n"
        "  - {name: d, data_type: !Text null}\n"
        "  constraints:\n  - !Check {expression: 'c > 0'}\n"
    )
    same = table(
        "t", column("a", {"Varchar": 255}, constraints=["NotNull"]), column("b", {"Decimal": [10, 2]}),
        column("c", "BigInt"), column("d", {"Text": None}), constraints=[{"Check": {"expression": "c > 0"}}],
    )  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps([same.model_dump(by_alias=True)]))
    assert read_models(tmp_path / "a.yaml") == read_models(tmp_path / "a.json") == [same]
    for text in ("{", "[1]", "tables: 5", "!!python/object/apply:os.system [id]", "a: &a [*a]", ""):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(ModelError):
            read_models(tmp_path / "bad.yaml")
    with pytest.raises(ModelError, match="cannot be read"):
        read_models(tmp_path / "absent.yaml")


def test_an_index_descriptor_reads_as_rust_writes_it() -> None:
    written = [
        case for case in cases("12_model_definitions.json") if case["type"] == "IndexDescriptor" and "text" in case
    ]
    assert written
    for case in written:
        assert json.loads(IndexDescriptor.model_validate_json(case["text"]).model_dump_json()) == case["value"]
