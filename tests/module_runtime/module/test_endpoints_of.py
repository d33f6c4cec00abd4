"""What a module announces of an aiohttp application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from sdk.module_runtime.module.http import endpoints_of

if TYPE_CHECKING:
    from pathlib import Path


async def nothing(_request: web.Request) -> web.Response:
    return web.Response()


def test_paths_are_written_so_that_a_gateway_knows_what_follows_them(tmp_path: Path) -> None:
    inner = web.Application()
    inner.router.add_get("/notes/{id}", nothing)
    app = web.Application()
    app.router.add_get("/", nothing)
    app.router.add_post("/", nothing)
    app.router.add_get("/number/{n:[0-9]+}", nothing)
    app.router.add_get("/files/{path:.+}", nothing)
    app.router.add_get("/{kind}/of/{rest:.*}", nothing)
    app.router.add_static("/static", tmp_path)
    app.add_subapp("/v1", inner)
    found = {each.path: each.methods for each in endpoints_of(app)}
    assert found == {
        "/": ["HEAD", "GET", "POST"],
        "/number/{n}": ["HEAD", "GET"],
        "/files/{path:.*}": ["HEAD", "GET"],
        "/{kind}/of/{rest:.*}": ["HEAD", "GET"],
        "/static/{path:.*}": ["GET", "HEAD"],
        "/v1/notes/{id}": ["HEAD", "GET"],
    }
