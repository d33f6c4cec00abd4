"""Whatever is submitted, mined and reorganised: nothing is spent twice, and no satoshi appears or disappears."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sdk.core.transaction import OutPoint
from sdk.devnet.chain.chain import Outcome
from sdk.devnet.devnet import Devnet
from sdk.devnet.errors import BlockRefused, RefusalKind, TransactionRefused
from support.devnet_rig import ANYONE, spend

if TYPE_CHECKING:
    from sdk.core.transaction import Transaction, TransactionOutput

PREMINE = 105
FEE = 100


class DevnetMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.devnet = Devnet(premine=PREMINE)
        self.made: dict[OutPoint, int] = {}
        self.work = self.devnet.tip.chain_work

    def _remember(self, transaction: Transaction) -> None:
        for vout, output in enumerate(transaction.outputs):
            if output.locking_script == ANYONE:
                self.made[OutPoint(transaction.txid(), vout)] = output.satoshis

    def _spend(self, data: st.DataObject, most: int = 3) -> Transaction:
        """Of outputs that exist or existed, spent already or not, into one to three of the same worth less a fee."""
        sources = data.draw(
            st.lists(st.sampled_from(sorted(self.made, key=str)), min_size=1, max_size=most, unique=True)
        )
        worth = sum(self.made[each] for each in sources)
        parts = data.draw(st.integers(1, 3))
        return spend(sources, [(worth - FEE) // parts] * parts)

    @rule(satoshis=st.integers(10_000, 10_000_000), mine=st.booleans())
    def fund(self, satoshis: int, mine: bool) -> None:
        self._remember(self.devnet.fund(ANYONE, satoshis, mine=mine).transaction)

    @precondition(lambda self: self.made)
    @rule(data=st.data())
    def submit(self, data: st.DataObject) -> None:
        transaction = self._spend(data)
        if min(each.satoshis for each in transaction.outputs) <= 0:
            return
        rivals = {self.devnet.chain.spender(each.outpoint) for each in transaction.inputs} - {None}
        refused, outcome = None, None
        try:
            outcome = self.devnet.submit(transaction).outcome
        except TransactionRefused as error:
            refused = error
        if refused is not None:
            assert refused.kind in (RefusalKind.CONFLICT, RefusalKind.SPENT)
            assert refused.competing
            assert set(refused.competing) <= rivals
            return
        if outcome is Outcome.ACCEPTED:
            assert not rivals
        self._remember(transaction)

    @precondition(lambda self: self.made)
    @rule(data=st.data(), excess=st.integers(1, 10**9))
    def try_to_make_money(self, data: st.DataObject, excess: int) -> None:
        source = data.draw(st.sampled_from(sorted(self.made, key=str)))
        before = set(self.devnet.chain.mempool.entries)
        try:
            outcome = self.devnet.submit(spend([source], [self.made[source] + excess])).outcome
        except TransactionRefused:
            outcome = None
        assert outcome in (None, Outcome.ORPHAN)
        assert set(self.devnet.chain.mempool.entries) == before

    @precondition(lambda self: self.made)
    @rule(data=st.data())
    def child_before_parent(self, data: st.DataObject) -> None:
        parent = self._spend(data, most=1)
        if min(each.satoshis for each in parent.outputs) <= FEE:
            return
        if self.devnet.chain.block_of(parent.txid()) or parent.txid() in self.devnet.chain.mempool:
            return
        child = spend([OutPoint(parent.txid(), 0)], [parent.outputs[0].satoshis - FEE])
        assert self.devnet.submit(child).outcome is Outcome.ORPHAN
        try:
            taken = self.devnet.submit(parent).outcome is Outcome.ACCEPTED
        except TransactionRefused:
            return
        self._remember(parent)
        self._remember(child)
        assert taken == (child.txid() in self.devnet.chain.mempool)

    @rule(blocks=st.integers(1, 3))
    def mine(self, blocks: int) -> None:
        self.devnet.mine(blocks)
        assert len(self.devnet.chain.mempool) == 0

    @rule(depth=st.integers(1, 4), remine=st.booleans())
    def reorg(self, depth: int, remine: bool) -> None:
        chain = self.devnet.chain
        before = set(chain.mempool.entries)
        removed = {t for node in chain.active[-depth:] for t in node.block.txids[1:]}
        height = self.devnet.height
        self.devnet.reorg(depth, remine=remine)
        assert self.devnet.height == height + 1 + remine
        if not remine:
            assert before | removed == set(chain.mempool.entries), "no rival was mined: all of it waits again"

    @precondition(lambda self: self.made)
    @rule(data=st.data(), depth=st.integers(1, 3))
    def reorg_to_a_rival(self, data: st.DataObject, depth: int) -> None:
        rival = self._spend(data, most=1)
        if min(each.satoshis for each in rival.outputs) <= 0:
            return
        tip = self.devnet.tip
        try:
            self.devnet.reorg(depth, transactions=[rival])
        except (BlockRefused, TransactionRefused):
            assert self.devnet.tip is tip, "undone as a whole"
            return
        self._remember(rival)
        assert self.devnet.chain.block_of(rival.txid()) is not None

    @invariant()
    def unspent_outputs_are_what_a_replay_gives(self) -> None:
        coins: dict[OutPoint, TransactionOutput] = {}
        for node in self.devnet.chain.active[1:]:
            for transaction in node.block.transactions:
                if not transaction.is_coinbase:
                    for each in transaction.inputs:
                        del coins[each.outpoint]  # KeyError: spent twice, or never made
                coins.update((OutPoint(transaction.txid(), v), o) for v, o in enumerate(transaction.outputs))
        assert coins == {outpoint: coin.output for outpoint, coin in self.devnet.chain.ledger.coins.items()}
        subsidy = self.devnet.chain.policy.chain.subsidy
        issued = sum(subsidy(height) for height in range(1, self.devnet.height + 1))
        assert sum(each.satoshis for each in coins.values()) == issued

    @invariant()
    def what_waits_can_be_mined(self) -> None:
        chain = self.devnet.chain
        available = set(chain.ledger.coins)
        for entry in chain.mempool:
            for each in entry.transaction.inputs:
                available.remove(each.outpoint)  # KeyError: missing, or spent by two that wait
            available.update(OutPoint(entry.transaction.txid(), v) for v in range(len(entry.transaction.outputs)))
        assert chain.mempool.bytes == sum(entry.transaction.size() for entry in chain.mempool)

    @invariant()
    def the_chain_is_linked_proven_and_never_loses_work(self) -> None:
        chain = self.devnet.chain
        for below, node in zip(chain.active[-6:-1], chain.active[-5:], strict=True):
            assert node.block.header.previous_hash == below.hash
            assert node.block.header.meets_target(chain.policy.chain.pow_limit)
            for txid in node.block.txids:
                path = self.devnet.merkle_path(txid)
                assert path is not None
                assert path.block_height == node.height
                assert path.compute_root(txid) == node.block.header.merkle_root
        assert chain.tip.chain_work >= self.work
        self.work = chain.tip.chain_work


TestDevnetMachine = DevnetMachine.TestCase
TestDevnetMachine.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
