"""createAction, the client's side (spec/wallet-stack.md §3.1, corrected)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sdk.core.errors import SdkError
from sdk.core.wallet import (
    AbortActionArgs,
    CreateActionResult,
    SignableTransaction,
    validate_create_action,
)
from sdk.service.logging import get_logger
from sdk.wallet.actions.drafting import complete, draft_action, proven
from sdk.wallet.actions.handover import hand_over, refuse_unsent, signed
from sdk.wallet.actions.pending import Pending
from sdk.wallet.actions.unlocking import check_unlocking_scripts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.core.storage import StorageCreateActionResult
    from sdk.core.wallet import (
        CreateActionArgs,
        ValidCreateActionArgs,
    )
    from sdk.wallet.actions.context import ActionContext
    from sdk.wallet.actions.drafting import Draft
    from sdk.wallet.actions.handover import Signed

RELEASE_TIMEOUT = 30.0
log = get_logger(__name__)


async def create_action(context: ActionContext, args: CreateActionArgs | Mapping[str, Any]) -> CreateActionResult:
    """Validate; let storage choose inputs; check its answer; sign; run every script; only then hand over."""
    valid = validate_create_action(args)
    refuse_unsent(context, valid.options, is_new=valid.is_new_tx)
    action: Signed | None = None
    if valid.is_new_tx or valid.is_test_werr_review_actions:
        answer = await _reserve(context, valid)
        try:
            draft = draft_action(valid, answer, context.coins, context.bounds)
            if valid.is_sign_action:
                return _signable(context, valid, draft)
            action = _sign(context, valid, draft)
        except BaseException:
            await _release(context, answer)
            raise
    results = await hand_over(context, action, valid.options)
    return CreateActionResult(
        txid=None if action is None else action.txid,
        tx=None if action is None else action.tx,
        no_send_change=None if action is None else action.no_send_change,
        send_with_results=results.send_with_results or None,
    )


async def _reserve(context: ActionContext, args: ValidCreateActionArgs) -> StorageCreateActionResult:
    """Storage's answer. A caller who gives up meanwhile leaves nothing reserved (R27)."""
    asked = args if args.is_sign_action else args.for_storage()
    answering = asyncio.ensure_future(context.storage.create_action(context.auth, asked))
    try:
        return await asyncio.shield(answering)
    except asyncio.CancelledError:
        with suppress(SdkError):  # then nothing was reserved
            await _release(context, await answering)
        raise


def _sign(context: ActionContext, args: ValidCreateActionArgs, draft: Draft) -> Signed:
    transaction = complete(draft, {})
    check_unlocking_scripts(draft, transaction, context.chain, lambda vin: f"inputs[{vin}].unlockingScript")
    return signed(draft, transaction, args.options)


def _signable(context: ActionContext, args: ValidCreateActionArgs, draft: Draft) -> CreateActionResult:
    """AtomicBEEF of the unsigned transaction, so that its caller sees what it will sign (R78)."""
    context.pending.keep(Pending(args, draft))
    tx = proven(draft, draft.transaction)
    return CreateActionResult(signable_transaction=SignableTransaction(tx=tx, reference=draft.reference))


async def _release(context: ActionContext, answer: StorageCreateActionResult) -> None:
    """Nothing was signed: give the reserved inputs back, whatever becomes of the caller (R27)."""
    releasing = asyncio.ensure_future(_abort(context, answer.reference))
    try:
        await asyncio.shield(releasing)
    except asyncio.CancelledError:
        await releasing
        raise


async def _abort(context: ActionContext, reference: str) -> None:
    try:
        async with asyncio.timeout(RELEASE_TIMEOUT):
            await context.storage.abort_action(context.auth, AbortActionArgs(reference=reference))
    except (SdkError, TimeoutError) as error:
        # Its inputs stay reserved until the monitor fails abandoned actions; nothing is lost.
        log.warning("an unsigned action could not be released", reference=reference, reason=str(error))
