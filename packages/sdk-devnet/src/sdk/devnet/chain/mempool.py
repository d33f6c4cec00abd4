"""Transactions that wait to be mined, and those that wait for a parent."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdk.core.transaction import OutPoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdk.core.transaction import Transaction, TransactionOutput


@dataclass(frozen=True, slots=True)
class Entry:
    transaction: Transaction
    fee: int
    size: int


class Mempool:
    """Entries in the order they came, which is an order in which they can be mined."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.spenders: dict[OutPoint, str] = {}
        self.bytes = 0

    def __contains__(self, txid: str) -> bool:
        return txid in self.entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, transaction: Transaction, fee: int) -> None:
        txid = transaction.txid()
        self.entries[txid] = Entry(transaction, fee, transaction.size())
        self.bytes += transaction.size()
        for each in transaction.inputs:
            self.spenders[each.outpoint] = txid

    def output(self, outpoint: OutPoint) -> TransactionOutput | None:
        entry = self.entries.get(outpoint.txid)
        if entry is None or outpoint.vout >= len(entry.transaction.outputs):
            return None
        return entry.transaction.outputs[outpoint.vout]

    def remove(self, txid: str) -> Entry | None:
        entry = self.entries.pop(txid, None)
        if entry is not None:
            self.bytes -= entry.size
            for each in entry.transaction.inputs:
                if self.spenders.get(each.outpoint) == txid:
                    del self.spenders[each.outpoint]
        return entry

    def remove_with_descendants(self, txid: str) -> list[Entry]:
        """What was removed, the transaction first."""
        removed: list[Entry] = []
        waiting = [txid]
        while waiting:
            entry = self.remove(waiting.pop())
            if entry is not None:
                removed.append(entry)
                waiting.extend(self.children(entry.transaction))
        return removed

    def children(self, transaction: Transaction) -> list[str]:
        txid = transaction.txid()
        spenders = (self.spenders.get(OutPoint(txid, vout)) for vout in range(len(transaction.outputs)))
        return list(dict.fromkeys(each for each in spenders if each is not None))

    def select(self, max_bytes: int) -> list[Entry]:
        """What fits into a block, parents before children."""
        chosen: list[Entry] = []
        skipped: set[str] = set()
        room = max_bytes
        for txid, entry in self.entries.items():
            if entry.size > room or any(each.outpoint.txid in skipped for each in entry.transaction.inputs):
                skipped.add(txid)
                continue
            chosen.append(entry)
            room -= entry.size
        return chosen


class Orphans:
    """Bounded in number and bytes; the oldest goes first."""

    def __init__(self, max_count: int, max_bytes: int) -> None:
        self._held: OrderedDict[str, Transaction] = OrderedDict()
        self._max_count, self._max_bytes = max_count, max_bytes
        self._bytes = 0

    def __contains__(self, txid: str) -> bool:
        return txid in self._held

    def __len__(self) -> int:
        return len(self._held)

    def get(self, txid: str) -> Transaction | None:
        return self._held.get(txid)

    def add(self, transaction: Transaction) -> None:
        if transaction.txid() in self._held:
            return
        self._held[transaction.txid()] = transaction
        self._bytes += transaction.size()
        while len(self._held) > self._max_count or self._bytes > self._max_bytes:
            self.discard(next(iter(self._held)))

    def discard(self, txid: str) -> None:
        held = self._held.pop(txid, None)
        if held is not None:
            self._bytes -= held.size()

    def waiting_for(self, txids: set[str]) -> list[Transaction]:
        """Held transactions that spend an output of one of ``txids``."""
        return [each for each in self._held.values() if any(i.outpoint.txid in txids for i in each.inputs)]
