"""A module as a program: under an orchestrator when one started it, else on its own.

    @module(secrets=["API_KEY"])
    async def notes(context: ModuleContext) -> web.Application:
        ...

    if __name__ == "__main__":
        sys.exit(notes.run())

An orchestrator starts a module with pipes; a person, a service manager or a container does not. ``--standalone`` and
``--listen`` decide otherwise. With ``--orchestrator`` a module that somebody else started registers with one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import stat
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from sdk.core.errors import ConfigurationError, SdkError
from sdk.module_runtime.channels.exported import ExportedChannels
from sdk.module_runtime.channels.http_tcp_server import serving_frames
from sdk.module_runtime.module.bootstrap import run_under_orchestrator, until_signalled
from sdk.module_runtime.module.context import ModuleContext, ServeOptions
from sdk.module_runtime.module.http import serving
from sdk.module_runtime.module.last_resort import end_without_orchestrator
from sdk.module_runtime.module.links import Links
from sdk.module_runtime.module.stdio import take_over
from sdk.module_runtime.protocol.init import parse_socket_address
from sdk.module_runtime.secrets.client import SecretClient
from sdk.module_runtime.secrets.providers.chosen import chosen_provider
from sdk.module_runtime.secrets.redaction import install_secret_redaction_filter, redact_secrets
from sdk.service.logging import configure_logging, get_logger
from sdk.service.metrics import CONTENT_TYPE, create_registry, render

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from sdk.module_runtime.module.context import Build
    from sdk.module_runtime.ports import OrchestratorLink
    from sdk.module_runtime.protocol.init import SocketAddress

_log = get_logger(__name__)
DEFAULT_LISTEN: Final = "127.0.0.1:8080"
LISTEN: Final = "SDK_MODULE_LISTEN"
ORCHESTRATOR: Final = "SDK_MODULE_ORCHESTRATOR"


@dataclass(frozen=True, slots=True)
class ModuleProgram:
    """``health`` and ``metrics`` are paths, added unless the application routes them itself; None for without.

    ``prefix``, as ``/v1``, stands before every path of the application, not before those two.
    """

    build: Build
    name: str
    secrets: tuple[str, ...] = ()
    options: ServeOptions = field(default_factory=ServeOptions)
    health: str | None = "/health"
    metrics: str | None = "/metrics"
    prefix: str = ""
    version: str = "0"

    def run(self, arguments: Sequence[str] | None = None) -> int:
        """Until told to end; the exit status. What stops a start is one line on stderr."""
        given = _parser(self.name).parse_args(arguments)
        orchestrator = given.orchestrator or os.environ.get(ORCHESTRATOR)
        listen = given.listen or os.environ.get(LISTEN)
        standalone = bool(given.standalone or orchestrator or listen) or not _started_with_pipes()
        configure_logging(redact=redact_secrets)
        install_secret_redaction_filter()  # uncaught exceptions, and handlers that others have made
        try:
            if standalone:
                asyncio.run(self._run_alone(listen or DEFAULT_LISTEN, orchestrator))
            else:
                lines = take_over()
                end_without_orchestrator(
                    lines[0], 2 * self.options.drain + self.options.patience
                )  # messages, then sockets
                asyncio.run(run_under_orchestrator(self._application, self.secrets, self.options, *lines))
        except SdkError as error:
            sys.stderr.write(f"{self.name}: {error}\n")
            return 1
        return 0

    async def _run_alone(self, listen: str, orchestrator: str | None) -> None:
        """Without an orchestrator, secrets come from the providers that the environment names."""
        address = parse_socket_address(listen)
        if address is None and "/" not in listen:
            raise ConfigurationError(f"--listen {listen}: give ip:port, or the path of a unix socket")
        if orchestrator is not None:
            await self._run_registered(address or listen, orchestrator)
            return
        stopping = asyncio.Event()
        with until_signalled(stopping):
            async with SecretClient(chosen_provider()) as client:
                await client.get_many(self.secrets)
                app = await self._application(ModuleContext(self.name, os.environ, client, None))
                async with (
                    serving(app, address or listen, drain=self.options.drain) as http,
                    serving_frames(http, self.options.http_tcp, stopping, os.environ) as frames,
                ):
                    _log.info("module_serves", module=self.name, address=http.address)
                    await stopping.wait()
                    await frames.drain(self.options.drain)

    async def _run_registered(self, listen: SocketAddress | str, orchestrator: str) -> None:
        from sdk.module_runtime.module.membership import OrchestratorAddress
        from sdk.module_runtime.module.registered import run_registered
        from sdk.module_runtime.protocol.registration import ModuleInfo

        place = OrchestratorAddress.of(orchestrator, os.environ)
        info = ModuleInfo(name=self.name, version=self.version, description=self.name)
        await run_registered(self._application, info, self.secrets, self.options, place, listen, os.environ)

    async def _application(self, context: ModuleContext) -> web.Application:
        built = await self.build(context)
        app = web.Application() if self.prefix else built
        if self.prefix:
            app.add_subapp(self.prefix, built)
        routed = {resource.canonical for resource in app.router.resources()}
        if self.health is not None and self.health not in routed:
            app.router.add_get(self.health, _health)
        if self.metrics is not None and self.metrics not in routed:
            app.router.add_get(self.metrics, _metrics(context.link))
        return app


def module(
    *,
    name: str | None = None,
    secrets: Iterable[str] = (),
    options: ServeOptions | None = None,
    health: str | None = "/health",
    metrics: str | None = "/metrics",
    prefix: str = "",
    version: str = "0",
) -> Callable[[Build], ModuleProgram]:
    """Decorates the function that builds the application. The result has ``run()``."""

    def decorate(build: Build) -> ModuleProgram:
        called = name or getattr(build, "__name__", "module").replace("_", "-")
        return ModuleProgram(build, called, tuple(secrets), options or ServeOptions(), health, metrics, prefix, version)

    return decorate


class ModuleBuilder:
    """The same in steps, for a program that decides as it goes. Each step answers a new builder.

    ``ModuleBuilder("notes").with_secrets("API_KEY").with_prefix("/v1").with_metrics(None).finish(build).run()``
    """

    def __init__(self, name: str, **settings: Any) -> None:
        self._name, self._settings = name, settings

    def with_secrets(self, *names: str) -> ModuleBuilder:
        return self._with(secrets=(*self._settings.get("secrets", ()), *names))

    def with_options(self, options: ServeOptions) -> ModuleBuilder:
        return self._with(options=options)

    def with_version(self, version: str) -> ModuleBuilder:
        return self._with(version=version)

    def with_prefix(self, prefix: str) -> ModuleBuilder:
        return self._with(prefix=prefix)

    def with_health(self, path: str | None) -> ModuleBuilder:
        return self._with(health=path)

    def with_metrics(self, path: str | None) -> ModuleBuilder:
        return self._with(metrics=path)

    def finish(self, build: Build) -> ModuleProgram:
        return ModuleProgram(build, self._name, **self._settings)

    def _with(self, **changes: Any) -> ModuleBuilder:
        return ModuleBuilder(self._name, **(self._settings | changes))


async def _health(_request: web.Request) -> web.Response:
    return web.json_response({"status": "OK", "timestamp": datetime.now(UTC).isoformat()})


def _metrics(link: OrchestratorLink | None) -> Callable[[web.Request], Awaitable[web.Response]]:
    registry = create_registry()
    if isinstance(link, Links):
        registry.register(ExportedChannels(("channel",), link.metrics, asyncio.get_running_loop().time))

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=render(registry), headers={"Content-Type": CONTENT_TYPE})

    return metrics


def _started_with_pipes() -> bool:
    kind = os.fstat(0).st_mode
    return stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)


def _parser(name: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, description="A module: under its orchestrator, or on its own.")
    parser.add_argument("--standalone", action="store_true", help="serve without an orchestrator")
    parser.add_argument(
        "--listen", metavar="ADDRESS", help=f"where to serve standalone (default {DEFAULT_LISTEN}; or {LISTEN})"
    )
    parser.add_argument(
        "--orchestrator", metavar="IP:PORT", help=f"register with an orchestrator there (or {ORCHESTRATOR})"
    )
    return parser
