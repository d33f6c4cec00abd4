"""The block tree, its best branch, and the transactions around it.

A plain object without clock, socket or random number: the same calls give the same chain. Every method that changes
something says what changed (``Change``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from sdk.devnet.chain.block import genesis, mine
from sdk.devnet.chain.block_rules import check_body, check_header
from sdk.devnet.chain.ledger import Coin, Ledger, check_amounts, check_maturity
from sdk.devnet.chain.mempool import Mempool, Orphans
from sdk.devnet.chain.rules import (
    OP_TRUE,
    Policy,
    check_standard,
    check_transaction,
    coinbase,
    push_number,
)
from sdk.devnet.chain.scripts import ScriptIndex
from sdk.devnet.errors import BlockRefused, OutOfRange, RefusalKind, TransactionRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sdk.core.header import BlockHeader
    from sdk.core.merkle_path import MerklePath
    from sdk.core.script import Script
    from sdk.core.transaction import OutPoint, Transaction, TransactionOutput
    from sdk.devnet.chain.block import Block
    from sdk.devnet.chain.ledger import VerifyInput

MEDIAN_SPAN = 11
COINBASE_TAG = b"/sdk-devnet/"
"""Also keeps coinbases from having the 64 bytes of an inner node of a merkle tree."""


@dataclass(frozen=True, slots=True)
class Node:
    """A block in the tree; ``chain_work`` counts from the genesis block on."""

    block: Block
    height: int
    chain_work: int
    parent: Node | None

    @property
    def hash(self) -> str:
        return self.block.hash


@dataclass(frozen=True, slots=True)
class Dropped:
    """A transaction that left without being mined, and why."""

    txid: str
    refusal: TransactionRefused


@dataclass(frozen=True, slots=True)
class Change:
    """What one call did, in the order blocks left, blocks came, transactions came, transactions were dropped."""

    disconnected: tuple[Node, ...] = ()
    connected: tuple[Node, ...] = ()
    accepted: tuple[str, ...] = ()
    orphaned: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()


class Outcome(Enum):
    ACCEPTED = "accepted"
    IN_MEMPOOL = "in mempool"  # it was there already
    MINED = "mined"  # it was mined already
    ORPHAN = "orphan"  # held until its parents come


@dataclass(frozen=True, slots=True)
class Submission:
    outcome: Outcome
    change: Change


class Chain:
    def __init__(self, verify_input: VerifyInput, policy: Policy | None = None, first: Block | None = None) -> None:
        """``first`` is the genesis block, whose output nobody can spend; the default is regtest's."""
        self.policy = policy or Policy()
        self.mempool = Mempool()
        self.ledger = Ledger(self.policy)
        self.orphans = Orphans(self.policy.max_orphans, self.policy.max_orphan_bytes)
        self.transactions: dict[str, Transaction] = {}
        self.scripts = ScriptIndex()
        self.frozen: dict[OutPoint, str] = {}
        self.verify_input = verify_input
        self._verified: set[str] = set()
        self._blocks_of: dict[str, list[str]] = {}
        block = first or genesis()
        root = Node(block, 0, block.header.work(), None)
        self.nodes: dict[str, Node] = {root.hash: root}
        self.active: list[Node] = [root]
        self._index(root)

    # what is so

    @property
    def tip(self) -> Node:
        return self.active[-1]

    @property
    def height(self) -> int:
        return self.tip.height

    def node_at(self, height: int) -> Node:
        """The block of the best chain at ``height``; raises ``OutOfRange``."""
        if not 0 <= height <= self.height:
            raise OutOfRange("the block height", height, 0, self.height)
        return self.active[height]

    def header_at(self, height: int) -> BlockHeader:
        return self.node_at(height).block.header

    def is_active(self, node: Node) -> bool:
        return node.height <= self.height and self.active[node.height] is node

    def block_of(self, txid: str) -> Node | None:
        """The block of the best chain that holds ``txid``."""
        nodes = (self.nodes[each] for each in self._blocks_of.get(txid, ()))
        return next((node for node in nodes if self.is_active(node)), None)

    def merkle_path(self, txid: str) -> MerklePath | None:
        """Its proof in the best chain; ``None`` if it is not mined."""
        node = self.block_of(txid)
        return None if node is None else node.block.merkle_path(txid, node.height)

    def output(self, outpoint: OutPoint) -> TransactionOutput | None:
        """The output, spent or not, of any transaction this chain has seen."""
        transaction = self.transactions.get(outpoint.txid)
        if transaction is None or outpoint.vout >= len(transaction.outputs):
            return None
        return transaction.outputs[outpoint.vout]

    def spender(self, outpoint: OutPoint) -> str | None:
        """The mined or waiting transaction that spends ``outpoint``."""
        return self.ledger.spenders.get(outpoint) or self.mempool.spenders.get(outpoint)

    def median_time(self, node: Node | None = None) -> int:
        """Median time past: of ``node`` (the tip) and the ten before it."""
        times: list[int] = []
        each = node or self.tip
        while len(times) < MEDIAN_SPAN:
            times.append(each.block.header.time)
            if each.parent is None:
                break
            each = each.parent
        return sorted(times)[len(times) // 2]

    # transactions

    def submit(self, transaction: Transaction, *, relay: bool = True, hold_orphan: bool = True) -> Submission:
        """Take a transaction into the mempool.

        ``relay=False`` leaves out what only relaying asks for (fee, standardness). Raises ``TransactionRefused``;
        a refused transaction changes nothing.
        """
        known = self._known(transaction.txid())
        if known is not None:
            return Submission(known, Change())
        try:
            self._accept(transaction, relay=relay)
        except TransactionRefused as refused:
            if refused.kind is not RefusalKind.MISSING or not hold_orphan:
                raise
            self.orphans.add(transaction)
            return Submission(Outcome.ORPHAN, Change(orphaned=(transaction.txid(),)))
        accepted, dropped = self._adopt_orphans({transaction.txid()})
        return Submission(Outcome.ACCEPTED, Change(accepted=(transaction.txid(), *accepted), dropped=dropped))

    def _known(self, txid: str) -> Outcome | None:
        if txid in self.mempool:
            return Outcome.IN_MEMPOOL
        return Outcome.MINED if self.block_of(txid) is not None else None

    def _accept(self, transaction: Transaction, *, relay: bool) -> None:
        check_transaction(transaction, self.policy)
        txid = transaction.txid()
        if transaction.is_coinbase:
            raise TransactionRefused(txid, RefusalKind.COINBASE, "bad-tx-coinbase")
        if relay:
            check_standard(transaction, self.policy)
        if not transaction.is_final(self.height + 1, self.median_time()):
            raise TransactionRefused(txid, RefusalKind.NON_FINAL, "bad-txns-nonfinal")
        self._check_conflicts(transaction)
        spent = self._spent_coins(transaction)
        check_maturity(transaction, spent, self.height + 1, self.policy.chain.coinbase_maturity)
        fee = check_amounts(transaction, spent)
        if relay and fee < self.policy.minimum_fee(transaction.size()):
            raise TransactionRefused(txid, RefusalKind.FEE, "mempool min fee not met")
        if self.mempool.bytes + transaction.size() > self.policy.max_mempool_bytes:
            raise TransactionRefused(txid, RefusalKind.FULL, "mempool full")
        self._check_scripts(transaction, spent)
        self.orphans.discard(txid)
        self.mempool.add(transaction, fee)
        self._remember(transaction)

    def _check_conflicts(self, transaction: Transaction) -> None:
        txid = transaction.txid()
        for each in transaction.inputs:
            if each.outpoint in self.frozen:
                raise TransactionRefused(txid, RefusalKind.FROZEN, "bad-txns-inputs-frozen")
        outpoints = [each.outpoint for each in transaction.inputs]
        mined = _named(self.ledger.spenders.get(each) for each in outpoints)
        if mined:
            raise TransactionRefused(txid, RefusalKind.SPENT, "bad-txns-inputs-missingorspent", mined)
        waiting = _named(self.mempool.spenders.get(each) for each in outpoints)
        if waiting:
            raise TransactionRefused(txid, RefusalKind.CONFLICT, "txn-mempool-conflict", waiting)

    def _spent_coins(self, transaction: Transaction) -> list[Coin]:
        spent: list[Coin] = []
        for each in transaction.inputs:
            coin = self.ledger.coins.get(each.outpoint)
            waiting = self.mempool.output(each.outpoint) if coin is None else None
            if waiting is not None:
                coin = Coin(waiting, None, False)
            if coin is None:
                raise TransactionRefused(transaction.txid(), RefusalKind.MISSING, "bad-txns-inputs-missingorspent")
            spent.append(coin)
        return spent

    def _check_scripts(self, transaction: Transaction, spent: Sequence[Coin]) -> None:
        txid = transaction.txid()
        if txid in self._verified:  # scripts depend on nothing but the transaction and what it spends
            return
        for index, coin in enumerate(spent):
            failure = self.verify_input(transaction, index, coin.output)
            if failure is not None:
                reason = f"mandatory-script-verify-flag-failed ({failure})"
                raise TransactionRefused(txid, RefusalKind.SCRIPT, reason)
        self._verified.add(txid)

    def _adopt_orphans(self, parents: set[str]) -> tuple[tuple[str, ...], tuple[Dropped, ...]]:
        accepted: list[str] = []
        dropped: list[Dropped] = []
        while parents:
            arrived: set[str] = set()
            for orphan in self.orphans.waiting_for(parents):
                try:
                    self._accept(orphan, relay=True)
                    arrived.add(orphan.txid())
                except TransactionRefused as refused:
                    if refused.kind is not RefusalKind.MISSING:
                        self.orphans.discard(orphan.txid())
                        dropped.append(Dropped(orphan.txid(), refused))
            accepted.extend(sorted(arrived))
            parents = arrived
        return tuple(accepted), tuple(dropped)

    def _remember(self, transaction: Transaction) -> None:
        self.transactions[transaction.txid()] = transaction
        self.scripts.add(transaction, self.output)

    # blocks

    def build_block(
        self,
        time: int,
        *,
        locking_script: Script = OP_TRUE,
        parent: Node | None = None,
        transactions: Sequence[Transaction] | None = None,
    ) -> Block:
        """Mine a block on ``parent`` (the tip) without connecting it.

        ``transactions`` defaults to what the mempool holds, and must be given for another parent than the tip.
        """
        parent = parent or self.tip
        if transactions is None:
            chosen = self.mempool.select(self.policy.max_block_bytes - 1000)
            transactions = [each.transaction for each in chosen]
        beside = {each.txid(): each.outputs for each in transactions}
        fees = sum(self._fee(each, beside) for each in transactions)
        height = parent.height + 1
        reward = fees + self.policy.chain.subsidy(height)
        first = coinbase(height, reward, locking_script, COINBASE_TAG + push_number(len(self.nodes)))
        time = max(time, self.median_time(parent) + 1)
        return mine(parent.hash, [first, *transactions], time, self.policy.chain.pow_limit_bits)

    def _fee(self, transaction: Transaction, beside: Mapping[str, Sequence[TransactionOutput]]) -> int:
        incoming = 0
        for each in transaction.inputs:
            vout, outputs = each.outpoint.vout, beside.get(each.outpoint.txid, ())
            spent = outputs[vout] if vout < len(outputs) else self.output(each.outpoint)
            if spent is None:
                raise TransactionRefused(transaction.txid(), RefusalKind.MISSING, "bad-txns-inputs-missingorspent")
            incoming += spent.satoshis
        return incoming - sum(each.satoshis for each in transaction.outputs)

    def accept_block(self, block: Block) -> Change:
        """Add a block to the tree and follow it if its branch has more work than the best one (§2.2).

        Raises ``BlockRefused``; the best chain is then what it was.
        """
        if block.hash in self.nodes:
            return Change()
        node = self._check_block(block)
        if node.chain_work <= self.tip.chain_work:
            self._index(node)
            return Change()
        disconnected, connected = self._switch(node)
        self._index(node)
        accepted, dropped = self._refill(disconnected, connected) if disconnected else self._retire(block)
        return Change(disconnected=tuple(disconnected), connected=tuple(connected), accepted=accepted, dropped=dropped)

    def _index(self, node: Node) -> None:
        self.nodes[node.hash] = node
        for transaction in node.block.transactions:
            if transaction.txid() not in self.transactions:
                self._remember(transaction)
            self._blocks_of.setdefault(transaction.txid(), []).append(node.hash)

    def _check_block(self, block: Block) -> Node:
        header = block.header
        parent = self.nodes.get(header.previous_hash)
        if parent is None:
            raise BlockRefused(block.hash, "prev-blk-not-found")
        median_time = self.median_time(parent)
        check_header(block, median_time, self.policy)
        check_body(block, parent.height + 1, median_time, self.policy)
        return Node(block, parent.height + 1, parent.chain_work + header.work(), parent)

    def _switch(self, target: Node) -> tuple[list[Node], list[Node]]:
        """Make ``target`` the tip; undone as a whole if one of its blocks is refused."""
        branch: list[Node] = []
        fork: Node = target
        while not self.is_active(fork):
            branch.append(fork)
            assert fork.parent is not None  # the genesis block is always active
            fork = fork.parent
        branch.reverse()
        old = self.active[fork.height + 1 :]
        for node in reversed(old):
            self._disconnect(node)
        connected: list[Node] = []
        try:
            for node in branch:
                self._connect(node)
                connected.append(node)
        except BlockRefused:
            for node in reversed(connected):
                self._disconnect(node)
            for node in old:
                self._connect(node)
            raise
        return old[::-1], connected

    def _connect(self, node: Node) -> None:
        self.ledger.connect(node.block, node.height, self._check_scripts)
        self.active.append(node)

    def _disconnect(self, node: Node) -> None:
        self.ledger.disconnect(node.block)
        self.active.pop()

    def _retire(self, block: Block) -> tuple[tuple[str, ...], tuple[Dropped, ...]]:
        """After a block on top: its transactions leave the mempool, and so does what now conflicts."""
        dropped: list[Dropped] = []
        for transaction in block.transactions:
            self.mempool.remove(transaction.txid())
            self.orphans.discard(transaction.txid())
        for transaction in block.transactions:
            for each in transaction.inputs:
                rival = self.mempool.spenders.get(each.outpoint)
                if rival is not None:
                    dropped.extend(self._evict(rival, transaction.txid()))
        accepted, refused = self._adopt_orphans(set(block.positions))
        return accepted, (*dropped, *refused)

    def _evict(self, txid: str, winner: str) -> list[Dropped]:
        removed = [each.transaction.txid() for each in self.mempool.remove_with_descendants(txid)]
        reason = "bad-txns-inputs-missingorspent"
        first = Dropped(txid, TransactionRefused(txid, RefusalKind.SPENT, reason, [winner]))
        rest = [Dropped(each, TransactionRefused(each, RefusalKind.MISSING, reason)) for each in removed[1:]]
        return [first, *rest]

    def _refill(
        self, disconnected: Sequence[Node], connected: Sequence[Node]
    ) -> tuple[tuple[str, ...], tuple[Dropped, ...]]:
        """After a reorg: what was mined or waiting waits again, as far as it is still valid."""
        removed = [each for node in reversed(disconnected) for each in node.block.transactions[1:]]
        waiting = [entry.transaction for entry in self.mempool]
        before = set(self.mempool.entries)
        self.mempool = Mempool()
        accepted: list[str] = []
        dropped: list[Dropped] = []
        for transaction in [*removed, *waiting]:
            if self._known(transaction.txid()) is not None:
                continue
            try:
                self._accept(transaction, relay=False)
            except TransactionRefused as refused:
                dropped.append(Dropped(transaction.txid(), refused))
                continue
            if transaction.txid() not in before:
                accepted.append(transaction.txid())
        arrived = set(accepted).union(*(node.block.positions for node in connected))
        adopted, refused_orphans = self._adopt_orphans(arrived)
        return (*accepted, *adopted), (*dropped, *refused_orphans)


def _named(txids: Iterable[str | None]) -> list[str]:
    return sorted({each for each in txids if each is not None})
