"""What this ARC knows about the transactions submitted to it, kept true by the chain's changes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sdk.devnet.arc.problems import ArcProblem
from sdk.devnet.arc.statuses import CALLBACK_FROM, CLIMB, FULL_CALLBACK_FROM, ArcStatus
from sdk.devnet.errors import RefusalKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sdk.core.ports import Clock
    from sdk.core.transaction import Transaction
    from sdk.devnet.arc.callbacks import CallbackSender
    from sdk.devnet.arc.options import Receiver
    from sdk.devnet.arc.settings import ArcSettings
    from sdk.devnet.chain.chain import Chain, Change, Node
    from sdk.devnet.errors import TransactionRefused


@dataclass(slots=True)
class Record:
    """``node`` is the block while the status is MINED; ``changed`` is set and renewed at every status."""

    transaction: Transaction
    submitted_at: datetime
    status: ArcStatus = ArcStatus.UNKNOWN
    extra_info: str = ""
    competing: tuple[str, ...] = ()
    node: Node | None = None
    receivers: list[Receiver] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def txid(self) -> str:
        return self.transaction.txid()


class Registry:
    def __init__(self, chain: Chain, clock: Clock, callbacks: CallbackSender, settings: ArcSettings) -> None:
        self._chain, self._clock, self._callbacks, self._settings = chain, clock, callbacks, settings
        self._records: dict[str, Record] = {}
        self._tasks: dict[str, asyncio.TimerHandle] = {}

    def get(self, txid: str) -> Record | None:
        return self._records.get(txid)

    def register(self, transaction: Transaction) -> Record:
        """The record of ``transaction``, made now if it is new."""
        txid = transaction.txid()
        record = self._records.get(txid)
        if record is None:
            while len(self._records) >= self._settings.max_records:
                self._forget(next(iter(self._records)))
            record = self._records[txid] = Record(transaction, self._clock())
        return record

    def _forget(self, txid: str) -> None:
        self._cancel(txid)
        del self._records[txid]

    def add_receiver(self, record: Record, receiver: Receiver) -> None:
        """Raises ``ArcProblem`` if there are as many as may be."""
        if receiver not in record.receivers:
            if len(record.receivers) >= self._settings.max_receivers:
                raise ArcProblem(400, f"{len(record.receivers)} receivers are registered already", record.txid)
            record.receivers.append(receiver)
            self._callbacks.forgive(receiver.url)

    def set(self, record: Record, status: ArcStatus, *, extra_info: str = "", competing: tuple[str, ...] = ()) -> None:
        """Move to ``status`` and tell the receivers that want it."""
        record.status, record.extra_info, record.competing = status, extra_info, competing
        record.node = self._chain.block_of(record.txid) if status is ArcStatus.MINED else None
        record.changed.set()
        record.changed = asyncio.Event()
        for receiver in record.receivers:
            if status >= (FULL_CALLBACK_FROM if receiver.full else CALLBACK_FROM):
                self._callbacks.send(receiver, self.update(record))

    def climb(self, record: Record) -> None:
        """Up the ladder to SEEN_ON_NETWORK, one rung each ``pace`` seconds."""
        if self._settings.pace <= 0:
            self.set(record, ArcStatus.SEEN_ON_NETWORK)
        else:
            self._step(record, 0)

    def _step(self, record: Record, rung: int) -> None:
        self.set(record, CLIMB[rung])
        if rung + 1 < len(CLIMB):
            self.later(record.txid, self._settings.pace, lambda: self._step(record, rung + 1))

    def later(self, txid: str, delay: float, action: Callable[[], None]) -> None:
        """Do ``action`` after ``delay`` seconds unless the chain says something about ``txid`` before."""
        self._cancel(txid)
        self._tasks[txid] = asyncio.get_running_loop().call_later(delay, action)

    def _cancel(self, txid: str) -> None:
        handle = self._tasks.pop(txid, None)
        if handle is not None:
            handle.cancel()

    def close(self) -> None:
        for handle in self._tasks.values():
            handle.cancel()

    def refused(self, record: Record, refusal: TransactionRefused) -> None:
        """What a node's refusal looks like from here: a double spend while the rival waits, else a rejection."""
        conflict = refusal.kind is RefusalKind.CONFLICT
        status = ArcStatus.DOUBLE_SPEND_ATTEMPTED if conflict else ArcStatus.REJECTED
        self.set(record, status, extra_info=refusal.reason, competing=refusal.competing)

    def follow(self, change: Change) -> None:
        """Bring the records up to what the chain did."""
        for node in change.disconnected:
            for record in self._known(node.block.positions):
                self._cancel(record.txid)
                self.set(record, ArcStatus.MINED_IN_STALE_BLOCK)
        for record in self._known(change.accepted):
            if record.status is not ArcStatus.UNKNOWN:  # a new one is being submitted just now
                self.climb(record)
        for node in change.connected:
            for record in self._known(node.block.positions):
                self._cancel(record.txid)
                self.set(record, ArcStatus.MINED)
        for dropped in change.dropped:
            for record in self._known([dropped.txid]):
                self._cancel(record.txid)
                self.refused(record, dropped.refusal)

    def _known(self, txids: object) -> list[Record]:
        return [self._records[txid] for txid in txids if txid in self._records]  # type: ignore[attr-defined]

    def answer(self, record: Record) -> dict[str, Any]:
        """The status object of ``GET /v1/tx/{txid}``."""
        node = record.node
        return {
            "timestamp": timestamp(self._clock()),
            "txid": record.txid,
            "txStatus": record.status.name,
            "blockHash": node.hash if node else "",
            "blockHeight": node.height if node else 0,
            "merklePath": node.block.merkle_path(record.txid, node.height).to_hex() if node else "",
            "extraInfo": record.extra_info,
            "competingTxs": list(record.competing) or None,
        }

    def update(self, record: Record) -> dict[str, Any]:
        """The body of a callback: the same, without what is empty."""
        return {name: value for name, value in self.answer(record).items() if value}


def timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"
