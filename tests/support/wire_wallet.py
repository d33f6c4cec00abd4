"""A wallet at the far end of a wire: gives each call the sample it was told to, and notes what it was asked."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from sdk.core.wallet_wire import BY_METHOD
from support.wire_samples import RESULTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class ScriptedWallet:
    """``answer`` is the sample to give, or the error to raise; ``lacks`` names methods it does not have."""

    def __init__(self, *, lacks: frozenset[str] = frozenset()) -> None:
        self.answer = 0
        self.error: Exception | None = None
        self.asked: list[tuple[str, Any, str | None]] = []
        self.called = asyncio.Event()
        self._lacks = lacks

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if name not in BY_METHOD or name in self._lacks:
            raise AttributeError(name)
        return partial(self._call, name)

    async def _call(self, method: str, args: Any, originator: str | None = None) -> Any:
        call = BY_METHOD[method]
        self.asked.append((call.name, args, originator))
        self.called.set()
        if self.error is not None:
            raise self.error
        return call.result.of(RESULTS[call.name][self.answer])
