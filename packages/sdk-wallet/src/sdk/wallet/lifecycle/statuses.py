"""The status words of the two lifecycles (spec/wallet-stack.md §2.3). Values are the reference's and go on the wire."""

from __future__ import annotations

from enum import StrEnum

from sdk.core.errors import ParseError


class RequestStatus(StrEnum):
    """Status of a ``proven_tx_reqs`` row: one per txid, shared by all users."""

    UNSENT = "unsent"
    SENDING = "sending"
    NOSEND = "nosend"
    UNKNOWN = "unknown"
    NONFINAL = "nonfinal"
    UNPROCESSED = "unprocessed"
    UNMINED = "unmined"
    CALLBACK = "callback"
    UNCONFIRMED = "unconfirmed"
    COMPLETED = "completed"
    INVALID = "invalid"
    DOUBLE_SPEND = "doubleSpend"
    UNFAIL = "unfail"

    @classmethod
    def parse(cls, text: str) -> tuple[RequestStatus, bool]:
        """The status and whether it was recognised; a foreign word is ``UNKNOWN``, and the caller warns (R6)."""
        try:
            return cls(text), True
        except ValueError:
            return cls.UNKNOWN, False


class TransactionStatus(StrEnum):
    """Status of a ``transactions`` row: one per user and txid."""

    UNSIGNED = "unsigned"
    UNPROCESSED = "unprocessed"
    NOSEND = "nosend"
    NONFINAL = "nonfinal"
    SENDING = "sending"
    UNPROVEN = "unproven"
    COMPLETED = "completed"
    FAILED = "failed"
    UNFAIL = "unfail"

    @classmethod
    def parse(cls, text: str) -> TransactionStatus:
        """Raises ``ParseError`` for a word the reference does not have."""
        try:
            return cls(text)
        except ValueError:
            raise ParseError("transaction status", f"{text[:40]!r} is none of {', '.join(cls)}") from None
