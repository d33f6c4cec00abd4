"""internalizeAction, the client's side: believe nothing of what was received (R2, R41, GHSA-5vmp)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdk.core.beef import Beef
from sdk.core.errors import InvalidOperation, InvalidParameter, ParseError, ReviewActions
from sdk.core.wallet import InternalizeActionResult, validate_internalize_action
from sdk.wallet.script import SpvError, spv

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.core.ports import ChainTracker
    from sdk.core.script import Script
    from sdk.core.transaction import Transaction
    from sdk.core.wallet import InternalizeActionArgs, InternalizeOutput, PaymentRemittance
    from sdk.wallet.actions.coins import OwnCoins
    from sdk.wallet.actions.context import ActionContext


async def internalize_action(
    context: ActionContext, args: InternalizeActionArgs | Mapping[str, Any]
) -> InternalizeActionResult:
    """Check structure, proofs and scripts of the AtomicBEEF and that every payment is locked to us; then store it.

    Raises ``InvalidParameter``; ``ServiceUnavailable`` if proofs cannot be checked now; ``ReviewActions`` if the
    network refused a transaction that was not yet mined.
    """
    valid = validate_internalize_action(args)
    beef, subject = _read(valid.tx)
    for position, each in enumerate(valid.outputs):
        _check_output(context.coins, subject, each, f"outputs[{position}]")
    await _verify(context, beef, subject.txid())
    result = await context.storage.internalize_action(context.auth, valid)
    outcomes = result.send_with_results or ()
    if any(each.status == "failed" for each in outcomes):
        raise ReviewActions(
            [each.to_wire() for each in result.not_delayed_results or ()],
            [each.to_wire() for each in outcomes],
            result.txid,
        )
    return InternalizeActionResult(is_merge=result.is_merge, txid=result.txid, satoshis=result.satoshis)


def _read(tx: bytes) -> tuple[Beef, Transaction]:
    """Outputs are read from the transaction whose hash is the named subject, and from no other."""
    try:
        beef = Beef.from_bytes(tx)
    except ParseError as error:
        raise InvalidParameter("tx", f"valid AtomicBEEF ({error})") from None
    if beef.atomic_txid is None:
        raise InvalidParameter("tx", "AtomicBEEF, which names its subject; this is plain BEEF")
    subject = beef.transaction(beef.atomic_txid)
    if subject is None:
        raise InvalidParameter("tx", "AtomicBEEF that holds its subject")
    return beef, subject


def _check_output(coins: OwnCoins, subject: Transaction, given: InternalizeOutput, path: str) -> None:
    count = len(subject.outputs)
    if given.output_index >= count:
        raise InvalidParameter(f"{path}.outputIndex", f"below {count}, the number of outputs of {subject.txid()}")
    if given.payment_remittance is not None:
        script = subject.outputs[given.output_index].locking_script
        if script != _expected_script(coins, given.payment_remittance, path):
            raise InvalidParameter(
                f"{path}.paymentRemittance", f"the derivation that locks output {given.output_index}"
            )


def _expected_script(coins: OwnCoins, remittance: PaymentRemittance, path: str) -> Script:
    prefix, suffix = remittance.derivation_prefix, remittance.derivation_suffix
    try:
        return coins.key(prefix, suffix, remittance.sender_identity_key).locking_script
    except InvalidParameter as error:
        raise InvalidParameter(f"{path}.paymentRemittance", f"a BRC-29 derivation ({error})") from None


async def _verify(context: ActionContext, beef: Beef, txid: str) -> None:
    tracker = context.chain_tracker
    if tracker is None:
        raise InvalidOperation("this wallet has no header source, so it cannot tell whether a received payment is real")
    try:
        await _check_heights(beef, tracker)
        await spv.verify(beef, txid, tracker, chain=context.chain)
    except SpvError as error:
        raise InvalidParameter("tx", f"AtomicBEEF that proves its subject ({error})") from error
    except ParseError as error:
        raise InvalidParameter("tx", f"valid AtomicBEEF ({error})") from error


async def _check_heights(beef: Beef, tracker: ChainTracker) -> None:
    """A block above the tip proves nothing yet: said at once, rather than left as a question nobody can answer."""
    highest = max((path.block_height for path in beef.paths), default=0)
    if beef.paths:
        tip = await tracker.current_height()
        if highest > tip:
            raise InvalidParameter(
                "tx", f"proven by blocks of the chain, whose tip is at {tip}; it names one at {highest}"
            )
