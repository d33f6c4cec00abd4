"""Fields of certificates: each under a symmetric key of its own, and that key in a keyring (BRC-52).

The master keyring holds the keys for the subject (or the certifier); the subject makes keyrings for verifiers, with the
keys of the fields it wants to reveal and no others.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import TYPE_CHECKING, NamedTuple

from sdk.core.errors import DecryptionFailed
from sdk.core.wallet.keys import DecryptArgs, EncryptArgs
from sdk.wallet.certificates.errors import InvalidCertificate
from sdk.wallet.keys.symmetric import SymmetricKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sdk.core.ports import Entropy
    from sdk.core.wallet.certificates import Certificate
    from sdk.wallet.certificates.ports import CryptoWallet

PROTOCOL = (2, "certificate field encryption")


class Privilege(NamedTuple):
    """Whether the wallet's privileged key is to be used, and what for."""

    privileged: bool = False
    reason: str | None = None


class EncryptedFields(NamedTuple):
    """Field names to base64 ciphertexts, and to the base64 encrypted keys."""

    fields: dict[str, str]
    master_keyring: dict[str, str]


_PLAIN = Privilege()


async def encrypt_fields(
    wallet: CryptoWallet,
    counterparty: str,
    fields: Mapping[str, str],
    *,
    privilege: Privilege = _PLAIN,
    originator: str | None = None,
    entropy: Entropy = os.urandom,
) -> EncryptedFields:
    """For ``counterparty``: the certifier if the subject encrypts, the subject if the certifier does."""
    encrypted, keyring = {}, {}
    for name, value in fields.items():
        secret = entropy(32)
        encrypted[name] = _encode(SymmetricKey(secret).encrypt(value.encode(), entropy))
        keyring[name] = await _seal_key(wallet, secret, name, counterparty, privilege, originator)
    return EncryptedFields(encrypted, keyring)


async def decrypt_fields(
    wallet: CryptoWallet,
    fields: Mapping[str, str],
    master_keyring: Mapping[str, str],
    counterparty: str,
    *,
    privilege: Privilege = _PLAIN,
    originator: str | None = None,
) -> dict[str, str]:
    """All fields, with the master keyring. Raises ``InvalidCertificate`` naming the first that cannot be read."""
    opened = {}
    for name, value in fields.items():
        key = await _open_key(wallet, master_keyring, name, name, counterparty, privilege, originator)
        opened[name] = _open_value(key, name, value)
    return opened


async def keyring_for_verifier(
    subject: CryptoWallet,
    certificate: Certificate,
    master_keyring: Mapping[str, str],
    names: Iterable[str],
    verifier: str,
    *,
    revealer: str | None = None,
    privilege: Privilege = _PLAIN,
    originator: str | None = None,
) -> dict[str, str]:
    """The keys of ``names``, for ``verifier`` alone.

    ``revealer`` is who made the master keyring (the certifier unless told otherwise). Each key is tried on its field
    first. Raises ``InvalidCertificate``.
    """
    keyring = {}
    for name in names:
        if name not in certificate.fields:
            raise InvalidCertificate(f"The certificate has no field {name!r} to reveal.")
        counterparty = revealer or certificate.certifier
        key = await _open_key(subject, master_keyring, name, name, counterparty, privilege, originator)
        _open_value(key, name, certificate.fields[name])
        purpose = f"{certificate.serial_number} {name}"
        keyring[name] = await _seal_key(subject, key.to_bytes(), purpose, verifier, privilege, originator)
    return keyring


async def reveal(
    verifier: CryptoWallet,
    certificate: Certificate,
    keyring: Mapping[str, str],
    *,
    privilege: Privilege = _PLAIN,
    originator: str | None = None,
) -> dict[str, str]:
    """The fields that ``keyring`` opens, as the verifier reads them. Raises ``InvalidCertificate``."""
    opened = {}
    for name in keyring:
        if name not in certificate.fields:
            raise InvalidCertificate(f"The keyring names a field {name!r} that the certificate does not have.")
        purpose = f"{certificate.serial_number} {name}"
        key = await _open_key(verifier, keyring, name, purpose, certificate.subject, privilege, originator)
        opened[name] = _open_value(key, name, certificate.fields[name])
    return opened


async def _seal_key(
    wallet: CryptoWallet, secret: bytes, purpose: str, counterparty: str, privilege: Privilege, originator: str | None
) -> str:
    request = EncryptArgs(
        protocol_id=PROTOCOL,
        key_id=purpose,
        counterparty=counterparty,
        # The reference writes the key as a number without leading zeros, and so reads this one all the same.
        plaintext=secret,
        privileged=privilege.privileged,
        privileged_reason=privilege.reason,
    )
    return _encode((await wallet.encrypt(request, originator)).ciphertext)


async def _open_key(
    wallet: CryptoWallet,
    keyring: Mapping[str, str],
    name: str,
    purpose: str,
    counterparty: str,
    privilege: Privilege,
    originator: str | None,
) -> SymmetricKey:
    if not keyring.get(name):
        raise InvalidCertificate(f"The keyring has no key for field {name!r}.")
    request = DecryptArgs(
        protocol_id=PROTOCOL,
        key_id=purpose,
        counterparty=counterparty,
        ciphertext=_decode(keyring[name], name),
        privileged=privilege.privileged,
        privileged_reason=privilege.reason,
    )
    try:
        secret = (await wallet.decrypt(request, originator)).plaintext
    except DecryptionFailed:
        raise InvalidCertificate(f"The key of field {name!r} is not for this wallet, or was altered.") from None
    if len(secret) > 32:
        raise InvalidCertificate(f"The key of field {name!r} has {len(secret)} bytes instead of 32.")
    return SymmetricKey(secret.rjust(32, b"\0"))


def _open_value(key: SymmetricKey, name: str, value: str) -> str:
    try:
        return key.decrypt(_decode(value, name)).decode()
    except (DecryptionFailed, UnicodeDecodeError):
        raise InvalidCertificate(f"Field {name!r} does not open with its key.") from None


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str, name: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidCertificate(f"What belongs to field {name!r} is not base64.") from None
