"""Simplified payment verification of a BEEF (BRC-67): is this transaction good, if the chain has these merkle roots?

Every ancestor that is not proven by a merkle path is judged in full: its own rules, that the outputs it spends exist
and are spent once, that it spends no more than it has, and its scripts. Each is visited once, parents first, so the
cost is linear in the BEEF and nothing recurses. Transactions of the BEEF that the subject does not need are not judged,
but what they spend counts when double spends are looked for.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from sdk.core.chain import MAIN
from sdk.core.errors import ParseError
from sdk.core.fees import node_fee_for_size
from sdk.wallet.script.errors import ScriptError, SpvError, SpvFailure
from sdk.wallet.script.flags import ScriptFlags, block_flags
from sdk.wallet.script.interpreter import verify_script
from sdk.wallet.script.limits import POLICY_LIMITS
from sdk.wallet.script.sighash import SignatureHasher
from sdk.wallet.script.transaction_rules import InvalidTransaction, check_transaction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sdk.core.beef import Beef
    from sdk.core.chain import ChainParameters
    from sdk.core.ports import ChainTracker
    from sdk.core.transaction import Transaction, TransactionOutput
    from sdk.wallet.script.limits import ScriptLimits

_NONE_KNOWN: Mapping[str, Transaction] = MappingProxyType({})
_ROOTS_AT_ONCE = 8
_INPUTS_PER_TURN = 32  # scripts run between two chances for other tasks of the event loop


@dataclass(frozen=True, slots=True)
class SpvPlan:
    """What is left to hold when a BEEF's structure and sums do: merkle roots by height, and scripts."""

    roots: Mapping[int, str]
    root_witnesses: Mapping[int, str]
    """For each height, a transaction that the root proves."""
    coinbases: Mapping[str, int]
    """Coinbases that unproven transactions spend, and their heights."""
    unproven: tuple[UnprovenTransaction, ...]


@dataclass(frozen=True, slots=True)
class UnprovenTransaction:
    """A transaction to judge, with the outputs it spends and the heights they were mined at (``None``: not yet)."""

    transaction: Transaction
    sources: tuple[TransactionOutput, ...]
    source_heights: tuple[int | None, ...]


async def verify(
    beef: Beef,
    txid: str,
    chain_tracker: ChainTracker,
    *,
    fee_rate: int | None = None,
    chain: ChainParameters = MAIN,
    known: Mapping[str, Transaction] = _NONE_KNOWN,
    extra_flags: ScriptFlags = ScriptFlags.NONE,
    limits: ScriptLimits = POLICY_LIMITS,
) -> None:
    """Check that ``beef`` proves transaction ``txid``.

    ``fee_rate``: satoshis per 1,000 bytes the subject must pay if it is not proven. ``known``: transactions the caller
    has verified before; they stand for txid-only entries and end the ancestry. ``extra_flags``: script rules beyond
    consensus, as ``flags.POLICY_ONLY``.
    Raises ``SpvError`` with reason, txid and input; ``ServiceUnavailable`` if the tracker cannot tell, which is no
    verdict (R52).
    """
    plan = prepare(beef, txid, fee_rate=fee_rate, known=known)
    await _confirm_roots(plan, chain_tracker)
    next_height = None
    if plan.coinbases or max(plan.roots, default=0) < chain.chronicle_height:
        next_height = await chain_tracker.current_height() + 1
        check_maturity(plan, next_height, chain)
    for count, _ in enumerate(_run_scripts(plan, _Rules.of(plan, next_height, chain, extra_flags), limits), 1):
        if count % _INPUTS_PER_TURN == 0:
            await asyncio.sleep(0)


def check(
    beef: Beef,
    txid: str,
    *,
    next_height: int | None = None,
    fee_rate: int | None = None,
    chain: ChainParameters = MAIN,
    known: Mapping[str, Transaction] = _NONE_KNOWN,
    extra_flags: ScriptFlags = ScriptFlags.NONE,
    limits: ScriptLimits = POLICY_LIMITS,
) -> Mapping[int, str]:
    """All of ``verify`` that needs no chain: the merkle roots, by height, that the best chain must have.

    ``next_height`` is one above the tip; without it the newest rules of the chain are taken, and the maturity of
    coinbases is left to the caller. Raises ``SpvError``.
    """
    plan = prepare(beef, txid, fee_rate=fee_rate, known=known)
    if next_height is not None:
        check_maturity(plan, next_height, chain)
    for _ in _run_scripts(plan, _Rules.of(plan, next_height, chain, extra_flags), limits):
        pass
    return plan.roots


