"""The open transactions of one connection: few, each for a limited time, and undone when the time is over."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sdk.module_runtime.data.database.errors import DatabaseError, PoolExhausted, TransactionError
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sdk.module_runtime.data.database.direct import Database, Transaction
    from sdk.module_runtime.orchestrator.hosts.scopes import DatabaseLimits

_log = get_logger(__name__)
_REMEMBERED: Final = 64
"""Ended transactions of a connection that still say how they ended."""


class Slots:
    """How many transactions may be open at a time, whichever connections have them."""

    def __init__(self, most: int, patience: float) -> None:
        self._most, self._patience = most, patience
        self._free = asyncio.Semaphore(most)

    async def take(self) -> None:
        """Waits as long as for a connection; then raises ``PoolExhausted``."""
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            raise PoolExhausted(
                f"{self._most} transactions are open, as many as this module may have; end some"
            ) from None

    def give_back(self) -> None:
        self._free.release()


@dataclass(slots=True)
class _Lease:
    transaction: Transaction
    last: float
    """When it ends at the latest, on the loop's clock."""
    timer: asyncio.TimerHandle | None = None
    in_use: int = 0
    """Operations under way: a module may send some before it has the answers of others."""


class Transactions:
    """A lease ends when nothing was done for ``idle_seconds``, or ``transaction_seconds`` after it began."""

    def __init__(self, limits: DatabaseLimits, slots: Slots) -> None:
        self._limits, self._slots = limits, slots
        self._leases: dict[str, _Lease] = {}
        self._ended: OrderedDict[str, Transaction] = OrderedDict()
        self._undoing: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        return len(self._leases)

    async def begin(self, database: Database) -> str:
        """The id of a new transaction, once there is room for it."""
        await self._slots.take()
        try:
            transaction = await database.begin_transaction()
        except BaseException:
            self._slots.give_back()
            raise
        transaction_id = secrets.token_urlsafe(16)
        last = asyncio.get_running_loop().time() + self._limits.transaction_seconds
        lease = self._leases[transaction_id] = _Lease(transaction, last)
        self._set_timer(transaction_id, lease)
        return transaction_id

    @asynccontextmanager
    async def using(self, transaction_id: object, *, last: bool) -> AsyncIterator[Transaction]:
        """``last``: it ends with this. ``TransactionError`` for one this connection does not have."""
        if not isinstance(transaction_id, str):
            raise TransactionError("transaction_id is the text that begin_transaction answered")
        ended = self._ended.get(transaction_id)
        if ended is not None:
            yield ended  # which says how it ended
            return
        lease = self._leases.get(transaction_id)
        if lease is None:
            raise TransactionError("this connection has no such transaction")
        lease.in_use += 1
        self._set_timer(transaction_id, lease)
        try:
            yield lease.transaction
        except BaseException:
            last = True  # a statement that fails undoes its transaction
            raise
        finally:
            lease.in_use -= 1
            if not last:
                self._set_timer(transaction_id, lease)
            elif self._end(transaction_id):
                self._slots.give_back()

    async def close(self) -> None:
        """Roll back what is open."""
        for transaction_id in list(self._leases):
            transaction = self._end(transaction_id)
            if transaction is not None:
                await self._undo(transaction, "was rolled back when its connection was closed")
        await asyncio.gather(*self._undoing)

    def _set_timer(self, transaction_id: str, lease: _Lease) -> None:
        """For as long as it may stay as it is: in use, or idle."""
        _stop_timer(lease)
        if transaction_id in self._leases:
            loop = asyncio.get_running_loop()
            end = lease.last if lease.in_use else min(loop.time() + self._limits.idle_seconds, lease.last)
            lease.timer = loop.call_at(end, self._over, transaction_id)

    def _over(self, transaction_id: str) -> None:
        transaction = self._end(transaction_id)
        if transaction is not None:
            work = self._undo(transaction, "was rolled back, for it was left open too long")
            task = asyncio.get_running_loop().create_task(work)
            self._undoing.add(task)
            task.add_done_callback(self._undoing.discard)

    async def _undo(self, transaction: Transaction, why: str) -> None:
        try:
            await transaction.abandon(why)
        except DatabaseError as error:
            _log.warning("transaction_not_undone_in_order", code=error.code)
        finally:
            self._slots.give_back()

    def _end(self, transaction_id: str) -> Transaction | None:
        """The transaction, if this is its end."""
        lease = self._leases.pop(transaction_id, None)
        if lease is None:
            return None
        _stop_timer(lease)
        self._ended[transaction_id] = lease.transaction
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)
        return lease.transaction


def _stop_timer(lease: _Lease) -> None:
    if lease.timer is not None:
        lease.timer.cancel()
