"""The admin API: what runs, how it is, and what an operator may do about it."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import hdrs, web

from sdk.core.errors import InvalidParameter, Unauthorized
from sdk.module_runtime.channels.sockets import bind_unix
from sdk.module_runtime.errors import RuntimeModuleError
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.log_book import LEVELS
from sdk.module_runtime.orchestrator.runtime_metrics import RuntimeMetrics
from sdk.module_runtime.orchestrator.supervisor import NotReplaced
from sdk.service.http_app import ConnectionLog, Limits, create_app, error_response, long_lived, running
from sdk.service.metrics import create_registry

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from aiohttp.typedefs import Handler

    from sdk.module_runtime.orchestrator.journal import Journal
    from sdk.module_runtime.orchestrator.log_book import LogBook
    from sdk.module_runtime.orchestrator.orchestrator import Orchestrator
    from sdk.module_runtime.orchestrator.supervisor import Supervisor
    from sdk.module_runtime.protocol.init import SocketAddress

_MOST: Final = 1_000
_LIMITS: Final = Limits(rate=0, body=1 << 20, in_flight_per_client=128)


class UnknownModule(RuntimeModuleError):
    code = "ERR_UNKNOWN_MODULE"


class Admin:
    """``app`` serves the API; ``stop`` ends the whole stack."""

    def __init__(
        self, orchestrator: Orchestrator, journal: Journal, book: LogBook, stop: asyncio.Event, *, token: str | None
    ) -> None:
        """With ``token`` every request must bear it; without, whoever reaches the socket may ask."""
        self._orchestrator, self._journal, self._book, self._stop = orchestrator, journal, book, stop
        self._token = token
        registry = create_registry("module-runtime")
        registry.register(RuntimeMetrics(orchestrator))
        self.app = create_app(
            "module-runtime",
            [
                web.get("/v1/status", self._status),
                web.get("/v1/modules", self._modules),
                web.get("/v1/modules/{name}", self._module),
                web.get("/v1/modules/{name}/logs", self._logs),
                web.post("/v1/modules/{name}/{action:start|stop|restart|replace}", self._act),
                web.get("/v1/events", self._events),
                web.get("/v1/endpoints", self._endpoints),
                web.post("/v1/stop", self._end),
            ],
            limits=_LIMITS,
            checks={"modules": self._all_ready},
            registry=registry,
            middlewares=[self._known, _refused],
            cors=False,
        )

    @web.middleware
    async def _known(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._token is not None:
            given = request.headers.get(hdrs.AUTHORIZATION, "")
            if not compare_digest(given.encode(), f"Bearer {self._token}".encode()):
                raise Unauthorized("the admin API wants the token of the state folder")
        return await handler(request)

    async def _status(self, request: web.Request) -> web.Response:
        board, registrar = self._orchestrator.board, self._orchestrator.registrar
        registered = registrar.modules if registrar is not None else []
        return _json(
            {
                "pid": os.getpid(),
                "gateway": board.api if self._orchestrator.gateway is not None else None,
                "services": sorted(board.hosts),
                "secrets": board.keeper is not None,
                "providers": [each.model_dump() for each in board.providers.all()],
                "registration": f"{registrar.host}:{registrar.port}" if registrar is not None else None,
                "registered": {each.info.name: each.status for each in registered},
                "modules": {name: each.state.value for name, each in self._orchestrator.modules.items()},
            }
        )

    async def _modules(self, request: web.Request) -> web.Response:
        return _json([self._described(each) for each in self._orchestrator.modules.values()])

    async def _module(self, request: web.Request) -> web.Response:
        return _json(self._described(self._named(request)))

    async def _act(self, request: web.Request) -> web.Response:
        module = self._named(request)
        actions: dict[str, Callable[[], Awaitable[None]]] = {
            "start": module.start_and_wait,
            "stop": module.stop,
            "restart": module.restart,
            "replace": module.replace,
        }
        await actions[request.match_info["action"]]()
        return _json(self._described(module))

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        module, level = self._named(request), request.query.get("level", "debug")
        if level not in LEVELS:
            raise InvalidParameter("level", f"one of {', '.join(LEVELS)}")
        count = _number(request, "lines", 100)
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        with self._book.followed(module.name) as following:  # before the first is written: others come meanwhile
            for line in self._book.last(module.name, count, level):
                await response.write(line.to_json() + b"\n")
            if "follow" in request.query:
                long_lived(request)
                while True:
                    line = await following.get()
                    if LEVELS.index(line.level) >= LEVELS.index(level):
                        await response.write(line.to_json() + b"\n")
        return response

    async def _events(self, request: web.Request) -> web.Response:
        found = await self._journal.events(
            request.query.get("module"), below=_number(request, "below", 0), limit=_number(request, "limit", 100)
        )
        return _json(
            [
                {
                    "id": row.id,
                    "at": row.created_at.isoformat(),
                    "module": row.module_id,
                    "kind": row.kind,
                    "detail": orjson.loads(row.detail),
                }
                for row in found
            ]
        )

    async def _endpoints(self, request: web.Request) -> web.Response:
        gateway = self._orchestrator.gateway
        routes = gateway.endpoints if gateway is not None else []
        return _json(
            [
                {"module": each.module_id, "path": each.path, "methods": sorted(each.methods), "auth": each.auth}
                for each in routes
            ]
        )

    async def _end(self, request: web.Request) -> web.Response:
        self._stop.set()
        return _json({"state": "stopping"})

    async def _all_ready(self) -> str | None:
        late = [name for name, each in self._orchestrator.modules.items() if each.state is not State.READY]
        return f"not ready: {', '.join(late)}" if late else None

    def _named(self, request: web.Request) -> Supervisor:
        name = request.match_info["name"]
        module = self._orchestrator.modules.get(name)
        if module is None:
            raise UnknownModule(f"no module {name[:64]!r} in this stack")
        return module

    def _described(self, module: Supervisor) -> dict[str, Any]:
        instance = module.instance
        conversation = instance.conversation if instance is not None else None
        announcement = conversation.announcement if conversation is not None else None
        return {
            "name": module.name,
            "kind": module.module.kind,
            "state": module.state.value,
            "restarts": module.restarts,
            "pid": instance.process.pid if instance is not None else None,
            "seconds": round(instance.setting.clock() - instance.started_at, 1) if instance is not None else None,
            "listen": announcement.listen if announcement is not None else module.module.ready_url,
            "channels": conversation.channels if conversation is not None else [],
            "endpoints": len(announcement.endpoints) if announcement is not None else 0,
            "ports": self._orchestrator.board.ports.held_by(module.name),
            "messages": conversation.received if conversation is not None else 0,
            "refused": conversation.refused if conversation is not None else 0,
        }


@web.middleware
async def _refused(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except UnknownModule as error:
        return error_response(404, error.code, str(error), "")
    except NotReplaced as error:
        return error_response(409, error.code, str(error), "")


@asynccontextmanager
async def serving(admin: Admin, path: str) -> AsyncIterator[None]:
    """On a unix socket that only this user can open."""
    runner = web.AppRunner(
        admin.app, handle_signals=False, access_log=None, logger=ConnectionLog(), shutdown_timeout=1.0
    )
    await runner.setup()
    try:
        await web.SockSite(runner, bind_unix(path)).start()
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving_tcp(admin: Admin, address: SocketAddress) -> AsyncIterator[str]:
    """The URL where it is served."""
    async with running(admin.app, address.host, address.port, drain=1.0) as server:
        yield server.url


def _number(request: web.Request, name: str, default: int) -> int:
    given = request.query.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdecimal()) or len(given) > 18:
        raise InvalidParameter(name, "a number")
    return min(int(given), _MOST) if name != "below" else int(given)


def _json(value: Iterable[Any] | dict[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")
