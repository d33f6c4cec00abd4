"""HTTP requests that came as messages: bounded, kept until the application serves, ended before it goes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Protocol

from sdk.module_runtime.errors import LinkClosed
from sdk.module_runtime.module.http import unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sdk.module_runtime.module.http import HttpApplication
    from sdk.module_runtime.protocol.messages import HttpRequest, HttpResponse

MOST_WAITING: Final = 256


class Asker(Protocol):
    """Where a request came from."""

    async def send(self, message: HttpResponse, /) -> None:
        """``LinkClosed`` if it is gone."""
        ...


class Requests:
    """The answer to each goes the way the request came, or ``elsewhere`` if that is lost meanwhile."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self.elsewhere: Callable[[HttpResponse], Awaitable[None]] | None = None
        self._stopping = stopping
        self._http: asyncio.Future[HttpApplication] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()

    def serve(self, http: HttpApplication) -> None:
        self._http.set_result(http)

    def take(self, request: HttpRequest, link: Asker) -> None:
        busy = len(self._tasks) >= MOST_WAITING or self._stopping.is_set()
        task = asyncio.create_task(self._refuse(request, link) if busy else self._answer(request, link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Let those in flight end; who is not done then is cancelled."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for task in late:
                task.cancel()

    async def _answer(self, request: HttpRequest, link: Asker) -> None:
        http = await asyncio.shield(self._http)
        answer = await http.answer(request)
        try:
            await link.send(answer)
        except LinkClosed:
            if self.elsewhere is not None:
                with contextlib.suppress(LinkClosed):  # nobody is left to read it
                    await self.elsewhere(answer)

    async def _refuse(self, request: HttpRequest, link: Asker) -> None:
        with contextlib.suppress(LinkClosed):
            await link.send(unavailable(request))
