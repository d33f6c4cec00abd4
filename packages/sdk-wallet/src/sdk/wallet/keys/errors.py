"""What can go wrong with keys.

    SdkError
    ├─ InvalidPrivateKey (ValueError)     zero, not below the curve order, wrong length, bad WIF; never says the key
    ├─ DerivationError                    a derived scalar or point that does not exist (probability 2^-128)
    └─ WalletError
       ├─ InvalidHmac                     BRC-100 error 3
       ├─ InvalidSignature                BRC-100 error 4
       └─ DecryptionFailed (ValueError)   wrong key, or altered ciphertext

Public keys that are no points raise ``sdk.core.errors.InvalidPublicKey``; other malformed input ``InvalidParameter``
(a named field of a call) or ``ParseError`` (bytes or text with a format of their own).
"""

from __future__ import annotations

from sdk.core.errors import SdkError, WalletError


class InvalidPrivateKey(SdkError, ValueError):
    """The message says what is wrong and never contains the key."""

    code = "ERR_INVALID_PRIVATE_KEY"


class DerivationError(SdkError):
    code = "ERR_DERIVATION"


class InvalidHmac(WalletError):
    code = "ERR_INVALID_HMAC"
    number = 3

    @classmethod
    def default_message(cls) -> str:
        return "The HMAC does not belong to this data and key."


class InvalidSignature(WalletError):
    code = "ERR_INVALID_SIGNATURE"
    number = 4

    @classmethod
    def default_message(cls) -> str:
        return "The signature does not belong to this data and key."


class DecryptionFailed(WalletError, ValueError):
    code = "ERR_DECRYPTION_FAILED"

    @classmethod
    def default_message(cls) -> str:
        return "The ciphertext was not made with this key, or has been altered."
