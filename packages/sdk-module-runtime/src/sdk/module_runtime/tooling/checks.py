"""Looks for what would fail later: in a stack file, and in the project of a module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any, Final

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.orchestrator.stack import environment_of, program_of, read_stack
from sdk.module_runtime.protocol.init import parse_socket_address

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from sdk.module_runtime.orchestrator.stack import Stack

DISTRIBUTION: Final = "sdk-module-runtime"
GROUP: Final = "sdk.module_runtime.modules"
_IMPORT_LIMIT: Final = 60.0
_LARGEST: Final = 1 << 20


def check(path: Path, environ: Mapping[str, str] | None = None) -> list[str]:
    """Problems of a stack file, or of a folder with ``pyproject.toml`` and perhaps ``stack.toml``; empty if none."""
    environ = os.environ if environ is None else environ
    if not path.is_dir():
        return list(_stack_problems(path, environ))
    found = [] if (path / "pyproject.toml").exists() else [f"{path} has no pyproject.toml"]
    if not found:
        found += _project_problems(path)
    if (path / "stack.toml").exists():
        found += _stack_problems(path / "stack.toml", environ)
    return found


def _stack_problems(path: Path, environ: Mapping[str, str]) -> Iterator[str]:
    try:
        stack = read_stack(path)
    except ConfigurationError as error:
        yield str(error)
        return
    for name, module in stack.modules.items():
        try:
            program_of(name, module, environment_of(name, module, environ))
        except ConfigurationError as error:
            yield f"{path}: {error}"
    yield from (f"{path}: {each}" for each in _collisions(stack))


def _collisions(stack: Stack) -> Iterator[str]:
    """Two that want one address, or one beginning of paths."""
    wanted: list[tuple[str, str | None]] = []
    if stack.gateway is not None:
        wanted += [("gateway", stack.gateway.listen), ("gateway.http_tcp", stack.gateway.http_tcp)]
    if stack.registration is not None:
        wanted.append(("registration", stack.registration.listen))
    wanted += [(f"modules.{name}", each.listen) for name, each in stack.modules.items() if each.kind == "module"]
    addresses: dict[str, str] = {}
    for name, listen in wanted:
        address = parse_socket_address(listen or "")
        if listen is None or (address is not None and address.port == 0):
            continue
        other = addresses.setdefault(listen, name)
        if other != name:
            yield f"{other} and {name} both listen at {listen}"


def _project_problems(folder: Path) -> Iterator[str]:
    where = folder / "pyproject.toml"
    try:
        if where.stat().st_size > _LARGEST:
            raise ConfigurationError(f"{where} is larger than 1 MiB")
        document = tomllib.loads(where.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        yield f"{where} is not TOML: {error}"
        return
    except (OSError, ConfigurationError) as error:
        yield f"{where} cannot be read: {error}"
        return
    project = document.get("project")
    if not isinstance(project, dict):
        yield f"{where} has no table [project]"
        return
    needed = project.get("dependencies", [])
    if not any(isinstance(each, str) and each.lower().startswith(DISTRIBUTION) for each in needed):
        yield f"{where}: add {DISTRIBUTION} to dependencies"
    points = project.get("entry-points", {}).get(GROUP, {})
    if not points:
        yield f'{where}: name the module under [project.entry-points."{GROUP}"]'
    for name, target in points.items():
        yield from (f"{where}: module {name}: {each}" for each in _module_problems(folder, str(target)))


_LOAD: Final = """
import importlib, json, sys
module, _, attribute = sys.argv[1].partition(":")
found = importlib.import_module(module)
for part in attribute.split("."):
    found = getattr(found, part)
print(json.dumps({"kind": type(found).__name__, "name": getattr(found, "name", "")}))
"""


def _module_problems(folder: Path, target: str) -> Iterator[str]:
    """Loads it in a process of its own, as whatever it does on import is not ours."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder.absolute() / "src"), str(folder.absolute())]),
    }
    try:
        done = subprocess.run(
            [sys.executable, "-c", _LOAD, target],
            capture_output=True,
            text=True,
            timeout=_IMPORT_LIMIT,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        yield f"importing {target} takes more than {_IMPORT_LIMIT:g} s"
        return
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it ended without a word"]
        yield f"{target} cannot be imported: {last[0][:300]}"
        return
    try:
        found: Any = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        yield f"{target} writes to standard output when it is imported, which belongs to the orchestrator"
        return
    if len(done.stdout.splitlines()) > 1:
        yield f"{target} writes to standard output when it is imported, which belongs to the orchestrator"
    if found["kind"] != "ModuleProgram":
        yield f"{target} is a {found['kind']}, not a module: decorate its function with @module"
