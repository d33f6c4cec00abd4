"""Certificates: acquire, list, prove, relinquish, discover (BRC-52, BRC-53, BRC-100)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import field_validator

from sdk.core.wallet.fields import (
    AtMostNames,
    Base64,
    FieldName,
    Flag,
    Hex,
    Limit,
    Offset,
    OutPointText,
    PlainText,
    PublicKeyHex,
    StopAtFirst,
)
from sdk.core.wallet.keys import PrivilegedArgs
from sdk.core.wallet.model import WalletModel, must_be

TextByField = Annotated[dict[FieldName, PlainText], AtMostNames]


class Certificate(WalletModel):
    """Field values are encrypted for the subject; ``signature`` is DER in hex."""

    type: Base64
    serial_number: Base64
    subject: PublicKeyHex
    certifier: PublicKeyHex
    revocation_outpoint: OutPointText
    signature: Hex
    fields: TextByField


class AcquireCertificateArgs(PrivilegedArgs):
    type: Base64
    certifier: PublicKeyHex
    acquisition_protocol: Literal["direct", "issuance"]
    fields: TextByField
    serial_number: Base64 | None = None
    revocation_outpoint: OutPointText | None = None
    signature: Hex | None = None
    certifier_url: PlainText | None = None
    keyring_revealer: str | None = None
    keyring_for_subject: TextByField | None = None

    @field_validator("keyring_revealer")
    @classmethod
    def _revealer(cls, value: str | None) -> str | None:
        if value is None or value == "certifier":
            return value
        if len(value) != 66:
            raise must_be("'certifier' or a compressed public key, 66 hexadecimal digits")
        return value.lower()


class ListCertificatesArgs(PrivilegedArgs):
    certifiers: Annotated[tuple[PublicKeyHex, ...], StopAtFirst, AtMostNames]
    types: Annotated[tuple[Base64, ...], StopAtFirst, AtMostNames]
    limit: Limit = 10
    offset: Offset = 0


class ListedCertificate(Certificate):
    keyring: dict[str, str] | None = None
    verifier: str | None = None


class ListCertificatesResult(WalletModel):
    total_certificates: int
    certificates: tuple[ListedCertificate, ...] = ()


class PartialCertificate(WalletModel):
    """What is ``None`` is not compared."""

    type: Base64 | None = None
    serial_number: Base64 | None = None
    subject: PublicKeyHex | None = None
    certifier: PublicKeyHex | None = None
    revocation_outpoint: OutPointText | None = None
    signature: Hex | None = None
    fields: TextByField | None = None


class ProveCertificateArgs(PrivilegedArgs):
    certificate: PartialCertificate
    fields_to_reveal: Annotated[tuple[FieldName, ...], StopAtFirst, AtMostNames]
    verifier: PublicKeyHex


class ProveCertificateResult(WalletModel):
    keyring_for_verifier: dict[str, str]


class RelinquishCertificateArgs(WalletModel):
    type: Base64
    serial_number: Base64
    certifier: PublicKeyHex


class RelinquishCertificateResult(WalletModel):
    relinquished: Literal[True] = True


class DiscoverByIdentityKeyArgs(WalletModel):
    identity_key: PublicKeyHex
    limit: Limit = 10
    offset: Offset = 0
    seek_permission: Flag = True


class DiscoverByAttributesArgs(WalletModel):
    attributes: TextByField
    limit: Limit = 10
    offset: Offset = 0
    seek_permission: Flag = True


class CertifierInfo(WalletModel):
    name: str
    icon_url: str = ""
    description: str = ""
    trust: int


class IdentityCertificate(Certificate):
    certifier_info: CertifierInfo
    publicly_revealed_keyring: dict[str, str]
    decrypted_fields: dict[str, Any]


class DiscoverCertificatesResult(WalletModel):
    total_certificates: int
    certificates: tuple[IdentityCertificate, ...] = ()
