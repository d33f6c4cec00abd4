"""What can go wrong with certificates.

    WalletError
    └─ InvalidCertificate (ValueError)   a field that cannot be decrypted, a name that is not there, a member too long

A signature that does not hold is ``sdk.wallet.keys.errors.InvalidSignature``; malformed bytes are ``ParseError``.
"""

from __future__ import annotations

from sdk.core.errors import WalletError


class InvalidCertificate(WalletError, ValueError):
    code = "ERR_INVALID_CERTIFICATE"

    @classmethod
    def default_message(cls) -> str:
        return "The certificate is not usable."
