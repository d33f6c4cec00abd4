"""Notes in a database and hits in a cache, both lent by the orchestrator."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from aiohttp import web

from sdk.core.errors import SdkError
from sdk.module_runtime.data.cache import CacheConfig, open_cache
from sdk.module_runtime.data.database import DatabaseConfig, open_database
from sdk.module_runtime.module.program import module

if TYPE_CHECKING:
    from sdk.module_runtime.module.context import ModuleContext


@module(health=None, metrics=None)
async def notes(context: ModuleContext) -> web.Application:
    database = await open_database(DatabaseConfig(db_type="sqlite", database="main"), context.link)
    cache = await open_cache(CacheConfig(cache_type="InMemory", namespace="hits"), context.link)
    await database.execute("CREATE TABLE IF NOT EXISTS notes (text TEXT NOT NULL)")

    async def add(request: web.Request) -> web.Response:
        await database.execute("INSERT INTO notes (text) VALUES (?)", [await request.text()])
        return web.Response(status=201)

    async def listed(request: web.Request) -> web.Response:
        rows = await database.query("SELECT text FROM notes ORDER BY rowid")
        return web.json_response([row.get_string("text") for row in rows])

    async def hit(request: web.Request) -> web.Response:
        return web.json_response(await cache.increment("hits"))

    async def die_in_a_transaction(request: web.Request) -> web.Response:
        transaction = await database.begin_transaction()
        await transaction.execute("INSERT INTO notes (text) VALUES (?)", ["never committed"])
        os._exit(9)

    async def reach_beyond(request: web.Request) -> web.Response:
        try:
            await open_database(DatabaseConfig(db_type="sqlite", database="other"), context.link)
        except SdkError as error:
            return web.json_response(str(error), status=403)
        return web.Response()

    app = web.Application()
    app.add_routes(
        [
            web.post("/notes", add),
            web.get("/notes", listed),
            web.post("/hits", hit),
            web.post("/die", die_in_a_transaction),
            web.post("/beyond", reach_beyond),
        ]
    )
    return app


if __name__ == "__main__":
    sys.exit(notes.run())
