"""Make a chain current and stop: what ``sdk chaintracks sync`` does."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.chaintracks.engine import Chaintracks

_LOOK: Final = 0.2


async def sync_until_current(
    service: Chaintracks, shown: Callable[[int, int | None], None], *, timeout: float | None = None
) -> str | None:
    """Follow the sources until one confirms our tip; None, or why that did not happen within ``timeout`` seconds.

    ``shown`` is called now and then with the height of our tip and that of the best block a source claims to have.
    Without ``timeout`` it gives up when every source was asked.
    """
    await service.start()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout):
            while service.fault() is not None:
                claims = [each.claimed for each in service.followers if each.claimed is not None]
                shown(service.chain.tip.height, max(claims, default=None))
                if timeout is None and all(each.looks for each in service.followers):
                    break
                await asyncio.sleep(_LOOK)
    shown(service.chain.tip.height, service.chain.tip.height if service.is_current else None)
    return service.fault()
