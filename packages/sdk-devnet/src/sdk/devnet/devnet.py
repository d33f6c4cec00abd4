"""The devnet in one object, for use inside a process; ``server`` puts the services' wires around it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sdk.core.transaction import TransactionOutput
from sdk.devnet.chain.block import Block
from sdk.devnet.chain.chain import Chain, Change, Outcome
from sdk.devnet.chain.rules import OP_TRUE
from sdk.devnet.errors import NothingToSpend, OutOfRange
from sdk.devnet.faucet import Funding, ancestry, build_payment, build_split, within_reach
from sdk.devnet.faults import Faults
from sdk.devnet.verification import verify_input as run_scripts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sdk.core.beef import Beef
    from sdk.core.header import BlockHeader
    from sdk.core.merkle_path import MerklePath
    from sdk.core.ports import Clock
    from sdk.core.script import Script
    from sdk.core.transaction import Transaction
    from sdk.devnet.chain.chain import Node, Submission
    from sdk.devnet.chain.ledger import VerifyInput
    from sdk.devnet.chain.rules import Policy
    from sdk.devnet.journal import Journal

PREMINE = 110
MAX_BLOCKS_AT_ONCE = 10_000
BLOCK_SPACING = timedelta(minutes=10)
Listener = "Callable[[Change], None]"


def utc_now() -> datetime:
    return datetime.now(UTC)


class Devnet:
    """One chain with its mempool, faucet and faults. Not for use from several threads at once."""

    def __init__(
        self,
        policy: Policy | None = None,
        *,
        premine: int = PREMINE,
        clock: Clock = utc_now,
        verify_input: VerifyInput = run_scripts,
        journal: Journal | None = None,
    ) -> None:
        """``premine`` blocks, ten minutes apart and the last one now, are mined on a new chain; one more splits what
        coinbases are mature then (none below 100) into coins for the faucet. With a ``journal`` the chain it holds
        goes on instead.
        """
        self.chain = Chain(verify_input, policy)
        self.faults = Faults()
        self._clock = clock
        self._listeners: list[Callable[[Change], None]] = []
        self._journal: Journal | None = None
        if journal is not None:
            self._replay(journal)
        if self.chain.height == 0:
            start = clock() - BLOCK_SPACING * premine
            for number in range(1, premine + 1):
                self._connect(self.chain.build_block(_seconds(start + BLOCK_SPACING * number)))
            self._refill()

    # what is so

    @property
    def tip(self) -> Node:
        return self.chain.tip

    @property
    def height(self) -> int:
        return self.chain.height

    def header_at(self, height: int) -> BlockHeader:
        """Of the best chain; raises ``OutOfRange``."""
        return self.chain.header_at(height)

    def merkle_path(self, txid: str) -> MerklePath | None:
        """The proof of ``txid`` in the best chain; ``None`` if it is not mined."""
        return self.chain.merkle_path(txid)

    def beef(self, txid: str) -> Beef:
        """``txid`` down to mined ancestors; ``KeyError`` if this chain has not seen it."""
        return ancestry(self.chain, txid)

    async def is_valid_root_for_height(self, root: str, height: int) -> bool:
        """Satisfies ``sdk.core.ports.ChainTracker``."""
        return 0 <= height <= self.height and self.header_at(height).merkle_root == root

    async def current_height(self) -> int:
        return self.height

    # what one can do

    def subscribe(self, listener: Callable[[Change], None]) -> Callable[[], None]:
        """Call ``listener`` after every change; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def submit(self, transaction: Transaction, *, relay: bool = True, hold_orphan: bool = True) -> Submission:
        """Raises ``TransactionRefused``; see ``Chain.submit``."""
        submission = self.chain.submit(transaction, relay=relay, hold_orphan=hold_orphan)
        if submission.outcome is Outcome.ACCEPTED and self._journal is not None:
            self._journal.append(transaction)
        self._announce(submission.change)
        return submission

    def mine(self, blocks: int = 1, *, locking_script: Script = OP_TRUE, empty: bool = False) -> list[Block]:
        """Mine on the tip, with what waits in the mempool unless ``empty``."""
        _check_range("the number of blocks", blocks, 0, MAX_BLOCKS_AT_ONCE)
        mined: list[Block] = []
        for _ in range(blocks):
            transactions = () if empty else None
            block = self.chain.build_block(self._now(), locking_script=locking_script, transactions=transactions)
            self._connect(block)
            mined.append(block)
        return mined

    def reorg(self, depth: int = 1, *, transactions: Sequence[Transaction] = (), remine: bool = False) -> list[Block]:
        """Replace the last ``depth`` blocks by ``depth + 1`` others.

        The first new block holds ``transactions``, for example ones that spend what a removed one spent; what was
        removed returns to the mempool if it is still valid, and is mined in one more block with ``remine``.
        Raises ``OutOfRange``, or ``BlockRefused`` or ``TransactionRefused`` with the chain as it was.
        """
        _check_range("the depth of the reorg", depth, 1, min(self.height, MAX_BLOCKS_AT_ONCE))
        parent = self.chain.node_at(self.height - depth)
        blocks: list[Block] = []
        for number in range(depth + 1):
            content = transactions if number == 0 else ()
            block = self.chain.build_block(self._now(), parent=parent, transactions=content)
            self._connect(block)
            blocks.append(block)
            parent = self.chain.nodes[block.hash]
        return blocks + (self.mine(1) if remine else [])

    def fund(self, locking_script: Script, satoshis: int, *, count: int = 1, mine: bool = False) -> Funding:
        """Pay ``count`` outputs of ``satoshis`` each, as the first outputs of one transaction.

        It waits in the mempool on a mined parent, or is mined at once with ``mine``. Raises ``NothingToSpend``.
        """
        _check_range("the number of outputs", count, 1, 100_000)
        outputs = [TransactionOutput(satoshis, locking_script)] * count
        try:
            transaction = build_payment(self.chain, outputs)
        except NothingToSpend:
            if within_reach(self.chain) <= sum(each.satoshis for each in outputs) or not self._refill():
                raise
            transaction = build_payment(self.chain, outputs)
        self.submit(transaction)
        if mine:
            self.mine(1)
        txid = transaction.txid()
        return Funding(txid, 0, transaction, self.beef(txid).to_atomic(txid))

    def _refill(self) -> bool:
        """Mine what the faucet can use: split coinbases, and change that waits. Whether there was any."""
        split = build_split(self.chain)
        if split is not None:
            self.submit(split)
        if len(self.chain.mempool) == 0:
            return False
        self.mine(1)
        return True

    def close(self) -> None:
        if self._journal is not None:
            self._journal.close()

    def _connect(self, block: Block) -> None:
        change = self.chain.accept_block(block)
        if self._journal is not None:
            self._journal.append(block)
        self._announce(change)

    def _announce(self, change: Change) -> None:
        if change != Change():
            for listener in tuple(self._listeners):
                listener(change)

    def _replay(self, journal: Journal) -> None:
        for record in journal.read():
            if isinstance(record, Block):
                self.chain.accept_block(record)
            else:
                self.chain.submit(record, relay=False)
        self._journal = journal

    def _now(self) -> int:
        return _seconds(self._clock())


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _check_range(what: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise OutOfRange(what, value, lowest, highest)
