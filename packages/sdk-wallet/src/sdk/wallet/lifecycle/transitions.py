"""Every allowed transition with the evidence it needs; one table per lifecycle, and nothing else changes a status.

request   (new) ─ nosend | unsent
          unsent ─▶ sending ─▶ unmined ─▶ completed
                       │          ├─▶ unsent          overdue, or refused after acceptance (R18, R20)
                       │          └─▶ doubleSpend     the rival is mined
                       ├─▶ sending                    no verdict, or a condition
                       └─▶ invalid | doubleSpend      terminal, with a reason
          completed ─▶ unmined                        its block left our chain, by nothing else (R3)
          invalid | doubleSpend ─▶ unfail             review; or straight on when the network has it (R56)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from sdk.core.errors import SdkError
from sdk.wallet.lifecycle import evidence as by
from sdk.wallet.lifecycle.statuses import RequestStatus as R
from sdk.wallet.lifecycle.statuses import TransactionStatus as T

if TYPE_CHECKING:
    from collections.abc import Mapping

_Status = TypeVar("_Status", R, T)


class InvalidTransition(SdkError):
    """The evidence does not allow the change; the row stays as it is."""

    code = "ERR_INVALID_TRANSITION"

    def __init__(self, current: R | T, evidence: by.Evidence) -> None:
        self.current, self.evidence = current, evidence
        super().__init__(current, evidence)

    def __str__(self) -> str:
        kind = "request" if isinstance(self.current, R) else "transaction"
        return f"a {kind} that is {self.current.value} does not change on {self.evidence}"


_ACCEPTED = (by.BroadcastAccepted, by.NetworkKnows)


def _moves(
    sources: tuple[_Status, ...], kinds: tuple[type[by.Evidence], ...], target: _Status
) -> dict[tuple[_Status, type[by.Evidence]], _Status]:
    return {(source, kind): target for source in sources for kind in kinds}


_R_WAITING = (R.UNSENT, R.SENDING, R.UNPROCESSED)
_R_ACCEPTED = (R.UNMINED, R.CALLBACK, R.UNCONFIRMED)
_R_FAILED = (R.INVALID, R.DOUBLE_SPEND)
_R_OPEN = (*_R_WAITING, *_R_ACCEPTED, R.NOSEND, R.NONFINAL, R.UNKNOWN)

REQUEST_TRANSITIONS: Mapping[tuple[R, type[by.Evidence]], R] = {
    **_moves((R.NOSEND, R.NONFINAL, R.UNKNOWN, R.UNPROCESSED, R.UNSENT), (by.SendRequested,), R.UNSENT),
    **_moves(_R_WAITING, (by.SendStarted,), R.SENDING),
    **_moves((R.SENDING,), (by.NoVerdict, by.ConditionUnmet, by.LateRejection), R.SENDING),
    **_moves((R.SENDING,), (by.InvalidVerdict,), R.INVALID),
    **_moves((R.SENDING, R.UNFAIL), (by.DoubleSpendVerified,), R.DOUBLE_SPEND),
    **_moves((*_R_OPEN, R.UNFAIL), (by.DoubleSpendMined,), R.DOUBLE_SPEND),
    **_moves((*_R_OPEN, R.UNFAIL, *_R_FAILED), _ACCEPTED, R.UNMINED),
    **_moves((*_R_OPEN, R.UNFAIL, *_R_FAILED), (by.VerifiedProof,), R.COMPLETED),
    **_moves(_R_ACCEPTED, (by.ProofOverdue, by.LateRejection), R.UNSENT),
    **_moves((R.NOSEND, R.NONFINAL, R.UNSENT), (by.UserAbort,), R.INVALID),
    **_moves(_R_OPEN, (by.ParentFailed,), R.INVALID),
    **_moves(_R_FAILED, (by.ReviewRequested,), R.UNFAIL),
    **_moves((R.UNFAIL,), (by.ReviewFoundNothing,), R.INVALID),
    **_moves((R.COMPLETED,), (by.HeaderDeactivated,), R.UNMINED),
}

_T_QUEUED = (T.UNPROCESSED, T.SENDING)
_T_OPEN = (*_T_QUEUED, T.NOSEND, T.NONFINAL, T.UNPROVEN)

TRANSACTION_TRANSITIONS: Mapping[tuple[T, type[by.Evidence]], T] = {
    **_moves((T.UNSIGNED, T.UNPROCESSED), (by.SignedToHold,), T.NOSEND),
    **_moves((T.UNSIGNED, T.UNPROCESSED), (by.SignedToQueue,), T.SENDING),
    **_moves((T.UNSIGNED, T.UNPROCESSED), (by.SignedToSend,), T.UNPROCESSED),
    **_moves((T.NOSEND, T.NONFINAL, *_T_QUEUED), (by.SendRequested, by.SendStarted), T.SENDING),
    **_moves((T.SENDING,), (by.NoVerdict, by.ConditionUnmet, by.LateRejection), T.SENDING),
    **_moves((T.SENDING,), (by.InvalidVerdict,), T.FAILED),
    **_moves((T.SENDING, T.UNFAIL), (by.DoubleSpendVerified,), T.FAILED),
    **_moves((*_T_OPEN, T.UNFAIL), (by.DoubleSpendMined,), T.FAILED),
    **_moves((*_T_OPEN, T.UNFAIL, T.FAILED), _ACCEPTED, T.UNPROVEN),
    **_moves((*_T_OPEN, T.UNFAIL, T.FAILED), (by.VerifiedProof,), T.COMPLETED),
    **_moves((T.UNPROVEN,), (by.ProofOverdue, by.LateRejection), T.SENDING),
    **_moves((T.UNSIGNED, T.UNPROCESSED), (by.AbandonedUnsigned,), T.FAILED),
    **_moves((T.UNSIGNED, T.UNPROCESSED, T.NOSEND, T.NONFINAL), (by.UserAbort,), T.FAILED),
    **_moves((*_T_OPEN, T.UNSIGNED), (by.ParentFailed,), T.FAILED),
    **_moves((T.FAILED,), (by.ReviewRequested,), T.UNFAIL),
    **_moves((T.UNFAIL,), (by.ReviewFoundNothing,), T.FAILED),
    **_moves((T.COMPLETED,), (by.HeaderDeactivated,), T.UNPROVEN),
}


def next_request_status(current: R, evidence: by.Evidence) -> R:
    """Raises ``InvalidTransition``."""
    return _next(REQUEST_TRANSITIONS, current, evidence)


def next_transaction_status(current: T, evidence: by.Evidence) -> T:
    """Raises ``InvalidTransition``."""
    return _next(TRANSACTION_TRANSITIONS, current, evidence)


def _next(
    table: Mapping[tuple[_Status, type[by.Evidence]], _Status], current: _Status, evidence: by.Evidence
) -> _Status:
    target = table.get((current, type(evidence)))
    if target is None:
        raise InvalidTransition(current, evidence)
    return target


def initial_request_status(signed: by.SignedToHold | by.SignedToQueue | by.SignedToSend) -> R:
    """Where a new request starts; what is to be sent starts where the sender looks (R19)."""
    return R.NOSEND if isinstance(signed, by.SignedToHold) else R.UNSENT


def signed_evidence(*, no_send: bool, delayed: bool) -> by.SignedToHold | by.SignedToQueue | by.SignedToSend:
    """The evidence processAction brings, from its options (wallet-stack §3.4)."""
    if no_send:
        return by.SignedToHold()
    return by.SignedToQueue() if delayed else by.SignedToSend()