def prepare(
    beef: Beef, txid: str, *, fee_rate: int | None = None, known: Mapping[str, Transaction] = _NONE_KNOWN
) -> SpvPlan:
    """Judge structure, proofs (against their own roots), rules, sums and fee; no script is run. Raises ``SpvError``."""
    subject = beef.transaction(txid)
    if subject is None:
        raise SpvError(SpvFailure.MISSING_SUBJECT, txid, "it is not in the BEEF")
    walk = _Walk(beef, known)
    for ancestor in (*beef.ancestors(txid), txid):
        walk.visit(ancestor)
    walk.find_double_spends()
    if fee_rate is not None and beef.path_for(txid) is None:
        _check_fee(walk.unproven[-1], fee_rate)
    return SpvPlan(walk.roots, walk.witnesses, walk.coinbases, tuple(walk.unproven))


def _check_fee(subject: UnprovenTransaction, fee_rate: int) -> None:
    transaction = subject.transaction
    fee = sum(source.satoshis for source in subject.sources) - transaction.output_satoshis()
    least = node_fee_for_size(transaction.size(), fee_rate)
    if fee < least:
        raise SpvError(
            SpvFailure.FEE_TOO_LOW,
            transaction.txid(),
            f"it pays {fee} satoshis for {transaction.size()} bytes; at {fee_rate} per 1,000 bytes {least} are needed",
        )


class _Walk:
    """One pass over the ancestry, parents first."""

    def __init__(self, beef: Beef, known: Mapping[str, Transaction]) -> None:
        self._beef = beef
        self._known = known
        self._heights: dict[str, int] = {}
        self.roots: dict[int, str] = {}
        self.witnesses: dict[int, str] = {}
        self.coinbases: dict[str, int] = {}
        self.unproven: list[UnprovenTransaction] = []

    def visit(self, txid: str) -> None:
        transaction = self._beef.transaction(txid)
        if transaction is None:
            if txid not in self._known:
                raise SpvError(SpvFailure.MISSING_ANCESTOR, txid, "only its txid is in the BEEF, and it is not known")
            return
        path = self._beef.path_for(txid)
        if path is None:
            self._visit_unproven(txid, transaction)
            return
        if transaction.size() == 64:
            raise SpvError(SpvFailure.INVALID_PROOF, txid, "64 bytes may as well be an inner node of a merkle tree")
        try:
            root = path.compute_root(txid)
        except ParseError as error:
            raise SpvError(SpvFailure.INVALID_PROOF, txid, str(error)) from None
        height = path.block_height
        if self.roots.setdefault(height, root) != root:
            raise SpvError(SpvFailure.WRONG_ROOT, txid, f"the BEEF names two merkle roots for height {height}")
        self.witnesses.setdefault(height, txid)
        self._heights[txid] = height

    def _visit_unproven(self, txid: str, transaction: Transaction) -> None:
        if transaction.is_coinbase:
            raise SpvError(SpvFailure.UNPROVEN_COINBASE, txid, "a coinbase without a proof")
        try:
            check_transaction(transaction)
        except InvalidTransaction as error:
            raise SpvError(SpvFailure.INVALID_TRANSACTION, txid, str(error)) from None
        sources = tuple(self._source(txid, index, *each) for index, each in enumerate(transaction.sources()))
        heights = tuple(self._heights.get(digest[::-1].hex()) for digest, _ in transaction.sources())
        available, wanted = sum(source.satoshis for source in sources), transaction.output_satoshis()
        if wanted > available:
            raise SpvError(
                SpvFailure.OUTPUTS_ABOVE_INPUTS, txid, f"its outputs are {wanted} satoshis, its inputs {available}"
            )
        self.unproven.append(UnprovenTransaction(transaction, sources, heights))

    def _source(self, txid: str, index: int, digest: bytes, vout: int) -> TransactionOutput:
        source_txid = digest[::-1].hex()
        source = self._beef.transaction(source_txid) or self._known.get(source_txid)
        if source is None:
            raise SpvError(SpvFailure.MISSING_ANCESTOR, txid, f"the BEEF lacks {source_txid}, which it spends", index)
        if vout >= source.output_count():
            raise SpvError(
                SpvFailure.MISSING_OUTPUT, txid, f"{source_txid} has {source.output_count()} outputs, no {vout}", index
            )
        if source.is_coinbase and source_txid in self._heights:
            self.coinbases[source_txid] = self._heights[source_txid]
        return source.outputs[vout]

    def find_double_spends(self) -> None:
        """One output spent by two transactions of the BEEF: at most one of them can be true."""
        spent: dict[tuple[bytes, int], Transaction] = {}
        for transaction in self._beef.transactions():
            for index, outpoint in enumerate(transaction.sources()):
                other = spent.setdefault(outpoint, transaction)
                if other is not transaction:
                    raise SpvError(
                        SpvFailure.DOUBLE_SPEND,
                        transaction.txid(),
                        f"{other.txid()} spends {outpoint[0][::-1].hex()}.{outpoint[1]} too",
                        index,
                    )


