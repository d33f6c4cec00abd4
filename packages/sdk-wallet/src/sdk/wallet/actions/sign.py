"""signAction and abortAction, the client's side (spec/wallet-stack.md §3.6, §3.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdk.core.errors import InvalidParameter, ReviewActions
from sdk.core.wallet import (
    SignActionResult,
    merge_sign_options,
    validate_abort_action,
    validate_sign_action,
)
from sdk.wallet.actions.drafting import complete, draft_action
from sdk.wallet.actions.handover import hand_over, refuse_unsent, signed
from sdk.wallet.actions.pending import Pending
from sdk.wallet.actions.unlocking import check_unlocking_scripts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.core.wallet import (
        AbortActionArgs,
        AbortActionResult,
        SignActionArgs,
    )
    from sdk.wallet.actions.context import ActionContext


async def sign_action(context: ActionContext, args: SignActionArgs | Mapping[str, Any]) -> SignActionResult:
    """A script that does not unlock is refused before anything is stored; the action then still waits."""
    valid = validate_sign_action(args)
    pending = await _pending(context, valid.reference)
    options = merge_sign_options(valid.options, pending.args.options)
    refuse_unsent(context, options, is_new=True)
    transaction = complete(pending.draft, valid.spends)
    check_unlocking_scripts(pending.draft, transaction, context.chain, lambda vin: f"spends[{vin}].unlockingScript")
    action = signed(pending.draft, transaction, options)
    try:
        results = await hand_over(context, action, options)
    except ReviewActions:  # it is stored all the same, and signed for good
        context.pending.drop(valid.reference)
        raise
    context.pending.drop(valid.reference)
    return SignActionResult(
        txid=action.txid,
        tx=action.tx,
        send_with_results=results.send_with_results or None,
        no_send_change=action.no_send_change,
    )


async def abort_action(context: ActionContext, args: AbortActionArgs | Mapping[str, Any]) -> AbortActionResult:
    valid = validate_abort_action(args)
    result = await context.storage.abort_action(context.auth, valid)
    context.pending.drop(valid.reference)
    return result


async def _pending(context: ActionContext, reference: str) -> Pending:
    """From memory, or, after a restart, from storage (R78)."""
    known = context.pending.find(reference)
    if known is not None:
        return known
    stored = await context.storage.find_pending_action(context.auth, reference)
    if stored is None:
        raise InvalidParameter("reference", "that of an action of this wallet which still waits for signAction")
    pending = Pending(stored.args, draft_action(stored.args, stored.result, context.coins, context.bounds))
    context.pending.keep(pending)
    return pending
