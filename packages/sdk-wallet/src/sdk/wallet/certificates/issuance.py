"""Issuing certificates: nonces both sides can check, the serial number made of them, and the certifier's part.

A nonce is base64 of 16 random bytes ‖ HMAC of them under ``server hmac``, key id the random bytes read as UTF-8:
whoever made it can recognise it without remembering it (spec/wallet-stack.md §1.18, §8).
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import TYPE_CHECKING, NamedTuple

from sdk.core.errors import InvalidHmac
from sdk.core.wallet.certificates import Certificate
from sdk.core.wallet.keys import CreateHmacArgs, GetPublicKeyArgs, VerifyHmacArgs
from sdk.wallet.certificates.errors import InvalidCertificate
from sdk.wallet.certificates.fields import encrypt_fields
from sdk.wallet.certificates.signing import sign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.core.ports import Entropy
    from sdk.wallet.certificates.ports import CryptoWallet

NONCE_PROTOCOL = (2, "server hmac")
ISSUANCE_PROTOCOL = (2, "certificate issuance")
_RANDOM = 16
NONCE_SIZE = _RANDOM + 32
NEVER_REVOKED = "00" * 32 + ".0"


class IssuedCertificate(NamedTuple):
    """A signed certificate, and the keys of its fields for the subject."""

    certificate: Certificate
    master_keyring: dict[str, str]


async def create_nonce(
    wallet: CryptoWallet,
    counterparty: str = "self",
    *,
    originator: str | None = None,
    entropy: Entropy = os.urandom,
) -> str:
    """Base64 of 48 bytes."""
    random = entropy(_RANDOM)
    request = CreateHmacArgs(
        protocol_id=NONCE_PROTOCOL, key_id=_as_text(random), counterparty=counterparty, data=random
    )
    return base64.b64encode(random + (await wallet.create_hmac(request, originator)).hmac).decode()


async def verify_nonce(
    wallet: CryptoWallet, nonce: str, counterparty: str = "self", *, originator: str | None = None
) -> bool:
    """Whether ``nonce`` was made by this wallet (for ``self``), or by the counterparty for it."""
    data = _nonce_bytes(nonce)
    if data is None:
        return False
    random, mac = data[:_RANDOM], data[_RANDOM:]
    request = VerifyHmacArgs(
        protocol_id=NONCE_PROTOCOL, key_id=_as_text(random), counterparty=counterparty, data=random, hmac=mac
    )
    try:
        await wallet.verify_hmac(request, originator)
    except InvalidHmac:
        return False
    return True


async def serial_number(
    wallet: CryptoWallet, client_nonce: str, server_nonce: str, counterparty: str, *, originator: str | None = None
) -> str:
    """Base64 of the 32 bytes both sides compute from the two nonces. Raises ``InvalidCertificate``."""
    client, server = _nonce_bytes(client_nonce), _nonce_bytes(server_nonce)
    if client is None or server is None:
        raise InvalidCertificate(f"A nonce is base64 of {NONCE_SIZE} bytes.")
    request = CreateHmacArgs(
        protocol_id=ISSUANCE_PROTOCOL,
        key_id=server_nonce + client_nonce,
        counterparty=counterparty,
        data=client + server,
    )
    return base64.b64encode((await wallet.create_hmac(request, originator)).hmac).decode()


async def issue(
    certifier: CryptoWallet,
    subject: str,
    fields: Mapping[str, str],
    certificate_type: str,
    *,
    revocation_outpoint: str = NEVER_REVOKED,
    serial: str | None = None,
    originator: str | None = None,
    entropy: Entropy = os.urandom,
) -> IssuedCertificate:
    """For ``subject`` (an identity key, or ``self``), with fields encrypted to it. Raises ``InvalidParameter``."""
    encrypted = await encrypt_fields(certifier, subject, fields, originator=originator, entropy=entropy)
    identity = (await certifier.get_public_key(GetPublicKeyArgs(identity_key=True), originator)).public_key
    unsigned = Certificate(
        type=certificate_type,
        serial_number=serial or base64.b64encode(entropy(32)).decode(),
        subject=identity if subject == "self" else subject,
        certifier=identity,
        revocation_outpoint=revocation_outpoint,
        signature="",
        fields=encrypted.fields,
    )
    return IssuedCertificate(await sign(unsigned, certifier, originator), encrypted.master_keyring)


def _nonce_bytes(nonce: str) -> bytes | None:
    try:
        data = base64.b64decode(nonce, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if len(data) == NONCE_SIZE else None


def _as_text(random: bytes) -> str:
    """As JavaScript's ``TextDecoder`` reads them: what is no UTF-8 is replaced, a byte order mark is dropped."""
    return random.decode(errors="replace").removeprefix("\ufeff")
