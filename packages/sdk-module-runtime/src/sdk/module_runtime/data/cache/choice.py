"""Through the orchestrator where there is one, directly where there is none."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.module_runtime.data.cache.config import CacheConfig
    from sdk.module_runtime.data.cache.direct import DirectCache
    from sdk.module_runtime.data.cache.interface import Cache
    from sdk.module_runtime.ports import OrchestratorLink


@overload
async def open_cache(
    config: CacheConfig,
    link: None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
) -> DirectCache: ...
@overload
async def open_cache(config: CacheConfig, link: OrchestratorLink | None) -> Cache: ...
async def open_cache(
    config: CacheConfig,
    link: OrchestratorLink | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
) -> Cache:
    """With ``link``, the cache that the stack lends this module under the name ``config.namespace``; the rest of
    ``config`` is the orchestrator's to say. Without, the one that ``config`` describes.

    Raises ``CacheConfigurationError`` and ``CacheConnectionError``.
    """
    if link is not None:
        from sdk.module_runtime.data.cache.proxied import open_proxied

        return await open_proxied(link, config)
    from sdk.module_runtime.data.cache.direct import open_direct

    return await open_direct(config, clock=clock, wall=wall)
