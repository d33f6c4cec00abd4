"""Vectors as pytest parameters, so that each has a line of its own; and the ledger of those that do not run."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

from support.requirements import ROOT, vectors, vectors_root

LEDGER = ROOT / "tests" / "conformance" / "ledger.toml"


def ledger() -> dict[str, str]:
    """Vector id to ``later: …`` or ``defective: …``."""
    return tomllib.loads(LEDGER.read_text()) if LEDGER.exists() else {}


def cases(*parts: str, listed: bool = False) -> list[Any]:
    """``(vector)`` parameters of one corpus file; those in the ledger are left out unless ``listed``.

    Without the corpus there is one parameter, ``None``, which ``vector`` turns into a skip (or a failure in CI).
    """
    path = vectors_root().joinpath(*parts)
    if not path.exists():
        return [pytest.param(None, id="corpus-missing")]
    left_out = set() if listed else set(ledger())
    return [pytest.param(v, id=v["id"]) for v in json.loads(path.read_text())["vectors"] if v["id"] not in left_out]


def rows(*parts: str) -> Any:
    """A whole JSON file of the corpus (skips without it)."""
    return json.loads(vectors(*parts).read_text())


def present(vector: dict[str, Any] | None) -> dict[str, Any]:
    if vector is None:
        vectors("the conformance corpus")
    assert vector is not None
    return vector
