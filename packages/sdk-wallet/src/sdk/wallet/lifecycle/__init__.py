"""Which state follows which, and on what evidence. Pure: values in, values out (R1-R9)."""

from sdk.wallet.lifecycle.statuses import RequestStatus, TransactionStatus
from sdk.wallet.lifecycle.transitions import (
    REQUEST_TRANSITIONS,
    TRANSACTION_TRANSITIONS,
    InvalidTransition,
    initial_request_status,
    next_request_status,
    next_transaction_status,
    signed_evidence,
)

__all__ = [
    "REQUEST_TRANSITIONS",
    "TRANSACTION_TRANSITIONS",
    "InvalidTransition",
    "RequestStatus",
    "TransactionStatus",
    "initial_request_status",
    "next_request_status",
    "next_transaction_status",
    "signed_evidence",
]
