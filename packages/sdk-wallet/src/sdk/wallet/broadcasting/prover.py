"""Looks for the proofs of what was sent, and sends again what has gone missing (R18, R49, R50)."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from sdk.core.errors import InternalError, SdkError, StorageError
from sdk.service.logging import get_logger
from sdk.wallet.broadcasting.policy import SendPolicy
from sdk.wallet.broadcasting.reports import WorkReport
from sdk.wallet.broadcasting.verification import ProofOutcome, verified_proof
from sdk.wallet.lifecycle import InvalidTransition
from sdk.wallet.lifecycle import evidence as by
from sdk.wallet.services.ports import TxState
from sdk.wallet.storage.proofs import due_for_proof, mark_checked, record_proof
from sdk.wallet.storage.requests import apply_evidence

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from sdk.core.ports import Clock
    from sdk.service.database import Database, Row, Unit
    from sdk.wallet.broadcasting.verification import Checked
    from sdk.wallet.services.ports import WalletServices

log = get_logger(__name__)


class Prover:
    def __init__(
        self, database: Database, services: WalletServices, *, clock: Clock, policy: SendPolicy | None = None
    ) -> None:
        self._database, self._services, self._clock = database, services, clock
        self._policy = policy or SendPolicy()

    async def check(self, *, up_to_height: int, limit: int) -> WorkReport:
        """Ask for the proof of each request that is due; blocks above ``up_to_height`` do not count yet."""
        due = await self._database.read(due_for_proof, now=self._clock(), height=up_to_height, limit=limit)
        detail: Counter[str] = Counter()
        for start in range(0, len(due), self._policy.concurrency):
            part = due[start : start + self._policy.concurrency]
            detail.update(await asyncio.gather(*(self._guarded(row, up_to_height) for row in part)))
        return WorkReport(len(due), len(due) >= limit, dict(detail))

    async def prove(self, transactions: Sequence[tuple[str, bytes]]) -> int:
        """Fetch and record the proofs of ``(txid, bytes)`` now, whatever is due; how many were found."""
        found = 0
        for txid, raw in transactions:
            checked = await verified_proof(self._services, txid, raw)
            if checked.proof is not None:
                await self._database.write(record_proof, checked.proof, now=self._clock())
                found += 1
        return found

    async def _guarded(self, row: Row, height: int) -> str:
        """A defect met with one request does not keep the others waiting (R68)."""
        try:
            return await self._check_one(row, height)
        except StorageError:
            raise
        except Exception:
            log.exception("looking for a proof met a defect", txid=row.txid)
            await self._later(row, row.checkedHeight, row.misses)
            return "defect"

    async def _check_one(self, row: Row, height: int) -> str:
        checked = await verified_proof(self._services, row.txid, row.rawTx, up_to_height=height)
        if checked.outcome is ProofOutcome.VERIFIED:
            return await self._record(checked, row)
        if checked.outcome is ProofOutcome.NOT_MINED:
            return await self._missed(row, height)
        if checked.outcome is ProofOutcome.MISMATCH:
            log.warning("a proof does not fit our chain", txid=row.txid, reason=checked.detail)
        await self._later(row, height, row.misses)
        return checked.outcome.value

    async def _record(self, checked: Checked, row: Row) -> str:
        if checked.proof is None:
            raise InternalError("a verified proof came without its path")
        await self._database.write(record_proof, checked.proof, now=self._clock())
        log.info("proven", txid=row.txid, height=checked.proof.height, block=checked.proof.block_hash)
        return "proven"

    async def _missed(self, row: Row, height: int) -> str:
        """Only a new height counts as a miss, however often it is asked."""
        is_new = row.checkedHeight is None or row.checkedHeight < height
        misses = row.misses + 1 if is_new else row.misses
        is_lost = is_new and row.wasBroadcast and await self._is_lost(row, misses)
        if is_lost and await self._database.write(_send_again, row, misses, self._clock()):
            log.warning("no proof came; it is sent again", txid=row.txid, heights=misses)
            return "overdue"
        await self._later(row, height, misses)
        return "not_mined"

    async def _is_lost(self, row: Row, misses: int) -> bool:
        """Overdue, or definitely unknown to those who should have it; what only its provider has shown so far is asked
        after at every height (R13).
        """
        if misses >= self._policy.proof_misses:
            return True
        if row.propagated and misses % self._policy.doubt_misses:
            return False
        try:
            status = (await self._services.get_statuses([row.txid])).get(row.txid)
        except SdkError as error:
            log.info("its status could not be asked", txid=row.txid, reason=str(error))
            return False
        return status is not None and status.state is TxState.UNKNOWN

    async def _later(self, row: Row, height: int | None, misses: int) -> None:
        await self._database.write(_wait, row, self._clock(), self._policy.check_after(misses), height, misses)


def _wait(unit: Unit, row: Row, now: datetime, wait: timedelta, height: int | None, misses: int) -> None:
    mark_checked(unit, row.provenTxReqId, next_proof=now + wait, height=height, misses=misses)


def _send_again(unit: Unit, row: Row, misses: int, now: datetime) -> bool:
    try:
        apply_evidence(unit, row.txid, by.ProofOverdue(misses), now=now)
    except InvalidTransition:
        return False
    mark_checked(unit, row.provenTxReqId, next_proof=None, height=None, misses=0)
    return True
