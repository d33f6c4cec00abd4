"""Identity certificates (BRC-52, BRC-53): their binary form, signatures, encrypted fields, keyrings, and issuance.

The certificate itself is ``sdk.core.wallet.Certificate``; an unsigned one has an empty ``signature``.
"""

from sdk.wallet.certificates.binary import parse, serialize
from sdk.wallet.certificates.errors import InvalidCertificate
from sdk.wallet.certificates.fields import EncryptedFields, decrypt_fields, encrypt_fields, keyring_for_verifier, reveal
from sdk.wallet.certificates.issuance import IssuedCertificate, create_nonce, issue, serial_number, verify_nonce
from sdk.wallet.certificates.signing import sign, verify

__all__ = [
    "EncryptedFields",
    "InvalidCertificate",
    "IssuedCertificate",
    "create_nonce",
    "decrypt_fields",
    "encrypt_fields",
    "issue",
    "keyring_for_verifier",
    "parse",
    "reveal",
    "serial_number",
    "serialize",
    "sign",
    "verify",
    "verify_nonce",
]
