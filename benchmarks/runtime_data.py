"""A module's database and cache through its orchestrator, in processes of their own, beside reaching them directly."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sdk.module_runtime.orchestrator.orchestrator import run_stack
from sdk.module_runtime.orchestrator.services import Services, open_data
from sdk.module_runtime.orchestrator.stack import parse_stack
from sdk.module_runtime.orchestrator.switchboard import Switchboard

if TYPE_CHECKING:
    from collections.abc import Callable

MODULE = Path(__file__).parent / "_data_module.py"


async def run(report: Callable[..., None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = await _measure(Path(folder))
    times = found["sqlite direct"] / found["sqlite proxied"]
    report("SQLite query of one row, proxied: times slower than direct", times, "times", limit=5)
    report("SQLite query of one row, proxied, 64 in flight", found["sqlite proxied 64"], "/s", limit=3_000)
    if "redis proxied 64" in found:
        report("Redis get, proxied, 64 in flight", found["redis proxied 64"], "/s", limit=5_000)
        report("Redis get, direct, 64 in flight", found["redis direct 64"], "/s")


async def _measure(folder: Path) -> dict[str, float]:
    redis = _redis()
    module: dict[str, Any] = {
        "kind": "module",
        "command": [sys.executable, str(MODULE), str(folder / "a.db"), json.dumps(redis)],
        "databases": {"main": {"db_type": "sqlite", "database": str(folder / "a.db")}},
    }
    if redis is not None:
        module["caches"] = {"main": {"cache_type": "Redis", **redis}}
    stack, stop, lines = parse_stack({"modules": {"measured": module}}, "benchmark"), asyncio.Event(), []
    services = Services()
    open_data(stack, os.environ, services)
    measured: dict[str, float] = {}

    def on_line(_module: str, _level: str, line: str) -> None:
        lines.append(line)
        if line.startswith("MEASURED "):
            measured.update(json.loads(line.removeprefix("MEASURED ")))
            stop.set()

    async with asyncio.timeout(120):
        await run_stack(stack, stop, dict(os.environ), board=Switchboard(services.hosts), on_line=on_line)
    assert measured, lines
    return measured


def _redis() -> dict[str, Any] | None:
    folder = Path(os.environ.get("SDK_SERVICES", Path(__file__).parents[1] / ".services"))
    if not (folder / "redis.url").exists():
        return None
    url = urlsplit((folder / "redis.url").read_text().strip())
    return {"hosts": [url.hostname], "port": url.port}
