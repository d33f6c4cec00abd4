"""The bytes of a certificate, which are also what its signature covers (spec/wallet-stack.md §1.18).

    type (32) ‖ serial number (32) ‖ subject (33) ‖ certifier (33) ‖ revocation txid (32, as displayed) ‖ vout
    ‖ number of fields ‖ for each, by name: length, name, length, value ‖ DER signature

Numbers are compact integers; values are the base64 text of the ciphertext. Fields stand in the order of their names'
UTF-8 bytes. The TypeScript reference orders them as people read them (``localeCompare``), so that names which mix
upper case, lower case and punctuation may come in another order there: see ``reading_order``.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from sdk.core.encodings import Reader, varint
from sdk.core.errors import InvalidParameter, ParseError
from sdk.core.transaction import OutPoint
from sdk.core.wallet.certificates import Certificate
from sdk.wallet.certificates.errors import InvalidCertificate
from sdk.wallet.keys.signature import decode_der

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Order = Callable[[Iterable[str]], list[str]]

_WHAT = "certificate"
MAX_FIELDS = 1_000
MAX_NAME = 50
MAX_VALUE = 5_000
_READING = "_-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz"


def byte_order(names: Iterable[str]) -> list[str]:
    """The order of the protocol."""
    return sorted(names, key=str.encode)


def reading_order(names: Iterable[str]) -> list[str]:
    """The order of the reference for ASCII names: punctuation, digits, letters; lower case before upper on a tie."""
    return sorted(names, key=_reading_key)


def _reading_key(name: str) -> tuple[list[int], str]:
    return [_READING.find(character) if character != " " else -2 for character in name.lower()], name.swapcase()


def serialize(certificate: Certificate, *, with_signature: bool = True, order: Order = byte_order) -> bytes:
    """Raises ``InvalidCertificate`` naming the member that does not fit the form."""
    outpoint = OutPoint.from_string(certificate.revocation_outpoint)
    parts = [
        _fixed(certificate.type, "type"),
        _fixed(certificate.serial_number, "serialNumber"),
        bytes.fromhex(certificate.subject),
        bytes.fromhex(certificate.certifier),
        bytes.fromhex(outpoint.txid),
        varint(outpoint.vout),
        varint(len(certificate.fields)),
    ]
    for name in order(certificate.fields):
        for text in (name, certificate.fields[name]):
            encoded = text.encode()
            parts += (varint(len(encoded)), encoded)
    if with_signature:
        parts.append(bytes.fromhex(certificate.signature))
    return b"".join(parts)


def _fixed(text: str, member: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidCertificate(f"The {member} of a certificate is base64.") from None
    if len(data) != 32:
        raise InvalidCertificate(f"The {member} of a certificate is base64 of 32 bytes, not {len(data)}.")
    return data


def parse(data: bytes) -> Certificate:
    """Raises ``ParseError`` with the offset. The signature may be missing; it is not verified here."""
    reader = Reader(data, _WHAT)
    kind, serial = (base64.b64encode(reader.read(32, name)).decode() for name in ("type", "serial number"))
    subject, certifier = (reader.read(33, name).hex() for name in ("subject", "certifier"))
    txid, vout = reader.read(32, "revocation txid").hex(), reader.varint("revocation output")
    fields = _read_fields(reader)
    signature = reader.read(reader.remaining(), "signature")
    if signature:
        decode_der(signature)
    try:
        return Certificate(
            type=kind,
            serial_number=serial,
            subject=subject,
            certifier=certifier,
            revocation_outpoint=f"{txid}.{vout}",
            signature=signature.hex(),
            fields=fields,
        )
    except InvalidParameter as error:
        raise ParseError(_WHAT, str(error)) from None


def _read_fields(reader: Reader) -> dict[str, str]:
    start = reader.offset
    count = reader.count(2, "fields")
    if count > MAX_FIELDS:
        raise reader.fail(f"{count} fields are more than {MAX_FIELDS}", start)
    fields: dict[str, str] = {}
    for _ in range(count):
        start = reader.offset
        name = _read_text(reader, MAX_NAME, "field name")
        if name in fields:
            raise reader.fail("the same field stands there twice", start)
        fields[name] = _read_text(reader, MAX_VALUE, "field value")
    return fields


def _read_text(reader: Reader, most: int, what: str) -> str:
    start = reader.offset
    data = reader.sized(what)
    if len(data) > most:
        raise reader.fail(f"the {what} has {len(data)} bytes, at most {most} are allowed", start)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise reader.fail(f"the {what} is not UTF-8", start) from None
