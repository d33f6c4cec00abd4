"""Named questions about a status (R5). Every status is in exactly one class; the tests pin the whole table."""

from __future__ import annotations

from sdk.wallet.lifecycle.statuses import RequestStatus as R
from sdk.wallet.lifecycle.statuses import TransactionStatus as T

REQUESTS_HELD = frozenset({R.NOSEND, R.NONFINAL})
"""Signed, and nobody is to send it yet."""
REQUESTS_TO_SEND = frozenset({R.UNSENT, R.SENDING, R.UNPROCESSED})
"""What the sender scans (``unprocessed`` only comes with an adopted database)."""
REQUESTS_ACCEPTED_UNPROVEN = frozenset({R.UNMINED, R.CALLBACK, R.UNCONFIRMED})
REQUESTS_FINAL_MINED = frozenset({R.COMPLETED})
REQUESTS_TERMINAL_FAILURE = frozenset({R.INVALID, R.DOUBLE_SPEND})
REQUESTS_UNDER_REVIEW = frozenset({R.UNKNOWN, R.UNFAIL})
REQUESTS_IN_FLIGHT = REQUESTS_TO_SEND | REQUESTS_ACCEPTED_UNPROVEN
REQUESTS_AWAITING_PROOF = REQUESTS_ACCEPTED_UNPROVEN | {R.SENDING, R.UNKNOWN}
"""What the prover scans: a post whose answer was lost may well be mined."""

TRANSACTIONS_UNSIGNED = frozenset({T.UNSIGNED})
TRANSACTIONS_HELD = frozenset({T.NOSEND, T.NONFINAL})
TRANSACTIONS_TO_SEND = frozenset({T.UNPROCESSED, T.SENDING})
TRANSACTIONS_ACCEPTED_UNPROVEN = frozenset({T.UNPROVEN})
TRANSACTIONS_FINAL_MINED = frozenset({T.COMPLETED})
TRANSACTIONS_TERMINAL_FAILURE = frozenset({T.FAILED})
TRANSACTIONS_UNDER_REVIEW = frozenset({T.UNFAIL})
TRANSACTIONS_IN_FLIGHT = TRANSACTIONS_TO_SEND | TRANSACTIONS_ACCEPTED_UNPROVEN


def in_flight(status: R | T) -> bool:
    """It may be on the network, and is not proven."""
    return status in (REQUESTS_IN_FLIGHT if isinstance(status, R) else TRANSACTIONS_IN_FLIGHT)


def waiting_to_send(status: R | T) -> bool:
    return status in (REQUESTS_TO_SEND if isinstance(status, R) else TRANSACTIONS_TO_SEND)


def accepted_unproven(status: R | T) -> bool:
    return status in (REQUESTS_ACCEPTED_UNPROVEN if isinstance(status, R) else TRANSACTIONS_ACCEPTED_UNPROVEN)


def final_mined(status: R | T) -> bool:
    return status in (REQUESTS_FINAL_MINED if isinstance(status, R) else TRANSACTIONS_FINAL_MINED)


def terminal_failure(status: R | T) -> bool:
    return status in (REQUESTS_TERMINAL_FAILURE if isinstance(status, R) else TRANSACTIONS_TERMINAL_FAILURE)


def held(status: R | T) -> bool:
    return status in (REQUESTS_HELD if isinstance(status, R) else TRANSACTIONS_HELD)


def funding_statuses(*, delayed: bool) -> frozenset[T]:
    """Statuses whose change may fund an action: what the network accepted, and for an action that will itself wait in
    the queue also what waits there before it (R31, R32). Held change never funds unless named as ``noSendChange``.
    """
    accepted = TRANSACTIONS_FINAL_MINED | TRANSACTIONS_ACCEPTED_UNPROVEN
    return accepted | {T.SENDING} if delayed else accepted


def may_fund(status: T, *, delayed: bool) -> bool:
    return status in funding_statuses(delayed=delayed)


def may_abort(status: T) -> bool:
    """Whether the owner may still give it up, given that nothing was posted (R45)."""
    return status in (T.UNSIGNED, T.UNPROCESSED, T.NOSEND, T.NONFINAL)


def may_internalize_into(status: T) -> bool:
    """An existing row of the same user that a received payment may be merged into (wallet-stack §3.8; R44)."""
    return status in (T.COMPLETED, T.UNPROVEN, T.SENDING, T.UNPROCESSED, T.NOSEND)
