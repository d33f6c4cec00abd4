"""``sdk runtime models`` as a person uses it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from sdk.module_runtime.cli import command
from support.module_databases import module_database

if TYPE_CHECKING:
    from pathlib import Path

FIRST = {"tables": [{"name": "notes", "columns": [
    {"name": "id", "data_type": {"Integer": "I64"}, "is_primary_key": True, "auto_increment": True},
    {"name": "text", "data_type": {"Varchar": 80}},
]}]}  # fmt: skip


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, ["models", *arguments])
    return result.exit_code, result.output + (str(result.exception) if result.exception is not None else "")


def test_from_a_file_to_a_database_and_on_to_its_next_form(tmp_path: Path) -> None:
    file, url = tmp_path / "models.json", f"sqlite:///{tmp_path}/a.db"
    file.write_text(json.dumps(FIRST))
    assert run("validate", str(file)) == (0, "1 tables, nothing wrong\n")
    code, script = run("generate", str(file), "--dialect", "postgres")
    assert code == 0
    assert "BIGSERIAL" in script
    assert "PRIMARY KEY (id)" in script
    assert run("diff", str(file), "--database", url)[1].startswith("+ create table notes\n")
    assert run("apply", str(file), "--database", url) == (0, "")
    assert run("diff", str(file), "--database", url) == (0, "")
    second: dict[str, Any] = json.loads(json.dumps(FIRST))
    second["tables"][0]["columns"][1] = {"name": "body", "data_type": {"Text": None}}
    file.write_text(json.dumps(second))
    changes = "+ add column notes.body\n- drop column notes.text\n"
    assert run("sync", str(file), "--database", url, "--dry-run") == (0, changes)
    code, said = run("sync", str(file), "--database", url)
    assert code != 0
    assert "nothing was changed: drop column notes.text" in said
    assert run("sync", str(file), "--database", url, "--remove") == (0, changes)
    assert run("diff", str(file), "--database", url) == (0, "")


def test_servers_are_reached_by_url_and_a_wrong_one_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "models.json"
    file.write_text(json.dumps(FIRST))
    with module_database("postgres", tmp_path) as config:
        url = f"postgresql+psycopg://{config.username}:{config.password}@{config.host}:{config.port}/{config.database}"
        assert run("apply", str(file), "--database", url) == (0, "")
        assert run("diff", str(file), "--database", url) == (0, "")
    for wrong in ("oracle://u:hush@h/d", "hush", "postgresql://u:hush@h/", "postgresql://u:hush@h/d?odd=1"):
        code, said = run("diff", str(file), "--database", wrong)
        assert code != 0
        assert "hush" not in said
