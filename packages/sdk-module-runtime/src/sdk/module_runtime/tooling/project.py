"""A new project from a template."""

from __future__ import annotations

import contextlib
import keyword
import os
import re
import shutil
import string
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sdk.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

LONGEST_NAME: Final = 50
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)
_DESCRIPTION: Final = re.compile(r'[^\x00-\x1f\x7f"\\]{1,200}')
_SUFFIX: Final = ".tmpl"
_TAKEN: Final = frozenset({"sdk", "test", "tests", "aiohttp", "pytest"})


def templates() -> dict[str, str]:
    """Name to what it is for."""
    return {
        "basic": "One endpoint and a secret.",
        "notes": "Endpoints over a database.",
    }


def create_project(name: str, parent: Path, *, template: str = "basic", description: str = "") -> Path:
    """A folder ``name`` in ``parent``, whole or not at all. Raises ``ConfigurationError``, also if it is there."""
    if template not in templates():
        raise ConfigurationError(f"there is no template {template!r}; templates are {', '.join(templates())}")
    package = package_of(name)
    description = description or f"The module {name}."
    if _DESCRIPTION.fullmatch(description) is None:
        raise ConfigurationError('a description is one line of at most 200 characters, without " and \\')
    values = {"name": name, "package": package, "description": description, "python": sys.executable}
    target = parent / name
    try:
        parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=parent))
    except OSError as error:
        raise ConfigurationError(f"{parent} cannot be written to: {error.strerror}") from None
    try:
        for path, text in _rendered(template, values):
            (beside / path).parent.mkdir(parents=True, exist_ok=True)
            (beside / path).write_text(text, encoding="utf-8")
        beside.chmod(0o777 & ~_umask())
        beside.rename(target)  # fails on a folder that holds anything
    except OSError as error:
        raise ConfigurationError(f"{target} is there already, or cannot be made: {error.strerror}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(beside)
    return target


def package_of(name: str) -> str:
    """The import name. Raises ``ConfigurationError`` for a name that makes none, or would hide another package."""
    if len(name) > LONGEST_NAME or _NAME.fullmatch(name) is None:
        raise ConfigurationError(f"name a project in kebab-case, as my-module, with at most {LONGEST_NAME} characters")
    package = name.replace("-", "_")
    if keyword.iskeyword(package) or package in sys.stdlib_module_names or package in _TAKEN:
        raise ConfigurationError(f"{package} is the name of something else in Python: choose another")
    return package


def _rendered(template: str, values: dict[str, str]) -> Iterator[tuple[str, str]]:
    root = files("sdk.module_runtime.tooling").joinpath("templates", template)
    for path, source in sorted(_sources(root)):
        place = path.removesuffix(_SUFFIX).replace("src/package/", f"src/{values['package']}/")
        place = ".gitignore" if place == "gitignore" else place
        yield place, string.Template(source.read_text(encoding="utf-8")).substitute(values)


def _sources(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _sources(each, f"{prefix}{each.name}/")
        elif each.name.endswith(_SUFFIX):
            yield prefix + each.name, each


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
