"""Every published vector runs, or stands in the ledger with the reason."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from support.corpus import ledger
from support.requirements import vectors

HERE = Path(__file__).parent
READERS = ("cases", "rows", "vectors")


def loops(tree: ast.AST) -> dict[str, list[str]]:
    """Names that run over a literal list of strings in a comprehension."""
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.comprehension(target=ast.Name(id=name), iter=ast.Tuple(elts=items) | ast.List(elts=items)):
                found.setdefault(name, []).extend(str(each.value) for each in items if isinstance(each, ast.Constant))
    return found


def spelled(argument: ast.expr, names: dict[str, list[str]]) -> list[str]:
    if isinstance(argument, ast.Constant):
        return [str(argument.value)]
    if isinstance(argument, ast.JoinedStr) and isinstance(argument.values[0], ast.FormattedValue):
        value = argument.values[0].value
        if isinstance(value, ast.Name):
            return [name + ".json" for name in names.get(value.id, [])]
    return []


def files_that_run() -> set[str]:
    """Files under ``brc`` that a test names in ``cases("brc", …)`` or ``rows("brc", …)``."""
    found: set[str] = set()
    for source in HERE.parent.rglob("test_*.py"):
        tree = ast.parse(source.read_text())
        names = loops(tree)
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in READERS):
                continue
            parts = [spelled(argument, names) for argument in node.args]
            if len(parts) > 1 and parts[0] == ["brc"]:
                folder = "/".join(part[0] for part in parts[1:-1])
                existing = {f"{folder}/{last}" for last in parts[-1]}
                found |= {each for each in existing if each.endswith(".json")}
    return found


def test_every_vector_runs_or_stands_in_the_ledger() -> None:
    root = vectors("brc")
    running, listed = files_that_run(), ledger()
    silent: list[str] = []
    for path in sorted(root.rglob("*.json")):
        name = path.relative_to(root).as_posix()
        ids = [each["id"] for each in json.loads(path.read_text())["vectors"]]
        if name not in running and name not in listed:
            silent += [each for each in ids if each not in listed]
    assert silent == [], "run them, or say in tests/conformance/ledger.toml why not"


def test_the_ledger_gives_reasons() -> None:
    for name, reason in ledger().items():
        kind, _, why = reason.partition(": ")
        assert kind in ("later", "defective"), name
        assert len(why) > 10, name


def test_the_ledger_names_no_file_that_runs() -> None:
    assert files_that_run() & set(ledger()) == set()
