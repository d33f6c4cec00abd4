"""Issuance between a subject and a certifier, one question and one answer (spec/wallet-stack.md §1.18).

The subject sends a nonce made for the certifier and the fields encrypted to it; the certifier reads them, decides, and
sends the signed certificate with a nonce of its own. The serial number is made of both nonces under a key that only the
two share. Fields stay encrypted as the subject encrypted them, so its master keyring opens them still.

How question and answer travel (the reference posts ``{clientNonce, type, fields, masterKeyring}`` to
``<certifier URL>/signCertificate`` within an authenticated session) is the caller's matter.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from sdk.core.wallet.certificates import Certificate
from sdk.core.wallet.keys import GetPublicKeyArgs
from sdk.wallet.certificates.errors import InvalidCertificate
from sdk.wallet.certificates.fields import decrypt_fields, encrypt_fields
from sdk.wallet.certificates.issuance import NEVER_REVOKED, create_nonce, serial_number, verify_nonce
from sdk.wallet.certificates.signing import sign, verify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.core.ports import Entropy
    from sdk.wallet.certificates.ports import CryptoWallet


class IssuanceRequest(NamedTuple):
    """What the subject sends, and keeps to judge the answer. ``type`` is base64 of 32 bytes."""

    type: str
    client_nonce: str
    fields: Mapping[str, str]
    master_keyring: Mapping[str, str]


class IssuanceAnswer(NamedTuple):
    certificate: Certificate
    server_nonce: str


async def request_certificate(
    subject: CryptoWallet,
    certifier: str,
    certificate_type: str,
    fields: Mapping[str, str],
    *,
    originator: str | None = None,
    entropy: Entropy = os.urandom,
) -> IssuanceRequest:
    """The subject's part: a nonce and the fields, for ``certifier`` (an identity key) alone."""
    nonce = await create_nonce(subject, certifier, originator=originator, entropy=entropy)
    encrypted = await encrypt_fields(subject, certifier, fields, originator=originator, entropy=entropy)
    return IssuanceRequest(certificate_type, nonce, encrypted.fields, encrypted.master_keyring)


async def read_request(
    certifier: CryptoWallet, subject: str, request: IssuanceRequest, *, originator: str | None = None
) -> dict[str, str]:
    """The fields as the certifier reads them, to decide on.

    Raises ``InvalidCertificate`` if ``subject`` did not ask this certifier, or a field does not open.
    """
    if not await verify_nonce(certifier, request.client_nonce, subject, originator=originator):
        raise InvalidCertificate("The nonce of the request was not made by its sender for this certifier.")
    return await decrypt_fields(certifier, request.fields, request.master_keyring, subject, originator=originator)


async def issue_certificate(
    certifier: CryptoWallet,
    subject: str,
    request: IssuanceRequest,
    *,
    revocation_outpoint: str = NEVER_REVOKED,
    originator: str | None = None,
    entropy: Entropy = os.urandom,
) -> IssuanceAnswer:
    """The certifier's part, once it has agreed. Raises ``InvalidCertificate`` as ``read_request``."""
    await read_request(certifier, subject, request, originator=originator)
    nonce = await create_nonce(certifier, subject, originator=originator, entropy=entropy)
    identity = (await certifier.get_public_key(GetPublicKeyArgs(identity_key=True), originator)).public_key
    unsigned = Certificate(
        type=request.type,
        serial_number=await serial_number(certifier, request.client_nonce, nonce, subject, originator=originator),
        subject=subject,
        certifier=identity,
        revocation_outpoint=revocation_outpoint,
        signature="",
        fields=dict(request.fields),
    )
    return IssuanceAnswer(await sign(unsigned, certifier, originator), nonce)


async def accept_certificate(
    subject: CryptoWallet,
    certifier: str,
    request: IssuanceRequest,
    answer: IssuanceAnswer,
    *,
    originator: str | None = None,
) -> dict[str, str]:
    """The subject's check of the answer; the fields in plain.

    Raises ``InvalidCertificate`` naming what is not as it was asked for, or ``InvalidSignature``.
    """
    certificate, nonce = answer
    if not await verify_nonce(subject, nonce, certifier, originator=originator):
        raise InvalidCertificate("The nonce of the answer was not made by the certifier for this wallet.")
    identity = (await subject.get_public_key(GetPublicKeyArgs(identity_key=True), originator)).public_key
    serial = await serial_number(subject, request.client_nonce, nonce, certifier, originator=originator)
    for member, given, asked in (
        ("serial number", certificate.serial_number, serial),
        ("type", certificate.type, request.type),
        ("subject", certificate.subject, identity),
        ("certifier", certificate.certifier, certifier),
        ("fields", certificate.fields, dict(request.fields)),
    ):
        if given != asked:
            raise InvalidCertificate(f"The {member} of the certificate is not what was asked for.")
    verify(certificate)
    return await decrypt_fields(subject, certificate.fields, request.master_keyring, certifier, originator=originator)
