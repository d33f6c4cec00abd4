"""The signed transaction goes to storage, and storage's word on it back to the caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdk.core.errors import ReviewActions
from sdk.core.storage import StorageProcessActionArgs
from sdk.wallet.actions.drafting import proven
from sdk.wallet.actions.errors import NoBackground

if TYPE_CHECKING:
    from sdk.core.storage import StorageProcessActionResults
    from sdk.core.transaction import Transaction
    from sdk.core.wallet import ValidCreateActionOptions
    from sdk.wallet.actions.context import ActionContext
    from sdk.wallet.actions.drafting import Draft


@dataclass(frozen=True, slots=True)
class Signed:
    """``tx`` is AtomicBEEF, ``None`` if only the txid is wanted."""

    reference: str
    transaction: Transaction
    txid: str
    tx: bytes | None
    no_send_change: tuple[str, ...] | None


def signed(draft: Draft, transaction: Transaction, options: ValidCreateActionOptions) -> Signed:
    txid = transaction.txid()
    return Signed(
        draft.reference,
        transaction,
        txid,
        None if options.return_txid_only else proven(draft, transaction),
        tuple(f"{txid}.{vout}" for vout in draft.no_send_change) if options.no_send else None,
    )


def refuse_unsent(context: ActionContext, options: ValidCreateActionOptions, *, is_new: bool) -> None:
    """Raises ``NoBackground`` where a delayed send would never happen (R23)."""
    sends = bool(options.send_with) or (is_new and not options.no_send)
    if sends and options.accept_delayed_broadcast and not context.sends_delayed:
        raise NoBackground


async def hand_over(
    context: ActionContext, action: Signed | None, options: ValidCreateActionOptions
) -> StorageProcessActionResults:
    """Raises ``ReviewActions`` when the network was asked at once and did not take all of it."""
    results = await context.storage.process_action(
        context.auth,
        StorageProcessActionArgs(
            is_new_tx=action is not None,
            is_send_with=bool(options.send_with),
            is_no_send=options.no_send,
            is_delayed=options.accept_delayed_broadcast,
            reference=None if action is None else action.reference,
            txid=None if action is None else action.txid,
            raw_tx=None if action is None else action.transaction.to_bytes(),
            send_with=options.send_with,
        ),
    )
    outcomes = results.send_with_results or ()
    if not options.accept_delayed_broadcast and any(each.status != "unproven" for each in outcomes):
        raise ReviewActions(
            [each.to_wire() for each in results.not_delayed_results or ()],
            [each.to_wire() for each in outcomes],
            None if action is None else action.txid,
            None if action is None else action.tx,
            None if action is None else action.no_send_change,
        )
    return results
