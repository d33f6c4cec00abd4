"""A module that measures its database and cache, through its orchestrator and directly, and says so on stderr."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sdk.module_runtime.data.cache import CacheConfig, open_cache
from sdk.module_runtime.data.database import DatabaseConfig, open_database
from sdk.module_runtime.module.program import ModuleProgram

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sdk.module_runtime.module.context import ModuleContext

SECONDS = 1.5
QUERY = "SELECT id, name, ratio FROM t WHERE id = ?"


async def build(context: ModuleContext) -> web.Application:
    asyncio.get_running_loop().call_soon(lambda: tasks.append(asyncio.create_task(measure(context))))
    return web.Application()


async def measure(context: ModuleContext) -> None:
    found: dict[str, float] = {}
    keys = itertools.cycle(f"key{number}" for number in range(100))
    path, redis = sys.argv[1], json.loads(sys.argv[2])
    direct = await open_database(DatabaseConfig(db_type="sqlite", database=path))
    await direct.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, ratio REAL)")
    await direct.execute("INSERT INTO t VALUES (1, 'one', 1.5)")
    proxied = await open_database(DatabaseConfig(db_type="sqlite", database="main"), context.link)
    found["sqlite direct"] = await rate(lambda: direct.query_one(QUERY, [1]), 1)
    found["sqlite proxied"] = await rate(lambda: proxied.query_one(QUERY, [1]), 1)
    found["sqlite proxied 64"] = await rate(lambda: proxied.query_one(QUERY, [1]), 64)
    if redis is not None:
        cache = await open_cache(CacheConfig(namespace="main"), context.link)
        await cache.set_many({f"key{number}": b"value" * 10 for number in range(100)})
        found["redis proxied"] = await rate(lambda: cache.get(next(keys)), 1)
        found["redis proxied 64"] = await rate(lambda: cache.get(next(keys)), 64)
        async with await open_cache(CacheConfig(cache_type="Redis", namespace="bench", **redis)) as own:
            await own.set_many({f"key{number}": b"value" * 10 for number in range(100)})
            found["redis direct 64"] = await rate(lambda: own.get(next(keys)), 64)
    sys.stderr.write(f"MEASURED {json.dumps(found)}\n")
    sys.stderr.flush()


async def rate(work: Callable[[], Awaitable[Any]], together: int) -> float:
    """How often a second, with ``together`` on their way."""
    await work()
    done, start = 0, time.perf_counter()
    end = start + SECONDS

    async def one() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await work()
            done += 1

    await asyncio.gather(*(one() for _ in range(together)))
    return done / (time.perf_counter() - start)


tasks: list[asyncio.Task[None]] = []

if __name__ == "__main__":
    program = ModuleProgram(build, "measured")
    sys.exit(program.run([]))
