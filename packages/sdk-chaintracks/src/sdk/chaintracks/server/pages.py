"""Pages for people: a dashboard, and the API to read. Nothing comes from elsewhere; no script stands in them."""

from __future__ import annotations

from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web

from sdk.chaintracks.server.openapi import document

if TYPE_CHECKING:
    from sdk.chaintracks.chain import HeaderChain

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_KINDS: Final = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
_FILES: Final = ("dashboard.html", "dashboard.js", "docs.html", "docs.js", "style.css")


class Pages:
    def __init__(self, chain: HeaderChain) -> None:
        self._chain = chain
        folder = files("sdk.chaintracks.server") / "static"
        self._files = {name: (folder / name).read_bytes() for name in _FILES}
        self._document = orjson.dumps(
            document(chain.rules.chain, version("sdk-chaintracks")), option=orjson.OPT_INDENT_2
        )

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/", self.root),
            web.get("/robots.txt", self.robots),
            web.get("/dashboard", self.dashboard),
            web.get("/docs", self.docs),
            web.get("/openapi.json", self.openapi),
            web.get("/openapi.yaml", self.openapi),
            web.get("/static/{name}", self.static),
        ]

    async def root(self, request: web.Request) -> web.Response:
        """A line of text, as the reference answers; the dashboard for a browser."""
        if "text/html" in request.headers.get("Accept", ""):
            return self._page("dashboard.html")
        return web.Response(
            text=f"Chaintracks {self._chain.rules.chain}Net Block Header Service", headers={"Vary": "Accept"}
        )

    async def robots(self, _: web.Request) -> web.Response:
        return web.Response(text="User-agent: *\nDisallow: /\n")

    async def dashboard(self, _: web.Request) -> web.Response:
        return self._page("dashboard.html")

    async def docs(self, _: web.Request) -> web.Response:
        return self._page("docs.html")

    async def openapi(self, request: web.Request) -> web.Response:
        """JSON is YAML as well."""
        kind = "application/yaml" if request.path.endswith("yaml") else "application/json"
        return web.Response(body=self._document, content_type=kind, headers={"Cache-Control": "no-cache"})

    async def static(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound(text=f"there is no file {name!r:.80}")
        return self._page(name)

    def _page(self, name: str) -> web.Response:
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache", "Vary": "Accept"}
        kind = _KINDS[name.rpartition(".")[2]]
        return web.Response(body=self._files[name], content_type=kind, charset="utf-8", headers=headers)
