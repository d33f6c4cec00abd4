"""A module's database and cache through its orchestrator, in processes of their own, beside reaching them directly."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sdk.module_runtime.data.database.urls import url_of
from sdk.module_runtime.orchestrator.orchestrator import run_stack
from sdk.module_runtime.orchestrator.services import Services, open_data
from sdk.module_runtime.orchestrator.stack import parse_stack
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from support.module_databases import module_database

if TYPE_CHECKING:
    from collections.abc import Callable

MODULE = Path(__file__).parent / "_data_module.py"
PAYMENTS = Path(__file__).parent / "_payments_module.py"


async def run(report: Callable[..., None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = await _measure(Path(folder))
    times = found["sqlite direct"] / found["sqlite proxied"]
    report("SQLite query of one row, proxied: times slower than direct", times, "times", limit=5)
    report("SQLite query of one row, proxied, 64 in flight", found["sqlite proxied 64"], "/s", limit=3_000)
    if "redis proxied 64" in found:
        report("Redis get, proxied, 64 in flight", found["redis proxied 64"], "/s", limit=5_000)
        report("Redis get, direct, 64 in flight", found["redis direct 64"], "/s")
    await _payments(report)


async def _payments(report: Callable[..., None]) -> None:
    """The wallet's storage on a lent database, and on the same kind of its own."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("SDK_BENCH_DIR")) as folder, ExitStack() as servers:
        lent: dict[str, Any] = {"sqlite": {"db_type": "sqlite", "database": f"{folder}/lent.sqlite"}}
        urls = {"sqlite direct": f"sqlite:///{folder}/direct.sqlite", "sqlite proxied": "lent+sqlite://sqlite"}
        environ = dict(os.environ)
        if (_services() / "postgresql.url").exists():
            own, other = (servers.enter_context(module_database("postgres", Path(folder))) for _ in range(2))
            environ["PASSWORD"] = other.password or ""
            urls |= {"postgresql direct": url_of(own, own.password), "postgresql proxied": "lent+postgresql://server"}
            lent["server"] = other.model_dump(exclude={"password", "pool"}) | {"password_environment": "PASSWORD"}
        for scope in lent.values():
            scope |= {"pool": {"max_connections": 20}, "limits": {"connections": 20}}
        command = [sys.executable, str(PAYMENTS), json.dumps(urls)]
        found = await _measured({"kind": "module", "command": command, "databases": lent}, environ)
    for name in sorted({each.partition(" ")[0] for each in found}):
        label = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[name]
        for suffix, how in (("", "one after the other"), (" at once", "16 at once")):
            if f"{name} proxied{suffix}" in found:
                peers = {"direct": found[f"{name} direct{suffix}"]}
                report(f"payments on lent {label}, {how}", found[f"{name} proxied{suffix}"], "/s", peers)


async def _measure(folder: Path) -> dict[str, float]:
    redis = _redis()
    module: dict[str, Any] = {
        "kind": "module",
        "command": [sys.executable, str(MODULE), str(folder / "a.db"), json.dumps(redis)],
        "databases": {"main": {"db_type": "sqlite", "database": str(folder / "a.db")}},
    }
    if redis is not None:
        module["caches"] = {"main": {"cache_type": "Redis", **redis}}
    return await _measured(module, dict(os.environ))


async def _measured(module: dict[str, Any], environ: dict[str, str]) -> dict[str, float]:
    """What a module writes as ``MEASURED {…}``."""
    stack, stop, lines = parse_stack({"modules": {"measured": module}}, "benchmark"), asyncio.Event(), []
    services = Services()
    open_data(stack, environ, services)
    measured: dict[str, float] = {}

    def on_line(_module: str, _level: str, line: str) -> None:
        lines.append(line)
        if line.startswith("MEASURED "):
            measured.update(json.loads(line.removeprefix("MEASURED ")))
            stop.set()

    async with asyncio.timeout(300):
        await run_stack(stack, stop, environ, board=Switchboard(services.hosts), on_line=on_line)
    assert measured, lines
    return measured


def _redis() -> dict[str, Any] | None:
    folder = _services()
    if not (folder / "redis.url").exists():
        return None
    url = urlsplit((folder / "redis.url").read_text().strip())
    return {"hosts": [url.hostname], "port": url.port}


def _services() -> Path:
    return Path(os.environ.get("SDK_SERVICES", Path(__file__).parents[1] / ".services"))
