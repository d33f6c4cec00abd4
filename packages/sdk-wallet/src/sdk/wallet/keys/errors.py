"""What can go wrong with keys.

    SdkError
    ├─ InvalidPrivateKey (ValueError)     zero, not below the curve order, wrong length, bad WIF; never says the key
    └─ DerivationError                    a derived scalar or point that does not exist (probability 2^-128)

Checks that fail raise ``sdk.core.errors.InvalidHmac`` and ``InvalidSignature``, a ciphertext that does not open
``DecryptionFailed``. Public keys that are no points raise ``sdk.core.errors.InvalidPublicKey``; other malformed input
``InvalidParameter`` (a named field of a call) or ``ParseError`` (bytes or text with a format of their own).
"""

from __future__ import annotations

from sdk.core.errors import SdkError


class InvalidPrivateKey(SdkError, ValueError):
    """The message says what is wrong and never contains the key."""

    code = "ERR_INVALID_PRIVATE_KEY"


class DerivationError(SdkError):
    code = "ERR_DERIVATION"