def check_maturity(plan: SpvPlan, next_height: int, chain: ChainParameters) -> None:
    """Raises ``SpvError`` if a coinbase is spent that the next block may not spend yet."""
    for txid, height in plan.coinbases.items():
        if next_height - height < chain.coinbase_maturity:
            raise SpvError(
                SpvFailure.IMMATURE_COINBASE,
                txid,
                f"a coinbase of height {height} is spendable from height {height + chain.coinbase_maturity} on",
            )


async def _confirm_roots(plan: SpvPlan, chain_tracker: ChainTracker) -> None:
    gate = asyncio.Semaphore(_ROOTS_AT_ONCE)

    async def confirm(height: int, root: str) -> bool:
        async with gate:
            return await chain_tracker.is_valid_root_for_height(root, height)

    answers = await asyncio.gather(*(confirm(*each) for each in plan.roots.items()), return_exceptions=True)
    for (height, root), answer in zip(plan.roots.items(), answers, strict=True):
        if answer is False:
            raise SpvError(
                SpvFailure.WRONG_ROOT,
                plan.root_witnesses[height],
                f"the chain does not have merkle root {root} at height {height}",
            )
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer


class _Rules:
    """The script flags for outputs by the height they were mined at."""

    def __init__(self, height: int, chain: ChainParameters, extra_flags: ScriptFlags) -> None:
        self._chain = chain
        self._next_height = height
        self._flags = {
            mined: block_flags(height, mined, chain) | extra_flags
            for mined in (0, chain.genesis_height, chain.chronicle_height)
        }

    @classmethod
    def of(cls, plan: SpvPlan, next_height: int | None, chain: ChainParameters, extra_flags: ScriptFlags) -> _Rules:
        if next_height is None:
            newest = max(chain.chronicle_height, chain.bip65_height, chain.csv_height)
            next_height = max(max(plan.roots, default=0) + 1, newest)
        return cls(next_height, chain, extra_flags)

    def flags(self, mined: int | None) -> ScriptFlags:
        height = self._next_height if mined is None else mined
        if self._chain.is_chronicle_active(height):
            return self._flags[self._chain.chronicle_height]
        return self._flags[self._chain.genesis_height if self._chain.is_genesis_active(height) else 0]


def _run_scripts(plan: SpvPlan, rules: _Rules, limits: ScriptLimits) -> Iterator[None]:
    """Yields after each input that is unlocked. Raises ``SpvError``."""
    for each in plan.unproven:
        transaction = each.transaction
        hasher = SignatureHasher(transaction)
        for index, spending in enumerate(transaction.inputs):
            source = each.sources[index]
            try:
                verify_script(
                    spending.unlocking_script,
                    source.locking_script,
                    transaction=transaction,
                    input_index=index,
                    satoshis=source.satoshis,
                    flags=rules.flags(each.source_heights[index]),
                    limits=limits,
                    hasher=hasher,
                )
            except ScriptError as error:
                raise SpvError(SpvFailure.SCRIPT, transaction.txid(), str(error), index) from error
            yield
