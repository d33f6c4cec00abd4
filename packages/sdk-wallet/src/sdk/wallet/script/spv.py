"""Simplified payment verification of a BEEF (BRC-67): is this transaction good, if the chain has these merkle roots?

Every ancestor that is not proven by a merkle path is judged in full: its own rules, that the outputs it spends exist
and are spent once, that it spends no more than it has, and its scripts. Each is visited once, parents first, so the
cost is linear in the BEEF and nothing recurses. Transactions of the BEEF that the subject does not need are not judged,
but what they spend counts when double spends are looked for.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from sdk.core.chain import MAIN
from sdk.core.errors import ParseError
from sdk.core.fees import node_fee_for_size
from sdk.wallet.script.errors import ScriptError, SpvError, SpvFailure
from sdk.wallet.script.flags import ScriptFlags, block_flags
from sdk.wallet.script.interpreter.verify import verify_input
from sdk.wallet.script.limits import POLICY_LIMITS
from sdk.wallet.script.parts import TransactionParts
from sdk.wallet.script.sighash import SignatureHasher
from sdk.wallet.script.transaction_rules import InvalidTransaction, check_parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TypeAlias

    from sdk.core.beef import Beef
    from sdk.core.chain import ChainParameters
    from sdk.core.merkle_path import MerklePath
    from sdk.core.ports import ChainTracker
    from sdk.core.transaction import Transaction
    from sdk.wallet.script.limits import ScriptLimits

    Source: TypeAlias = tuple[int, bytes, int | None]
    """An output that is spent: satoshis, locking script, and the height it was mined at (``None``: not yet)."""

_NONE_KNOWN: Mapping[str, Transaction] = MappingProxyType({})
_ROOTS_AT_ONCE = 8
_ORDINARY_WORK = 1_000_000  # of ``ScriptLimits.work``; a P2PKH input takes a tenth
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


class UnprovenTransaction(NamedTuple):
    """A transaction to judge, with the outputs it spends."""

    transaction: Transaction
    parts: TransactionParts
    sources: list[Source]
    fee: int


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
    consensus, as ``flags.POLICY_ONLY``. ``limits.work`` bounds all scripts together, beside a millisecond for each.
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
    walk.find_double_spends()
    walk.visit_ancestry(subject)
    if fee_rate is not None and walk.unproven and walk.unproven[-1].transaction is subject:
        _check_fee(walk.unproven[-1], fee_rate)
    return SpvPlan(walk.roots, walk.witnesses, walk.coinbases, tuple(walk.unproven))


def _check_fee(subject: UnprovenTransaction, fee_rate: int) -> None:
    size = len(subject.parts.raw)
    least = node_fee_for_size(size, fee_rate)
    if subject.fee < least:
        raise SpvError(
            SpvFailure.FEE_TOO_LOW,
            subject.transaction.txid(),
            f"it pays {subject.fee} satoshis for {size} bytes; at {fee_rate} per 1,000 bytes {least} are needed",
        )


class _Walk:
    """One pass over the ancestry, parents first. Transactions go by their hash in wire order."""

    def __init__(self, beef: Beef, known: Mapping[str, Transaction]) -> None:
        self._beef = beef
        self._known = known
        self._transactions = {each.hash(): each for each in beef.transactions()}  # parents before children
        self._parts = {digest: TransactionParts(each) for digest, each in self._transactions.items()}
        self._heights: dict[bytes, int] = {}
        self.roots: dict[int, str] = {}
        self.witnesses: dict[int, str] = {}
        self.coinbases: dict[str, int] = {}
        self.unproven: list[UnprovenTransaction] = []

    def find_double_spends(self) -> None:
        """One output spent by two transactions of the BEEF: at most one of them can be true."""
        spent: dict[bytes, bytes] = {}
        for digest, parts in self._parts.items():
            for index, outpoint in enumerate(parts.outpoints):
                other = spent.setdefault(outpoint, digest)
                if other is not digest:
                    name = f"{_hex(outpoint[:32])}.{int.from_bytes(outpoint[32:], 'little')}"
                    detail = f"{_hex(other)} spends {name} too"
                    raise SpvError(SpvFailure.DOUBLE_SPEND, _hex(digest), detail, index)

    def visit_ancestry(self, subject: Transaction) -> None:
        paths = self._needed(subject)
        for digest in reversed(paths):
            path = paths[digest]
            if path is None:
                self._visit_unproven(digest)
            else:
                self._visit_proven(digest, path)

    def _needed(self, subject: Transaction) -> dict[bytes, MerklePath | None]:
        """What the subject needs, children first, with the path of each that is proven."""
        needed: dict[bytes, MerklePath | None] = {}
        wanted = {subject.hash()}
        for digest in reversed(self._transactions):
            if digest in wanted:
                path = needed[digest] = self._beef.path_for_hash(digest)
                if path is None:
                    wanted.update([outpoint[:32] for outpoint in self._parts[digest].outpoints])
        return needed

    def _visit_proven(self, digest: bytes, path: MerklePath) -> None:
        txid = _hex(digest)
        if len(self._parts[digest].raw) == 64:
            raise SpvError(SpvFailure.INVALID_PROOF, txid, "64 bytes may as well be an inner node of a merkle tree")
        try:
            root = path.compute_root(txid)
        except ParseError as error:
            raise SpvError(SpvFailure.INVALID_PROOF, txid, str(error)) from None
        height = path.block_height
        if self.roots.setdefault(height, root) != root:
            raise SpvError(SpvFailure.WRONG_ROOT, txid, f"the BEEF names two merkle roots for height {height}")
        self.witnesses.setdefault(height, txid)
        self._heights[digest] = height

    def _visit_unproven(self, digest: bytes) -> None:
        transaction, parts = self._transactions[digest], self._parts[digest]
        if parts.is_coinbase:
            raise SpvError(SpvFailure.UNPROVEN_COINBASE, _hex(digest), "a coinbase without a proof")
        try:
            wanted = check_parts(parts)
        except InvalidTransaction as error:
            raise SpvError(SpvFailure.INVALID_TRANSACTION, _hex(digest), str(error)) from None
        sources = [self._source(digest, index, outpoint) for index, outpoint in enumerate(parts.outpoints)]
        available = sum([satoshis for satoshis, _, _ in sources])
        if wanted > available:
            detail = f"its outputs are {wanted} satoshis, its inputs {available}"
            raise SpvError(SpvFailure.OUTPUTS_ABOVE_INPUTS, _hex(digest), detail)
        self.unproven.append(UnprovenTransaction(transaction, parts, sources, available - wanted))

    def _source(self, digest: bytes, index: int, outpoint: bytes) -> Source:
        source = outpoint[:32]
        parts = self._parts.get(source) or self._known_parts(digest, index, source)
        outputs = parts.outputs
        vout = int.from_bytes(outpoint[32:], "little")
        if vout >= len(outputs):
            detail = f"{_hex(source)} has {len(outputs)} outputs, no {vout}"
            raise SpvError(SpvFailure.MISSING_OUTPUT, _hex(digest), detail, index)
        height = self._heights.get(source)
        if height is not None and self._transactions[source].is_coinbase:
            self.coinbases[_hex(source)] = height
        return *outputs[vout], height

    def _known_parts(self, digest: bytes, index: int, source: bytes) -> TransactionParts:
        known = self._known.get(_hex(source))
        if known is None or known.hash() != source:
            detail = f"the BEEF lacks {_hex(source)}, which it spends"
            raise SpvError(SpvFailure.MISSING_ANCESTOR, _hex(digest), detail, index)
        self._parts[source] = parts = TransactionParts(known)
        return parts


def _hex(digest: bytes) -> str:
    return digest[::-1].hex()


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
        self._next_height, self._chain, self._extra_flags = height, chain, int(extra_flags)
        self._found: dict[int, int] = {}  # by era of the output: before Genesis, since, since Chronicle

    @classmethod
    def of(cls, plan: SpvPlan, next_height: int | None, chain: ChainParameters, extra_flags: ScriptFlags) -> _Rules:
        if next_height is None:
            newest = max(chain.chronicle_height, chain.bip65_height, chain.csv_height)
            next_height = max(max(plan.roots, default=0) + 1, newest)
        return cls(next_height, chain, extra_flags)

    def flags(self, mined: int | None) -> int:
        height = self._next_height if mined is None else mined
        era = (height >= self._chain.genesis_height) + (height >= self._chain.chronicle_height)
        found = self._found.get(era)
        if found is None:
            found = self._found[era] = int(block_flags(self._next_height, height, self._chain)) | self._extra_flags
        return found


def _run_scripts(plan: SpvPlan, rules: _Rules, limits: ScriptLimits) -> Iterator[None]:
    """Yields after each input that is unlocked. Raises ``SpvError``.

    What ``limits.work`` allows, beyond an ordinary script's work, is for all inputs together.
    """
    for each in plan.unproven:
        hasher = SignatureHasher(each.transaction, each.parts)
        for index, unlocking in enumerate(each.parts.scripts):
            satoshis, locking, height = each.sources[index]
            try:
                work = verify_input(unlocking, locking, hasher, index, satoshis, rules.flags(height), limits)
            except ScriptError as error:
                raise SpvError(SpvFailure.SCRIPT, each.transaction.txid(), str(error), index) from error
            if work > _ORDINARY_WORK and limits.work is not None:
                limits = replace(limits, work=max(limits.work - work + _ORDINARY_WORK, _ORDINARY_WORK))
            yield
