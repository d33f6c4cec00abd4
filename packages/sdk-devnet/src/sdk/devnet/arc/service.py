"""What ARC does with a submission, between the wire and the chain."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sdk.devnet.arc.callbacks import CallbackSender
from sdk.devnet.arc.problems import ArcProblem
from sdk.devnet.arc.registry import Registry, timestamp
from sdk.devnet.arc.statuses import BAD, ArcStatus
from sdk.devnet.arc.validation import check, check_beef, find_sources
from sdk.devnet.chain.chain import Outcome
from sdk.devnet.errors import TransactionRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.ports import Clock
    from sdk.core.transaction import Transaction
    from sdk.devnet.arc.bodies import Payload
    from sdk.devnet.arc.options import SubmitOptions
    from sdk.devnet.arc.registry import Record
    from sdk.devnet.arc.settings import ArcSettings
    from sdk.devnet.devnet import Devnet

RESUBMISSION_SECONDS = 24 * 3600
_V2 = b"\x02\x00\xbe\xef"


class ArcService:
    def __init__(self, devnet: Devnet, settings: ArcSettings, clock: Clock) -> None:
        self.settings = settings
        self._devnet, self._clock = devnet, clock
        self.callbacks = CallbackSender(settings)
        self.registry = Registry(devnet.chain, clock, self.callbacks, settings)
        self._unsubscribe = devnet.subscribe(self.registry.follow)

    async def close(self) -> None:
        self._unsubscribe()
        self.registry.close()
        await self.callbacks.close()

    async def submit(self, payloads: Sequence[Payload], options: SubmitOptions) -> list[dict[str, Any]]:
        """Answers in ARC's order: successes, then failures. A BEEF gives one answer for each unmined transaction."""
        good: list[Record] = []
        bad: list[dict[str, Any]] = []
        for payload in payloads:
            try:
                for transaction in self._validated(payload, options):
                    good.append(self._take(transaction, options))
            except ArcProblem as problem:
                bad.append(problem.to_wire())
        if options.wait_for is ArcStatus.QUEUED:
            return [self._submitted(each, ArcStatus.QUEUED) for each in good] + bad
        deadline = asyncio.get_running_loop().time() + options.timeout
        for record in good:
            await self._wait(record, options.wait_for, deadline)
        return [self._submitted(each) for each in good] + bad

    def _validated(self, payload: Payload, options: SubmitOptions) -> list[Transaction]:
        chain = self._devnet.chain
        if payload.beef is not None:
            if not self.settings.accept_beef_v2 and payload.beef.to_bytes()[:4] == _V2:
                raise ArcProblem(463, "BEEF version is not supported")
            return check_beef(chain, payload.beef, options)
        transaction = payload.transaction
        assert transaction is not None  # a payload is the one or the other
        known = self.registry.get(transaction.txid())
        if (known is None and not options.skip_all) or options.force:
            check(chain, transaction, find_sources(chain, transaction), options)
        return [transaction]

    def _take(self, transaction: Transaction, options: SubmitOptions) -> Record:
        record = self.registry.register(transaction)
        receiver = options.receiver
        if receiver is not None:
            registered = receiver.url in [each.url for each in record.receivers]
            age = (self._clock() - record.submitted_at).total_seconds()
            if registered and age < RESUBMISSION_SECONDS:
                return record
            self.registry.add_receiver(record, receiver)
        self._announce(record)
        return record

    def _announce(self, record: Record) -> None:
        """Give the transaction to the node; what it says becomes the status."""
        try:
            outcome = self._devnet.submit(record.transaction).outcome
        except TransactionRefused as refused:
            self.registry.refused(record, refused)
            return
        if outcome is Outcome.ORPHAN:
            self.registry.set(record, ArcStatus.SEEN_IN_ORPHAN_MEMPOOL)
        elif outcome is Outcome.MINED:
            self._announce_mined(record)
        elif record.status < ArcStatus.SEEN_ON_NETWORK or record.status in BAD:
            self.registry.climb(record)

    def _announce_mined(self, record: Record) -> None:
        if record.status is not ArcStatus.MINED:
            self.registry.set(record, ArcStatus.ANNOUNCED_TO_NETWORK)
            found = self.settings.mined_after
            self.registry.later(record.txid, found, lambda: self.registry.set(record, ArcStatus.MINED))

    async def _wait(self, record: Record, wanted: ArcStatus, deadline: float) -> None:
        """Until the wanted status, a bad one, or the deadline; a transaction mined before is never seen in between."""
        if wanted < ArcStatus.MINED and self._devnet.chain.block_of(record.txid):
            return
        while record.status < wanted and record.status not in BAD:
            try:
                async with asyncio.timeout_at(deadline):
                    await record.changed.wait()
            except TimeoutError:
                return

    def _submitted(self, record: Record, status: ArcStatus | None = None) -> dict[str, Any]:
        answer = {**self.registry.answer(record), "status": 200, "title": "OK"}
        return answer if status is None else {**answer, "txStatus": status.name}

    def policy(self) -> dict[str, Any]:
        policy = self._devnet.chain.policy
        return {
            "policy": {
                "maxscriptsizepolicy": policy.max_script_size,
                "maxtxsigopscountspolicy": 0xFFFFFFFF,
                "maxtxsizepolicy": policy.max_transaction_size,
                "miningFee": {"satoshis": policy.fee_satoshis, "bytes": policy.fee_bytes},
                "standardFormatSupported": True,
            },
            "timestamp": timestamp(self._clock()),
        }
