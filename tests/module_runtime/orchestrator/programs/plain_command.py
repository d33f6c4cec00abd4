"""A program that knows nothing of orchestrators: ``plain_command.py PORT`` serves there until SIGTERM."""

from __future__ import annotations

import os
import sys

from aiohttp import web


async def pid(request: web.Request) -> web.Response:
    return web.Response(text=str(os.getpid()))


if __name__ == "__main__":
    app = web.Application()
    app.add_routes([web.get("/{path:.*}", pid)])
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
