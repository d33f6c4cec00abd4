"""Identity certificates (BRC-52, BRC-53): their binary form, signatures, encrypted fields, keyrings, and issuance.

The certificate itself is ``sdk.core.wallet.Certificate``; an unsigned one has an empty ``signature``.
"""

from sdk.wallet.certificates.binary import parse, serialize
from sdk.wallet.certificates.errors import InvalidCertificate
from sdk.wallet.certificates.fields import EncryptedFields, decrypt_fields, encrypt_fields, keyring_for_verifier, reveal
from sdk.wallet.certificates.handshake import (
    IssuanceAnswer,
    IssuanceRequest,
    accept_certificate,
    issue_certificate,
    read_request,
    request_certificate,
)
from sdk.wallet.certificates.issuance import IssuedCertificate, create_nonce, issue, serial_number, verify_nonce
from sdk.wallet.certificates.signing import sign, verify

__all__ = [
    "EncryptedFields",
    "InvalidCertificate",
    "IssuanceAnswer",
    "IssuanceRequest",
    "IssuedCertificate",
    "accept_certificate",
    "create_nonce",
    "decrypt_fields",
    "encrypt_fields",
    "issue",
    "issue_certificate",
    "keyring_for_verifier",
    "parse",
    "read_request",
    "request_certificate",
    "reveal",
    "serial_number",
    "serialize",
    "sign",
    "verify",
    "verify_nonce",
]
