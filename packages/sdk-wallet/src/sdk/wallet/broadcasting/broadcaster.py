"""Sends what waits: claim, rebuild from the rows, post, confirm, record.

A claim is committed before the first byte leaves (R19), nothing is asked of the network while a unit is open (R26), and
what was learnt is recorded in one unit for each txid. Whatever is interrupted in between is found by the next worker
once the lease has run out.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sdk.core.errors import SdkError, StorageError
from sdk.core.transaction import Transaction
from sdk.service.logging import get_logger
from sdk.wallet.broadcasting.ancestors import AncestorSource
from sdk.wallet.broadcasting.confirmation import Subject, confirm
from sdk.wallet.broadcasting.inputs import InputReview
from sdk.wallet.broadcasting.policy import SendPolicy
from sdk.wallet.broadcasting.reports import WorkReport
from sdk.wallet.broadcasting.settlement import (
    current_outcome,
    fail_descendants,
    failed_parent,
    held_among,
    release_held,
    settle,
)
from sdk.wallet.broadcasting.verdicts import Finding, Summary, summarise
from sdk.wallet.errors import AncestryIncomplete
from sdk.wallet.lifecycle import evidence as by
from sdk.wallet.lifecycle import predicates
from sdk.wallet.storage.ancestry import parents_of
from sdk.wallet.storage.request_claims import claim_named, claim_waiting, leased_among

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from sdk.core.beef import Beef
    from sdk.core.ports import Clock
    from sdk.core.transaction import OutPoint, TransactionOutput
    from sdk.service.database import Database
    from sdk.wallet.broadcasting.confirmation import Rival
    from sdk.wallet.broadcasting.settlement import SendOutcome
    from sdk.wallet.services.ports import PostResult, WalletServices
    from sdk.wallet.storage.request_claims import Claimed

SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.5
"""Seconds between two looks at what another worker does."""

log = get_logger(__name__)


class Broadcaster:
    """``owner`` names this worker; two that share a name would share leases, so it is unique to the process."""

    def __init__(
        self,
        database: Database,
        services: WalletServices,
        *,
        clock: Clock,
        owner: str,
        policy: SendPolicy | None = None,
    ) -> None:
        self._database, self._services, self._clock, self._owner = database, services, clock, owner
        self._policy = policy or SendPolicy()
        self._inputs = InputReview(database, services, clock, self._policy)
        self._ancestors = AncestorSource(database, services, clock)

    async def send(self, txids: Sequence[str]) -> list[SendOutcome]:
        """Post these now, all in one BEEF; what became of each, in their order.

        What another worker is sending is waited for, what needs no sending is reported as it stands.
        """
        claimed = await self._claim_named(txids)
        outcomes = {each.txid: each for each in await self._guarded(claimed)} if claimed else {}
        others = [txid for txid in txids if txid not in outcomes]
        if others:
            await self._wait_for_others(others)
        for txid in others:
            outcomes[txid] = await self._database.read(current_outcome, txid)
        return [outcomes[txid] for txid in txids]

    async def _claim_named(self, txids: Sequence[str]) -> list[Claimed]:
        return await self._database.write(
            claim_named, txids, owner=self._owner, now=self._clock(), lease=self._policy.lease
        )

    async def _wait_for_others(self, txids: Sequence[str]) -> None:
        """A monitor may have been quicker than the call that queued it; the caller wants its answer all the same."""
        try:
            async with asyncio.timeout(self._policy.other_worker.total_seconds()):
                pause = SHORTEST_PAUSE
                while await self._database.read(leased_among, txids, now=self._clock()):
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
        except TimeoutError:
            log.info("another worker is still sending", txids=list(txids))

    async def send_waiting(self, *, min_age: timedelta, limit: int) -> WorkReport:
        """Post what is due, longest waiting first, a few at a time so that no lease runs out in a queue."""
        done: list[SendOutcome] = []
        while len(done) < limit:
            size = min(self._policy.concurrency, limit - len(done))
            claimed = await self._database.write(
                claim_waiting,
                owner=self._owner,
                now=self._clock(),
                lease=self._policy.lease,
                min_age=min_age,
                limit=size,
            )
            if not claimed:
                return _report(done, more=False)
            for level in _levels(_groups(claimed)):
                for outcomes in await asyncio.gather(*(self._guarded(group) for group in level)):
                    done += outcomes
        return _report(done, more=True)

    async def review_failed(self, *, limit: int) -> WorkReport:
        """Free or write off the inputs that failed transactions still hold."""
        looked, found = await self._inputs.review_due(limit)
        detail = {"freed": found.freed, "spent": found.spent, "unknown": found.unknown}
        return WorkReport(looked, looked >= limit, {name: count for name, count in detail.items() if count})

    # one group: a single request, or a batch that is posted as a unit

    async def _guarded(self, group: Sequence[Claimed]) -> list[SendOutcome]:
        """A defect met with one request keeps neither the others waiting nor this one from being tried again (R68)."""
        try:
            return await self._post_group(group)
        except StorageError:
            raise
        except Exception as error:
            log.exception("posting met a defect", txids=[each.txid for each in group])
            failure = by.NoVerdict(f"internal error {type(error).__name__}: {error}")
            return [await self._settle(each, failure, Summary(Finding.NOTHING)) for each in group]

    async def _post_group(self, group: Sequence[Claimed]) -> list[SendOutcome]:
        orphaned = []
        for each in group:
            parent = await self._database.read(failed_parent, each.txid)
            if parent is not None:
                orphaned.append(await self._settle(each, by.ParentFailed(parent), Summary(Finding.NOTHING)))
        gone = {txid for outcome in orphaned for txid in (outcome.txid, *outcome.failed)}
        rest = [each for each in group if each.txid not in gone]
        missing = [each for each in group if each.txid in gone - {outcome.txid for outcome in orphaned}]
        orphaned += [await self._database.read(current_outcome, each.txid) for each in missing]
        return orphaned + (await self._post(rest) if rest else [])

    async def _post(self, group: Sequence[Claimed]) -> list[SendOutcome]:
        try:
            beef = await self._ancestors.beef({each.txid: each.raw_tx for each in group})
        except AncestryIncomplete as error:
            await self._database.write(fail_descendants, error.txid, now=self._clock())
            unmet = by.ConditionUnmet(str(error))
            return [await self._settle(each, unmet, Summary(Finding.CONDITION)) for each in group]
        await self._release_held(beef, {each.txid for each in group})
        results, trouble = await self._ask(beef, _parents_first(group))
        outcomes = []
        for each in group:
            summary = summarise(each.txid, results)
            if trouble and summary.finding is Finding.NOTHING:
                summary = Summary(Finding.NOTHING, detail=trouble)
            subject = Subject(each.txid, each.raw_tx, each.was_broadcast, _sources(beef, each.txid))
            evidence, rivals = await confirm(self._services, summary, subject, self._policy)
            outcomes.append(await self._settle(each, evidence, summary, rivals))
        for outcome in outcomes:
            await self._review(outcome)
        return outcomes

    async def _release_held(self, beef: Beef, subjects: set[str]) -> None:
        others = [txid for txid in beef.txids() if txid not in subjects and beef.path_for(txid) is None]
        held = await self._database.read(held_among, others) if others else False
        if held:
            released = await self._database.write(release_held, others, now=self._clock())
            log.info("held parents go with their child", txids=released)

    async def _ask(self, beef: Beef, txids: Sequence[str]) -> tuple[list[PostResult], str]:
        try:
            async with asyncio.timeout(self._policy.post_timeout.total_seconds()):
                return await self._services.post_beef(beef, txids), ""
        except TimeoutError:
            return [], f"no answer within {self._policy.post_timeout.total_seconds():.0f} s"
        except (SdkError, OSError) as error:
            return [], f"{type(error).__name__}: {error}"

    async def _settle(
        self, claimed: Claimed, evidence: by.Evidence, summary: Summary, rivals: tuple[Rival, ...] = ()
    ) -> SendOutcome:
        outcome = await self._database.write(
            settle,
            claimed,
            evidence,
            owner=self._owner,
            now=self._clock(),
            retry_after=self._policy.retry_after(claimed.attempts, summary.retry_after),
            propagated=summary.propagated,
            rivals=rivals,
        )
        level = log.warning if outcome.result in ("doubleSpend", "invalidTx") else log.info
        level(
            "sent", txid=outcome.txid, result=outcome.result, status=outcome.status.value, reason=outcome.reason[:300]
        )
        return outcome

    async def _review(self, outcome: SendOutcome) -> None:
        """Best effort at once; what cannot be answered now is left to ``review_failed``."""
        if not predicates.terminal_failure(outcome.status):
            return
        for txid in outcome.failed or (outcome.txid,):
            try:
                async with asyncio.timeout(self._policy.question_timeout.total_seconds()):
                    await self._inputs.review(txid)
            except (SdkError, TimeoutError, OSError) as error:
                log.info("inputs are reviewed later", txid=txid, reason=str(error))


def _sources(beef: Beef, txid: str) -> dict[OutPoint, TransactionOutput]:
    transaction = beef.transaction_with_sources(txid)
    inputs = transaction.inputs if transaction is not None else ()
    return {each.outpoint: each.source_output for each in inputs if each.source_output is not None}


def _report(done: Sequence[SendOutcome], *, more: bool) -> WorkReport:
    detail: dict[str, int] = {}
    for each in done:
        detail[each.result] = detail.get(each.result, 0) + 1
    return WorkReport(len(done), more, detail)


def _groups(claimed: Iterable[Claimed]) -> list[list[Claimed]]:
    """Batches together, everything else alone, in the order claimed."""
    groups: dict[str, list[Claimed]] = {}
    for each in claimed:
        groups.setdefault(f"batch {each.batch}" if each.batch is not None else each.txid, []).append(each)
    return list(groups.values())


def _levels(groups: Sequence[list[Claimed]]) -> list[list[list[Claimed]]]:
    """Groups whose parents are in no later level: posted level by level, so that parents go first."""
    waiting, levels = list(groups), []
    while waiting:
        txids = {each.txid: index for index, group in enumerate(waiting) for each in group}
        ready = [
            group
            for index, group in enumerate(waiting)
            if not any(txids.get(parent, index) != index for each in group for parent in _parents(each))
        ]
        levels.append(ready or waiting)
        waiting = [group for group in waiting if group not in levels[-1]]
    return levels


def _parents_first(group: Sequence[Claimed]) -> list[str]:
    return [each.txid for level in _levels([[each] for each in group]) for single in level for each in single]


def _parents(claimed: Claimed) -> list[str]:
    return parents_of(Transaction.from_bytes(claimed.raw_tx))
