"""Inputs that a failed transaction still holds: each is freed or written off on the network's word (R28, R29)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction
from sdk.wallet.services.ports import UtxoState
from sdk.wallet.storage.abandoned import failed_that_hold_inputs, review_later
from sdk.wallet.storage.ancestry import collect
from sdk.wallet.storage.spends import evict_input, free_input, inputs_held_by_failed

if TYPE_CHECKING:
    from datetime import datetime

    from sdk.core.ports import Clock
    from sdk.service.database import Database, Unit
    from sdk.wallet.broadcasting.policy import SendPolicy
    from sdk.wallet.services.ports import WalletServices


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Numbers of inputs: freed, found spent, and left as they are because nobody could say."""

    freed: int = 0
    spent: int = 0
    unknown: int = 0


class InputReview:
    """Asks about each input; the answers of one transaction are recorded in one unit."""

    def __init__(self, database: Database, services: WalletServices, clock: Clock, policy: SendPolicy) -> None:
        self._database, self._services, self._clock, self._policy = database, services, clock, policy

    async def review_due(self, limit: int) -> tuple[int, Reviewed]:
        """Failed requests that still hold inputs and are due; how many were looked at, and what came of it."""
        rows = await self._database.read(failed_that_hold_inputs, now=self._clock(), limit=limit)
        total = Reviewed()
        for row in rows:
            one = await self.review(row.txid, row.provenTxReqId)
            total = Reviewed(total.freed + one.freed, total.spent + one.spent, total.unknown + one.unknown)
        return len(rows), total

    async def review(self, txid: str, request_id: int | None = None) -> Reviewed:
        held = await self._database.read(_held, txid)
        unspent, spent, unknown = [], [], 0
        for outpoint, script in held.items():
            status = await self._services.get_utxo_status(outpoint, script)
            if status.state is UtxoState.UNSPENT:
                unspent.append(outpoint)
            elif status.state is UtxoState.SPENT:
                spent.append(outpoint)
            else:
                unknown += 1
        now = self._clock()
        later = now + self._policy.review_again if unknown and request_id is not None else None
        freed, evicted = await self._database.write(_record, txid, unspent, spent, request_id, later, now)
        return Reviewed(freed, evicted, unknown)


def _held(unit: Unit, txid: str) -> dict[OutPoint, Script]:
    rows = inputs_held_by_failed(unit, txid)
    long = {row.txid for row in rows if row.lockingScript is None}
    sources = {each: Transaction.from_bytes(raw) for each, (raw, _) in collect(unit, long).items() if each in long}
    found = {}
    for row in rows:
        if row.lockingScript is not None:
            found[OutPoint(row.txid, row.vout)] = Script(row.lockingScript)
        elif row.txid in sources:
            found[OutPoint(row.txid, row.vout)] = sources[row.txid].outputs[row.vout].locking_script
    return found


def _record(
    unit: Unit,
    txid: str,
    unspent: list[OutPoint],
    spent: list[OutPoint],
    request_id: int | None,
    later: datetime | None,
    now: datetime,
) -> tuple[int, int]:
    freed = sum(free_input(unit, txid, outpoint, now=now) for outpoint in unspent)
    evicted = sum(evict_input(unit, txid, outpoint, now=now) for outpoint in spent)
    if request_id is not None and later is not None:
        review_later(unit, request_id, later)
    return freed, evicted
