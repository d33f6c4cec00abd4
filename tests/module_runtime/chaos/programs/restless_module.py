"""A module that never gives up: ``restless_module.py FILE``. It writes to a lent database and a lent cache for ever.

What was acknowledged stands in FILE before the next is begun: ``PAIR n`` (a transaction of two rows), ``ONE n`` (a
statement), ``CACHED n``; what failed by its code, ``FAILED code``; and the process id, ``PID n``.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING

from aiohttp import web

from sdk.core.errors import SdkError
from sdk.module_runtime.data.cache import CacheConfig, open_cache
from sdk.module_runtime.data.database import DatabaseConfig, open_database
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
    tasks.append(asyncio.create_task(write(context, file)))
    tasks.append(asyncio.create_task(cache(context, file)))
    return web.Application()


async def write(context: ModuleContext, file: int) -> None:
    config, database, number = DatabaseConfig(db_type="mysql", database="main"), None, time.time_ns()
    while True:
        number += 1  # no number is used again: nobody knows what became of a failed one
        try:
            database = database or await open_database(config, context.link)
            async with await database.begin_transaction() as transaction:
                await transaction.execute("INSERT INTO pairs (n, part) VALUES (?, 1)", [number])
                await transaction.execute("INSERT INTO pairs (n, part) VALUES (?, 2)", [number])
                await transaction.commit()
            os.write(file, b"PAIR %d\n" % number)
            await database.execute("INSERT INTO singles (n) VALUES (?)", [number])
            os.write(file, b"ONE %d\n" % number)
        except SdkError as error:
            os.write(file, b"FAILED %s\n" % error.code.encode())
            await asyncio.sleep(PAUSE)


async def cache(context: ModuleContext, file: int) -> None:
    opened, number = None, 0
    while True:
        number += 1
        try:
            opened = opened or await open_cache(CacheConfig(namespace="main"), context.link)
            await opened.set("number", str(number).encode())
            if await opened.get("number") not in (str(number).encode(), None):  # None: the server has forgotten
                os.write(file, b"WRONG %d\n" % number)
            os.write(file, b"CACHED %d\n" % number)
        except SdkError as error:
            os.write(file, b"FAILED %s\n" % error.code.encode())
        await asyncio.sleep(PAUSE)


if __name__ == "__main__":
    sys.exit(ModuleProgram(build, "restless").run([]))
