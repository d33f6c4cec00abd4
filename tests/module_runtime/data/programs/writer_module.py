"""A module that writes through its orchestrator until it is killed: ``writer_module.py DB_TYPE FILE``.

A transaction writes two rows; a statement that stands alone writes one. What was acknowledged stands in FILE before
the next is begun: ``PAIR 7``, ``ONE 8``; and the process id, ``PID 4711``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from aiohttp import web

from sdk.module_runtime.data.database import DatabaseConfig, open_database
from sdk.module_runtime.module.program import ModuleProgram

if TYPE_CHECKING:
    from sdk.module_runtime.module.context import ModuleContext

tasks: list[asyncio.Task[None]] = []


async def build(context: ModuleContext) -> web.Application:
    assert context.link is not None
    tasks.append(asyncio.create_task(write(context)))
    return web.Application()


async def write(context: ModuleContext) -> None:
    file = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, b"PID %d\n" % os.getpid())
    config = DatabaseConfig(db_type=sys.argv[1], database="main")  # type: ignore[arg-type]
    database = await open_database(config, context.link)
    row = await database.query_one("SELECT MAX(n) AS n FROM pairs")
    number = (row.try_get_i64("n") if row is not None else None) or 0
    while True:
        number += 10  # what was not acknowledged keeps its number
        async with await database.begin_transaction() as transaction:
            await transaction.execute("INSERT INTO pairs (n, part) VALUES (?, 1)", [number])
            await transaction.execute("INSERT INTO pairs (n, part) VALUES (?, 2)", [number])
            await transaction.commit()
        os.write(file, b"PAIR %d\n" % number)
        await database.execute("INSERT INTO singles (n) VALUES (?)", [number])
        os.write(file, b"ONE %d\n" % number)


if __name__ == "__main__":
    sys.exit(ModuleProgram(build, "writer").run([]))
