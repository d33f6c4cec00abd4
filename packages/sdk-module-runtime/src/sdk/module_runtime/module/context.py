"""What a module's application is built from, whoever started it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sdk.module_runtime.channels.preferences import Preferences
from sdk.module_runtime.module.messaging import Messaging

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import TypeAlias

    from aiohttp import web

    from sdk.module_runtime.ports import OrchestratorLink
    from sdk.module_runtime.protocol.services import Endpoint
    from sdk.module_runtime.secrets.client import SecretClient

    Build: TypeAlias = Callable[["ModuleContext"], Awaitable[web.Application]]


@dataclass(frozen=True, slots=True)
class ModuleContext:
    module_id: str
    env: Mapping[str, str]
    """What the orchestrator sets for the module, which is not in the process's environment; standalone, that itself."""
    secrets: SecretClient
    """Those that were named at the start are in its cache."""
    link: OrchestratorLink | None
    """None standalone. Give it to ``open_database`` and ``open_cache``, which are then the orchestrator's."""
    messages: Messaging = field(default_factory=Messaging)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    bind_http: bool = True
    """Whether to listen at ``init.listen``; without, requests come as messages only."""
    drain: float = 10.0
    """Seconds that requests in flight have once the module is told to end."""
    patience: float = 5.0
    """Seconds more until it is ended by force, once its orchestrator is gone."""
    endpoints: Sequence[Endpoint] | None = None
    """What to announce; None for what the application routes."""
    channels: Preferences = field(default_factory=Preferences)
    http_tcp: str | None = None
    """Where HTTP in frames is answered too: ``ip:port`` or a path; see ``serving_frames``."""
