"""internalizeAction in storage: believe nothing of what was received, record it in one unit, then see that it is sent.

Verification and headers come before the unit, posting after it (R26, R41). The client has checked that payments are
locked to this wallet's keys; everything else is checked here again (spec/wallet-stack.md §3.8).
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdk.core.beef import Beef
from sdk.core.chain import ChainParameters
from sdk.core.errors import InvalidParameter, NotMigrated, ParseError, ServiceUnavailable
from sdk.core.storage import ReviewActionResult, StorageInternalizeActionResult
from sdk.core.wallet import SendWithResult, validate_internalize_action
from sdk.wallet.lifecycle import predicates
from sdk.wallet.script import SpvError, spv
from sdk.wallet.storage.ancestry import ancestry_of, parents_of
from sdk.wallet.storage.migrations import MIGRATIONS
from sdk.wallet.storage.proofs import Proof
from sdk.wallet.storage.received import Received, store_received
from sdk.wallet.storage.users import read_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sdk.core.header import BlockHeader
    from sdk.core.ports import ChainTracker, Clock, Entropy
    from sdk.core.transaction import Transaction
    from sdk.core.wallet import InternalizeActionArgs
    from sdk.core.wallet.fields import SendWithStatus
    from sdk.service.database import Database
    from sdk.wallet.broadcasting.broadcaster import Broadcaster
    from sdk.wallet.broadcasting.settlement import SendOutcome

REFERENCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class InternalizeContext:
    """What the operation needs; ``StorageProvider`` makes it."""

    database: Database
    chain_tracker: ChainTracker
    broadcaster: Broadcaster
    clock: Clock
    entropy: Entropy
    header_for_height: Callable[[int], Awaitable[BlockHeader]]


async def internalize_action(
    context: InternalizeContext, user_id: int, args: InternalizeActionArgs
) -> StorageInternalizeActionResult:
    """Take in outputs of a transaction somebody else made, or that this wallet made and pays itself with.

    Unless it is proven it is posted at once: a refusal that was confirmed ends it (``send_with_results`` says
    *failed*), trouble of the network leaves it to be tried again (R43).
    Raises ``InvalidParameter``; ``InvalidOperation`` if the transaction has failed before; ``ServiceUnavailable`` if
    its proofs cannot be checked now. Each leaves the database as it was.
    """
    args = validate_internalize_action(args)
    settings = await context.database.read(read_settings)
    if settings is None:
        raise NotMigrated("wallet", None, MIGRATIONS.head())
    beef, subject = _subject_of(args)
    await _verify(context, beef, subject, ChainParameters.named(settings.chain))
    headers = await _headers(context, beef)
    txid = subject.txid()
    received = Received(
        user_id=user_id,
        args=args,
        transaction=subject,
        proof=_proof_of(beef, subject, headers),
        ancestry=ancestry_of(beef, headers, without=(txid,)),
        parents=tuple(parents_of(subject)),
        reference=b64encode(context.entropy(REFERENCE_BYTES)).decode(),
        max_output_script=settings.max_output_script,
        now=context.clock(),
    )
    stored = await context.database.write(store_received, received)
    outcomes = await context.broadcaster.send([txid]) if stored.to_send else []
    return StorageInternalizeActionResult(
        is_merge=stored.is_merge,
        txid=txid,
        satoshis=stored.satoshis,
        send_with_results=tuple(SendWithResult(txid=each.txid, status=_word(each)) for each in outcomes) or None,
        not_delayed_results=tuple(
            ReviewActionResult(txid=each.txid, status=each.result, competing_txs=each.competing_txids or None)
            for each in outcomes
        )
        or None,
    )


def _subject_of(args: InternalizeActionArgs) -> tuple[Beef, Transaction]:
    """Outputs are read from the transaction that hashes to the named subject, and from no other (R41)."""
    try:
        beef = Beef.from_bytes(args.tx)
    except ParseError as error:
        raise InvalidParameter("tx", f"valid AtomicBEEF ({error})") from None
    if beef.atomic_txid is None:
        raise InvalidParameter("tx", "AtomicBEEF, which names its subject; this is plain BEEF")
    subject = beef.transaction(beef.atomic_txid)
    if subject is None:
        raise InvalidParameter("tx", "AtomicBEEF that holds its subject")
    for position, each in enumerate(args.outputs):
        if each.output_index >= len(subject.outputs):
            count = len(subject.outputs)
            raise InvalidParameter(f"outputs[{position}].outputIndex", f"below {count}, the number of outputs")
        script = subject.outputs[each.output_index].locking_script
        if each.payment_remittance is not None and not script.is_p2pkh():
            raise InvalidParameter(f"outputs[{position}].paymentRemittance", "for an output with a P2PKH script")
    return beef, subject


async def _verify(context: InternalizeContext, beef: Beef, subject: Transaction, chain: ChainParameters) -> None:
    try:
        await spv.verify(beef, subject.txid(), context.chain_tracker, chain=chain)
    except SpvError as error:
        raise InvalidParameter("tx", f"AtomicBEEF that proves its subject ({error})") from error
    except ParseError as error:
        raise InvalidParameter("tx", f"valid AtomicBEEF ({error})") from error


async def _headers(context: InternalizeContext, beef: Beef) -> Mapping[int, BlockHeader]:
    """Of the blocks the paths name; their roots were confirmed a moment ago and must be so still."""
    headers = {}
    for height, root in beef.trim().roots().items():
        headers[height] = await context.header_for_height(height)
        if headers[height].merkle_root != root:
            raise ServiceUnavailable("headers", f"the block at height {height} changed while a receipt was checked")
    return headers


def _proof_of(beef: Beef, subject: Transaction, headers: Mapping[int, BlockHeader]) -> Proof | None:
    txid = subject.txid()
    path = beef.path_for(txid)
    if path is None:
        return None
    own, header = path.extract([txid]), headers[path.block_height]
    return Proof(
        txid=txid,
        raw_tx=subject.to_bytes(),
        height=path.block_height,
        index=own.offset(txid),
        path=own.to_bytes(),
        block_hash=header.hash(),
        merkle_root=header.merkle_root,
    )


def _word(outcome: SendOutcome) -> SendWithStatus:
    if outcome.result == "success":
        return "unproven"
    return "failed" if predicates.terminal_failure(outcome.status) else "sending"
