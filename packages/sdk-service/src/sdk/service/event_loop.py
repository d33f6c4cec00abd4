"""Runs a command whose end waits for no thread that hangs.

Python looks up names of hosts in threads that cannot be cancelled, and waits for them when it ends: without a name
server that is ten seconds and more after Ctrl-C.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run(main)``; calls of the loop's own executor that are still at work at the end are left behind."""
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(_Threads())
        return runner.run(main)


class _Threads(ThreadPoolExecutor):
    """A thread for each call. The loop takes no executor of another class, and Python joins the threads of that one."""

    def submit(self, call: Callable[..., T], /, *args: Any, **options: Any) -> Future[T]:
        future: Future[T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                value = call(*args, **options)
            except BaseException as error:  # noqa: BLE001 - told to whoever waits
                future.set_exception(error)
            else:
                future.set_result(value)

        Thread(target=work, name=f"call {getattr(call, '__name__', '')}", daemon=True).start()
        return future
