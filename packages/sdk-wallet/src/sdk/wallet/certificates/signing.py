"""A certifier's signature on a certificate: protocol ``certificate signature``, key id ``<type> <serial number>``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.errors import InvalidPublicKey, InvalidSignature
from sdk.core.wallet.keys import CreateSignatureArgs, GetPublicKeyArgs
from sdk.wallet.certificates.binary import byte_order, reading_order, serialize
from sdk.wallet.certificates.errors import InvalidCertificate
from sdk.wallet.keys.deriver import KeyDeriver
from sdk.wallet.keys.hashes import sha256
from sdk.wallet.keys.private_key import ANYONE
from sdk.wallet.keys.public_key import PublicKey

if TYPE_CHECKING:
    from sdk.core.wallet.certificates import Certificate
    from sdk.wallet.certificates.ports import CryptoWallet

PROTOCOL = (2, "certificate signature")


async def sign(certificate: Certificate, certifier: CryptoWallet, originator: str | None = None) -> Certificate:
    """The same, signed by and in the name of ``certifier``. Raises ``InvalidCertificate`` if it is signed already."""
    if certificate.signature:
        raise InvalidCertificate("The certificate is signed already; issue a new one instead.")
    identity = await certifier.get_public_key(GetPublicKeyArgs(identity_key=True), originator)
    named = certificate.model_copy(update={"certifier": identity.public_key})
    request = CreateSignatureArgs(
        protocol_id=PROTOCOL,
        key_id=_key_id(named),
        counterparty="anyone",
        data=serialize(named, with_signature=False),
    )
    signature = (await certifier.create_signature(request, originator)).signature
    return named.model_copy(update={"signature": signature.hex()})


def verify(certificate: Certificate) -> None:
    """Raises ``InvalidSignature``, or ``InvalidCertificate`` for members that no certificate has.

    Whether the certifier is to be trusted, and the revocation outpoint unspent, is for the caller to find out.
    """
    for key, member in ((certificate.certifier, "certifier"), (certificate.subject, "subject")):
        try:
            PublicKey.from_hex(key)
        except InvalidPublicKey:
            raise InvalidCertificate(f"The {member} of the certificate is no public key.") from None
    public = KeyDeriver(ANYONE).derive_public_key(PROTOCOL, _key_id(certificate), certificate.certifier)
    signature = bytes.fromhex(certificate.signature)
    preimage = serialize(certificate, with_signature=False, order=byte_order)
    if public.verify(signature, sha256(preimage)):
        return
    as_read = serialize(certificate, with_signature=False, order=reading_order)
    if as_read == preimage or not public.verify(signature, sha256(as_read)):
        raise InvalidSignature("The signature of the certificate does not hold.")


def _key_id(certificate: Certificate) -> str:
    return f"{certificate.type} {certificate.serial_number}"
