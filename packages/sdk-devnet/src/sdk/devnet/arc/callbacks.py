"""Delivery of status updates to those who asked for them (spec/arc.md §1.7)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.devnet.arc.options import Receiver
    from sdk.devnet.arc.settings import ArcSettings

log = get_logger(__name__)


@dataclass(slots=True)
class _Queue:
    """What one receiver has still to be told: the latest update of each transaction, oldest first."""

    receiver: Receiver
    pending: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


class CallbackSender:
    """One queue and at most one running delivery for each receiver. ``close`` ends them."""

    def __init__(self, settings: ArcSettings) -> None:
        self._settings = settings
        self._queues: dict[tuple[str, str | None, bool], _Queue] = {}
        self._unreachable: set[str] = set()
        self._session: aiohttp.ClientSession | None = None

    def send(self, receiver: Receiver, update: Mapping[str, Any]) -> None:
        """Queue ``update``; an older one of the same transaction that still waits is replaced."""
        if receiver.url in self._unreachable:
            return
        key = (receiver.url, receiver.token, receiver.batch)
        queue = self._queues.setdefault(key, _Queue(receiver))
        queue.pending.pop(update["txid"], None)
        queue.pending[update["txid"]] = update
        if queue.task is None or queue.task.done():
            queue.task = asyncio.get_running_loop().create_task(self._deliver(key, queue))

    def forgive(self, url: str) -> None:
        """Try a receiver again that could not be reached: it has been registered anew."""
        self._unreachable.discard(url)

    async def close(self) -> None:
        tasks = [queue.task for queue in self._queues.values() if queue.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _deliver(self, key: tuple[str, str | None, bool], queue: _Queue) -> None:
        while queue.pending:
            if queue.receiver.batch:
                await asyncio.sleep(self._settings.callback_batch_interval)
            updates = self._take(queue)
            body = {"count": len(updates), "callbacks": updates} if queue.receiver.batch else updates[0]
            if not await self._post(queue.receiver, body):
                self._unreachable.add(queue.receiver.url)
                queue.pending.clear()
                log.warning("callback receiver cannot be reached", url=queue.receiver.url)
            await asyncio.sleep(self._settings.callback_spacing)
        del self._queues[key]

    def _take(self, queue: _Queue) -> list[Mapping[str, Any]]:
        size = self._settings.callback_batch_size if queue.receiver.batch else 1
        txids = list(queue.pending)[:size]
        return [queue.pending.pop(txid) for txid in txids]

    async def _post(self, receiver: Receiver, body: object) -> bool:
        """Whether the receiver's host answers at all; what it refuses is tried again a few times."""
        headers = {"Content-Type": "application/json; charset=UTF-8"}
        if receiver.token:
            headers["Authorization"] = f"Bearer {receiver.token}"
        for _ in range(1 + self._settings.callback_retries):
            try:
                if await self._attempt(receiver.url, body, headers):
                    return True
            except TimeoutError:
                pass  # like a refusal: tried again
            except (aiohttp.ClientError, ValueError):
                return False
            await asyncio.sleep(self._settings.callback_retry_delay)
        log.warning("callback given up", url=receiver.url)
        return True

    async def _attempt(self, url: str, body: object, headers: Mapping[str, str]) -> bool:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._settings.callback_timeout)
            self._session = aiohttp.ClientSession(timeout=timeout)
        async with self._session.post(url, data=json.dumps(body), headers=headers) as answer:
            return 200 <= answer.status <= 299
