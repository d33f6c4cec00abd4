"""What sends and proves for a wallet in the same process: a plugin of the group ``sdk.wallet.background``.

The wallet hands it its own backend (the rows are the wallet's to change); the plugin decides when (R23).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sdk.core.errors import ConfigurationError, InvalidOperation
from sdk.core.plugins import PluginRegistry
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AsyncExitStack

    from sdk.core.ports import Clock
    from sdk.service.database import Database
    from sdk.wallet.settings import Background

GROUP = "sdk.wallet.background"
log = get_logger(__name__)


class BackgroundWorker(Protocol):
    """``start`` returns once it works; ``stop`` once it has stopped."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


async def start_background(
    stack: AsyncExitStack,
    wanted: Background,
    backend: Callable[[], Any],
    database: Database,
    *,
    can_send: bool,
    clock: Clock,
) -> bool:
    """Whether something will send what waits. What is started here stops with ``stack``.

    ``backend`` makes the wallet's ``sdk.monitor.ports.Backend``.
    """
    if wanted in ("external", "none"):
        return wanted == "external"
    registry: PluginRegistry[Any] = PluginRegistry(GROUP)
    installed = "monitor" in list(registry)
    if not installed or not can_send:
        if wanted == "auto":
            return False
        if not can_send:
            raise InvalidOperation("a monitor needs network services to send with, and this wallet has none")
        raise ConfigurationError("background 'monitor' needs the distribution sdk-monitor: pip install sdk-monitor")
    worker: BackgroundWorker = registry.load("monitor")(backend(), database, clock=clock)
    await worker.start()
    stack.push_async_callback(worker.stop)
    log.info("a monitor works in this process")
    return True
