"""What the owner asks of the network about rows (special operations, §1.19): failed actions that it has live again, and
spendable outputs that it calls spent are named, or put aside. Who cannot say changes nothing (R28, R56, R57).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sdk.core.errors import InvalidParameter
from sdk.service.logging import get_logger
from sdk.wallet.lifecycle import evidence as by
from sdk.wallet.lifecycle import predicates
from sdk.wallet.services.ports import TxState, UtxoState
from sdk.wallet.storage import list_outputs as listing
from sdk.wallet.storage.requests import apply_evidence, lock_request, request_status
from sdk.wallet.storage.spends import put_aside

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sdk.core.ports import Clock
    from sdk.core.script import Script
    from sdk.core.transaction import OutPoint
    from sdk.core.wallet import ListOutputsResult, ValidListOutputsArgs
    from sdk.service.database import Database, Row, Unit
    from sdk.wallet.services.ports import WalletServices

RELEASE, EVERYWHERE = "release", "all"
AT_ONCE = 12
PAGE = 20 * AT_ONCE

log = get_logger(__name__)


class NetworkReview:
    def __init__(self, database: Database, services: WalletServices, clock: Clock) -> None:
        self._database, self._services, self._clock = database, services, clock

    async def revive(self, txids: Sequence[str]) -> None:
        """Of these failed transactions, those that the network has are unproven again and hold their inputs."""
        if not txids:
            return
        for txid, status in (await self._services.get_statuses(list(txids))).items():
            if status.state in (TxState.KNOWN, TxState.MINED):
                evidence = by.NetworkKnows(status.provider, status.state.value)
                await self._database.write(_revive, txid, evidence, self._clock())

    async def spent_outputs(self, user_id: int, args: ValidListOutputsArgs) -> ListOutputsResult:
        """The spendable outputs that are spent, all of them, whatever ``limit`` says. Raises ``InvalidParameter``."""
        if unknown := set(args.tags) - {RELEASE, EVERYWHERE}:
            raise InvalidParameter("tags", f"{RELEASE!r} and {EVERYWHERE!r} at most, not {min(unknown)[:60]!r}")
        spent: list[Row] = []
        after, everywhere = 0, EVERYWHERE in args.tags
        while page := await self._database.read(
            listing.known_to_network, user_id, everywhere=everywhere, after=after, most=PAGE
        ):
            found = await self._spent_among(page)
            if RELEASE in args.tags:
                await self._database.write(_put_aside, [outpoint for _, outpoint in found], self._clock())
            spent += [row for row, _ in found]
            after = page[-1][0].outputId
        return await self._database.read(listing.listed, args, spent)

    async def _spent_among(self, page: Sequence[tuple[Row, OutPoint, Script]]) -> list[tuple[Row, OutPoint]]:
        gate = asyncio.Semaphore(AT_ONCE)

        async def is_spent(outpoint: OutPoint, script: Script) -> bool:
            async with gate:
                return (await self._services.get_utxo_status(outpoint, script)).state is UtxoState.SPENT

        answers = await asyncio.gather(*(is_spent(outpoint, script) for _, outpoint, script in page))
        return [(row, outpoint) for (row, outpoint, _), spent in zip(page, answers, strict=True) if spent]


def _revive(unit: Unit, txid: str, evidence: by.NetworkKnows, now: datetime) -> None:
    """Nothing, if it lives again already."""
    row = lock_request(unit, txid)
    if row is None or not predicates.terminal_failure(request_status(row)):
        return
    change = apply_evidence(unit, txid, evidence, now=now)
    log.warning("a failed transaction lives again", txid=txid, provider=evidence.provider, contested=change.contested)


def _put_aside(unit: Unit, outpoints: Sequence[OutPoint], now: datetime) -> None:
    for outpoint in outpoints:
        if put_aside(unit, outpoint, now=now):
            log.warning("an output that is spent elsewhere was put aside", outpoint=str(outpoint))
