"""What can go wrong on the client side of an action.

WalletError
├─ InternalError
│  └─ StorageAnswerError      storage answered with something other than what was asked (R79)
└─ InvalidOperation
   └─ NoBackground              a delayed send in a wallet that nothing sends for
"""

from __future__ import annotations

from sdk.core.errors import InternalError, InvalidOperation


class StorageAnswerError(InternalError):
    """Nothing was signed. ``member`` names the part of storage's answer, e.g. ``outputs[2].lockingScript``."""

    def __init__(self, member: str, reason: str) -> None:
        self.member, self.reason = member, reason
        super().__init__(f"The wallet refuses to sign: {member} of the storage's answer {reason}.")


class NoBackground(InvalidOperation):
    """Nothing was recorded."""

    @classmethod
    def default_message(cls) -> str:
        return (
            "This wallet has no monitor, so a delayed transaction would never be sent. Set acceptDelayedBroadcast to "
            "false, or open the wallet with a background that sends (background='monitor', or 'external' if a monitor "
            "process runs on the same storage)."
        )
