"""The rules that keep one namespace shared by several distributions."""

from __future__ import annotations

import importlib
import tomllib
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECTS = sorted(ROOT.glob("packages/*/pyproject.toml"))
SIBLINGS = {"sdk-wallet", "sdk-chaintracks", "sdk-monitor", "sdk-module-runtime"}


def load(pyproject: Path) -> dict[str, object]:
    project = tomllib.loads(pyproject.read_text())["project"]
    assert isinstance(project, dict)
    return project


def portion(pyproject: Path) -> str:
    return str(load(pyproject)["name"]).removeprefix("sdk-").replace("-", "_")


def test_the_namespace_is_implicit() -> None:
    sdk = importlib.import_module("sdk")
    assert getattr(sdk, "__file__", None) is None
    assert not list(ROOT.glob("packages/*/src/sdk/__init__.py"))


@pytest.mark.parametrize("pyproject", PROJECTS, ids=lambda path: path.parent.name)
def test_each_distribution_owns_one_portion(pyproject: Path) -> None:
    inside = [each.name for each in (pyproject.parent / "src/sdk").iterdir() if each.name != "__pycache__"]
    assert inside == [portion(pyproject)]
    wheel = tomllib.loads(pyproject.read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["src/sdk"]


@pytest.mark.parametrize("pyproject", PROJECTS, ids=lambda path: path.parent.name)
def test_each_distribution_is_typed_versioned_documented_and_licensed(pyproject: Path) -> None:
    assert (files(f"sdk.{portion(pyproject)}") / "py.typed").is_file()
    assert distribution(str(load(pyproject)["name"])).version == load(pyproject)["version"]
    assert len((pyproject.parent / "README.md").read_text()) > 400
    assert "MIT" in (pyproject.parent / "LICENSE").read_text()


@pytest.mark.parametrize("pyproject", PROJECTS, ids=lambda path: path.parent.name)
def test_dependencies_are_ranges_and_siblings_stay_apart(pyproject: Path) -> None:
    project = load(pyproject)
    listed = project["dependencies"]
    assert isinstance(listed, list)
    requirements = [Requirement(each) for each in listed]
    assert all(len(each.specifier) and "==" not in str(each.specifier) for each in requirements)
    assert all("<" in str(each.specifier) for each in requirements if each.name.startswith("sdk-"))
    if project["name"] in SIBLINGS:
        assert not SIBLINGS & {each.name for each in requirements}


def test_core_needs_nothing_of_weight() -> None:
    listed = load(ROOT / "packages/sdk-core/pyproject.toml")["dependencies"]
    assert isinstance(listed, list)
    assert [Requirement(each).name for each in listed] == ["pydantic"]


@pytest.mark.parametrize("pyproject", PROJECTS, ids=lambda path: path.parent.name)
def test_every_entry_point_loads(pyproject: Path) -> None:
    points = distribution(str(load(pyproject)["name"])).entry_points
    for point in points:
        assert point.load() is not None, point
