"""A module that never gives up: ``restless_module.py FILE``. It writes to a database and a cache for ever.

Those are lent by its orchestrator, the database as LENT says; with DATABASE and CACHE in its environment it reaches
them itself. Each is the JSON of a configuration.

What was acknowledged stands in FILE before the next is begun: ``PAIR n`` (a transaction of two rows), ``ONE n`` (a
statement), ``CACHED n``; what failed by its code, ``FAILED code``; an error that is none of ours, ``BROKEN error``; a
commit whose end nobody knows, ``UNKNOWN n``; and the process id, ``PID n``.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import traceback
from functools import partial
from typing import TYPE_CHECKING

from aiohttp import web

from sdk.core.errors import SdkError
from sdk.module_runtime.data.cache import CacheConfig, open_cache
from sdk.module_runtime.data.database import CommitUnknown, DatabaseConfig, open_database
from sdk.module_runtime.module.program import ModuleProgram

if TYPE_CHECKING:
    from sdk.module_runtime.module.context import ModuleContext

PAUSE = 0.05
"""After a failure, before the next try."""
tasks: list[asyncio.Task[None]] = []


async def build(context: ModuleContext) -> web.Application:
    assert context.link is not None
    file = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b"PID %d\n" % os.getpid())
    for work in (write, cache):
        tasks.append(asyncio.create_task(work(context, file)))
        tasks[-1].add_done_callback(partial(broken, file))
    return web.Application()


def broken(file: int, task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        os.write(file, b"BROKEN %s\n" % repr(task.exception()).encode())
        traceback.print_exception(task.exception())


async def write(context: ModuleContext, file: int) -> None:
    given = os.environ.get("DATABASE")
    config = DatabaseConfig.model_validate_json(given or os.environ["LENT"])
    database, number = None, time.time_ns()
    while True:
        number += 1  # no number is used again: nobody knows what became of a failed one
        try:
            database = database or await open_database(config, None if given else context.link)
            async with await database.begin_transaction() as transaction:
                await transaction.execute("INSERT INTO pairs (n, part) VALUES (?, 1)", [number])
                await transaction.execute("INSERT INTO pairs (n, part) VALUES (?, 2)", [number])
                try:
                    await transaction.commit()
                except CommitUnknown:
                    os.write(file, b"UNKNOWN %d\n" % number)
                    raise
            os.write(file, b"PAIR %d\n" % number)
            await database.execute("INSERT INTO singles (n) VALUES (?)", [number])
            os.write(file, b"ONE %d\n" % number)
        except SdkError as error:
            os.write(file, b"FAILED %s\n" % error.code.encode())
            await asyncio.sleep(PAUSE)


async def cache(context: ModuleContext, file: int) -> None:
    given = os.environ.get("CACHE")
    config = CacheConfig.model_validate_json(given) if given else CacheConfig(namespace="main")
    opened, number = None, 0
    while True:
        number += 1
        try:
            opened = opened or await open_cache(config, None if given else context.link)
            await opened.set("number", str(number).encode())
            if await opened.get("number") not in (str(number).encode(), None):  # None: the server has forgotten
                os.write(file, b"WRONG %d\n" % number)
            os.write(file, b"CACHED %d\n" % number)
        except SdkError as error:
            os.write(file, b"FAILED %s\n" % error.code.encode())
        await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    sys.exit(ModuleProgram(build, "restless").run([]))
