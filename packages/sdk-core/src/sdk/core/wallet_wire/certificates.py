"""Calls 17 to 22: certificates and identity discovery (BRC-100, binary form; certificate bytes: BRC-52)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdk.core.encodings import Reader, varint
from sdk.core.wallet_wire.codecs import (
    BOOLEAN,
    BYTE,
    FLAG,
    ID64,
    KEY,
    KEYRING,
    NAMES,
    NUMBER,
    OUTPOINT,
    SCRIPT,
    STRING,
    TEXTS,
    Codec,
    ListOf,
    MapOf,
    OrAbsent,
    OrEmpty,
    Rest,
    Revealer,
    UntilEnd,
)
from sdk.core.wallet_wire.forms import HEX, TEXT
from sdk.core.wallet_wire.keys import PRIVILEGED
from sdk.core.wallet_wire.layout import Choice, Part, Struct, members, read_parts, write_parts

if TYPE_CHECKING:
    from sdk.core.wallet import AcquireCertificateArgs, ListedCertificate

_PAGE = members(limit=OrAbsent(NUMBER), offset=OrAbsent(NUMBER))
_SEEK = members(seek_permission=FLAG)

CERTIFICATE = members(
    type=ID64,
    serial_number=ID64,
    subject=KEY,
    certifier=KEY,
    revocation_outpoint=OUTPOINT,
    fields=MapOf(STRING, STRING, ordered=True),
    signature=Rest(HEX),
)
"""Fields stand in the order of their names' bytes; the signature is what is left."""


class _SizedCertificate(Part):
    """The members of a certificate, behind their length."""

    def write(self, model: Any) -> bytes:
        data = write_parts(CERTIFICATE, model)
        return varint(len(data)) + data

    def read(self, reader: Reader, into: dict[str, Any]) -> None:
        size = reader.varint("length of certificate")
        start = reader.offset
        reader.read(size, "certificate")
        read_parts(CERTIFICATE, Reader(reader.data, reader.what, start, start + size), into)


def _acquisition(args: AcquireCertificateArgs) -> int:
    return 1 if args.acquisition_protocol == "direct" else 2


_DIRECT = members(
    serial_number=ID64,
    revocation_outpoint=OUTPOINT,
    signature=SCRIPT,
    keyring_revealer=Revealer(),
    keyring_for_subject=KEYRING,
)
ACQUIRE_CERTIFICATE = (
    *members(type=ID64, certifier=KEY, fields=TEXTS),
    *PRIVILEGED,
    Choice(
        "acquisitionProtocol",
        _acquisition,
        {
            1: ({"acquisition_protocol": "direct"}, _DIRECT),
            2: ({"acquisition_protocol": "issuance"}, members(certifier_url=STRING)),
        },
    ),
)

LIST_CERTIFICATES = (*members(certifiers=ListOf(KEY, 33), types=ListOf(ID64, 32)), *_PAGE, *PRIVILEGED)


class _Listed(Codec):
    """One certificate, its keyring behind 1 or else 0, and its verifier behind a length.

    Older writers end after the certificate; its length is never 0 or 1, so the next byte tells. @bsv/sdk writes the
    verifier as 33 bytes and reads it as text of 66; both are read here, and text is written, which both can read.
    """

    _HEAD = _SizedCertificate()

    def write(self, value: Any, name: str) -> bytes:
        listed: ListedCertificate = value
        keyring = b"\1" + KEYRING.write(listed.keyring, "keyring") if listed.keyring else b"\0"
        return self._HEAD.write(listed) + keyring + STRING.write(listed.verifier or "", "verifier")

    def read(self, reader: Reader, name: str) -> Any:
        found: dict[str, Any] = {}
        self._HEAD.read(reader, found)
        if reader.remaining() and reader.data[reader.offset] <= 1:
            if BOOLEAN.read(reader, "keyring"):
                found["keyring"] = KEYRING.read(reader, "keyring")
            found["verifier"] = _read_verifier(reader)
        return found


def _read_verifier(reader: Reader) -> str | None:
    data = reader.sized("verifier")
    if len(data) == 33:
        return data.hex()
    return TEXT.from_bytes(data, reader, "verifier") or None


class _ListedCertificates(UntilEnd):
    """A single one without keyring and verifier has the older form, which every reader takes."""

    def write(self, value: Any, name: str) -> bytes:
        if len(value) == 1 and not value[0].keyring and not value[0].verifier:
            return _SizedCertificate().write(value[0])
        return super().write(value, name)


LIST_CERTIFICATES_RESULT = members(total_certificates=NUMBER, certificates=_ListedCertificates(_Listed()))

_PARTIAL = Struct(
    *members(
        type=ID64,
        subject=KEY,
        serial_number=ID64,
        certifier=KEY,
        revocation_outpoint=OUTPOINT,
        signature=OrEmpty(SCRIPT, ""),
        fields=OrEmpty(TEXTS, {}),
    )
)
PROVE_CERTIFICATE = (*members(certificate=_PARTIAL, fields_to_reveal=NAMES, verifier=KEY), *PRIVILEGED)
PROVE_CERTIFICATE_RESULT = members(keyring_for_verifier=KEYRING)

RELINQUISH_CERTIFICATE = members(type=ID64, serial_number=ID64, certifier=KEY)

DISCOVER_BY_IDENTITY_KEY = (*members(identity_key=KEY), *_PAGE, *_SEEK)
DISCOVER_BY_ATTRIBUTES = (*members(attributes=TEXTS), *_PAGE, *_SEEK)
DISCOVER_RESULT = members(
    total_certificates=NUMBER,
    certificates=UntilEnd(
        Struct(
            _SizedCertificate(),
            *members(
                certifier_info=Struct(*members(name=STRING, icon_url=STRING, description=STRING, trust=BYTE)),
                publicly_revealed_keyring=KEYRING,
                decrypted_fields=TEXTS,
            ),
        )
    ),
)
