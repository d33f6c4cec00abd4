"""A refusal is believed only after the network was asked, and only as far as it answered (R8, R10, R11).

Nothing here touches the database; every answer that is missing ends as ``NoVerdict``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdk.core.errors import ParseError, SdkError
from sdk.core.transaction import Transaction
from sdk.service.logging import get_logger
from sdk.wallet.broadcasting.verdicts import Finding
from sdk.wallet.lifecycle import evidence as by
from sdk.wallet.script import ScriptError
from sdk.wallet.script.flags import CONSENSUS
from sdk.wallet.script.interpreter import verify_script
from sdk.wallet.services.ports import ProofState, TxState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from sdk.core.transaction import OutPoint, TransactionOutput
    from sdk.wallet.broadcasting.policy import SendPolicy
    from sdk.wallet.broadcasting.verdicts import Summary
    from sdk.wallet.services.ports import TxStatus, WalletServices

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Subject:
    """The transaction in question. ``accepted_before`` says that some provider once took it (R18, R20); ``sources`` are
    the outputs it spends."""

    txid: str
    raw_tx: bytes
    accepted_before: bool
    sources: Mapping[OutPoint, TransactionOutput]


@dataclass(frozen=True, slots=True)
class Rival:
    """A transaction that spends one of the subject's inputs. ``unlocks`` says that its script really does so: what a
    lying service makes up cannot."""

    txid: str
    raw_tx: bytes
    outpoint: str
    status: TxStatus
    unlocks: bool


async def confirm(
    services: WalletServices, summary: Summary, subject: Subject, policy: SendPolicy
) -> tuple[by.Evidence, tuple[Rival, ...]]:
    """The evidence that ``summary`` amounts to, and the rivals that were found, each with its bytes."""
    if summary.finding is Finding.ACCEPTED:
        return by.BroadcastAccepted(summary.provider, summary.word, summary.already_known), ()
    if summary.finding is Finding.CONDITION:
        return by.ConditionUnmet(summary.reason), ()
    if summary.finding is Finding.NOTHING:
        return by.NoVerdict(summary.reason), ()
    try:
        async with asyncio.timeout(3 * policy.question_timeout.total_seconds()):
            return await _confirm_refusal(services, summary, subject, policy)
    except (SdkError, TimeoutError, OSError) as error:
        return by.NoVerdict(f"{summary.reason}; it could not be confirmed: {error or 'time-out'}"), ()


async def _confirm_refusal(
    services: WalletServices, summary: Summary, subject: Subject, policy: SendPolicy
) -> tuple[by.Evidence, tuple[Rival, ...]]:
    status = (await services.get_statuses([subject.txid])).get(subject.txid)
    if status is None or status.state is TxState.UNAVAILABLE:
        return by.NoVerdict(f"{summary.reason}; nobody could say whether the network knows it"), ()
    if status.state in (TxState.KNOWN, TxState.MINED):
        return by.NetworkKnows(status.provider, status.state.value), ()
    if summary.finding is Finding.DISPUTED:
        return by.NoVerdict(f"providers contradict each other, and the network does not know it: {summary.reason}"), ()
    if summary.finding is Finding.DOUBLE_SPEND:
        return await _confirm_double_spend(services, summary, subject, policy)
    if subject.accepted_before:
        return by.LateRejection(summary.provider, summary.reason), ()
    return by.InvalidVerdict(summary.provider, summary.reason), ()


async def _confirm_double_spend(
    services: WalletServices, summary: Summary, subject: Subject, policy: SendPolicy
) -> tuple[by.Evidence, tuple[Rival, ...]]:
    if not summary.competitors:
        return by.NoVerdict(f"a double spend without a named competitor proves nothing: {summary.reason}"), ()
    rivals = await find_rivals(services, summary.competitors[: policy.rivals], subject)
    for rival in rivals:
        if rival.status.state is TxState.MINED:
            block = await _proven_in(services, rival.txid)
            if block is not None:
                return by.DoubleSpendMined(rival.txid, rival.outpoint, *block), rivals
    for rival in rivals:
        if rival.unlocks and rival.status.state in (TxState.KNOWN, TxState.MINED):
            return by.DoubleSpendVerified(rival.txid, rival.outpoint, rival.status.provider), rivals
    return by.NoVerdict(f"no named competitor was found that spends our input: {summary.reason}"), rivals


async def find_rivals(services: WalletServices, txids: tuple[str, ...], subject: Subject) -> tuple[Rival, ...]:
    """Those of ``txids`` whose bytes are to be had and spend an input of ``subject``."""
    statuses = await services.get_statuses(list(txids))
    found = []
    for txid in txids:
        raw = await _known_bytes(services.get_raw_tx(txid), txid)
        if raw is None or txid not in statuses:
            continue
        rival = Transaction.from_bytes(raw)
        for index, each in enumerate(rival.inputs):
            if each.outpoint in subject.sources:
                unlocks = _unlocks(rival, index, subject.sources[each.outpoint])
                found.append(Rival(txid, raw, str(each.outpoint), statuses[txid], unlocks))
                break
    return tuple(found)


def _unlocks(rival: Transaction, index: int, source: TransactionOutput) -> bool:
    try:
        verify_script(
            rival.inputs[index].unlocking_script,
            source.locking_script,
            transaction=rival,
            input_index=index,
            satoshis=source.satoshis,
            flags=CONSENSUS,
        )
    except ScriptError as error:
        log.warning("a named competitor does not unlock our coin", rival=rival.txid(), reason=str(error))
        return False
    return True


async def _known_bytes(answer: Awaitable[bytes | None], txid: str) -> bytes | None:
    try:
        raw = await answer
        if raw is None or Transaction.from_bytes(raw).txid() != txid:
            return None
    except ParseError as error:
        log.warning("a service gave bytes that are no transaction", txid=txid, error=str(error))
        return None
    return raw


async def _proven_in(services: WalletServices, txid: str) -> tuple[str, int] | None:
    """Hash and height of the block of our own chain that holds ``txid``."""
    result = await services.get_merkle_path(txid)
    if result.state is not ProofState.FOUND or result.path is None or not result.path.contains(txid):
        return None
    root, height = result.path.compute_root(txid), result.path.block_height
    if not await services.chain_tracker.is_valid_root_for_height(root, height):
        return None
    header = await services.get_header_for_height(height)
    return (header.hash(), height) if header.merkle_root == root else None
