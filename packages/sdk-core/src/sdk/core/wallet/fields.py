"""Field types of BRC-100 arguments, with their bounds (BRC-100; spec/wallet-stack.md §1.2 and appendix A).

Lengths of text are counted in bytes of UTF-8. Every list and byte string has an upper bound, checked before its
members are looked at.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from sdk.core.wallet.model import must_be
from sdk.core.wire import NumberBytes

MAX_SATOSHIS = 2_100_000_000_000_000
MAX_POSSIBLE_SATOSHIS = 2_099_999_999_999_999
"""The sentinel amount that asks for all that is left (§0)."""
MAX_UINT32 = 0xFFFFFFFF
MAX_SCRIPT_BYTES = 100_000_000
MAX_BEEF_BYTES = 256 * 1024 * 1024
MAX_PLAIN_BYTES = 64 * 1024 * 1024
MAX_ITEMS = 100_000
MAX_NAMES = 1_000

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*", re.ASCII)
_TXID = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_PUBLIC_KEY = re.compile(r"0[23][0-9a-fA-F]{64}", re.ASCII)
_OUTPOINT = re.compile(r"([0-9a-fA-F]{64})\.(0|[1-9][0-9]{0,9})", re.ASCII)
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII)


def byte_length(text: str) -> int:
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise must_be("text without lone surrogates") from None


def _bounded(text: str, low: int, high: int) -> str:
    # A character is at least one byte, so this refuses huge text before encoding it.
    if len(text) > high or not low <= byte_length(text) <= high:
        raise must_be(f"{low} to {high} bytes of UTF-8")
    return text


def _storable(text: str, low: int, high: int) -> str:
    """``_bounded`` text that every database can hold: PostgreSQL takes no NUL."""
    _bounded(text, low, high)
    if "\0" in text:
        raise must_be("text without NUL characters")
    return text


def _description(text: str) -> str:
    return _storable(text, 5, 2000)


def _identifier(text: str) -> str:
    # Bounded before and after: trimming shortens, lower-casing may lengthen.
    if len(text) > 3000:
        raise must_be("1 to 300 bytes of UTF-8")
    return _storable(text.strip().lower(), 1, 300)


def _instructions(text: str) -> str:
    return _storable(text, 0, 2500)


def _remittance_instructions(text: str) -> str:
    return _storable(text, 0, 1000)


def _plain_text(text: str) -> str:
    return _storable(text, 0, 5000)


def _field_name(text: str) -> str:
    return _storable(text, 1, 50)


def _key_id(text: str) -> str:
    return _bounded(text, 1, 800)


def _protocol_name(text: str) -> str:
    return _bounded(text, 1, 430)


def _hex(text: str) -> str:
    if len(text) > 2 * MAX_SCRIPT_BYTES or _HEX.fullmatch(text) is None:
        raise must_be(f"an even number of hexadecimal digits, {MAX_SCRIPT_BYTES} bytes at most")
    return text.lower()


def _locking_script(text: str) -> str:
    if not text:
        raise must_be("a script of at least one byte: what an empty one locks, anybody can take")
    return _hex(text)


def _txid(text: str) -> str:
    if _TXID.fullmatch(text) is None:
        raise must_be("a txid, 64 hexadecimal digits")
    return text.lower()


def _public_key(text: str) -> str:
    if _PUBLIC_KEY.fullmatch(text) is None:
        raise must_be("a compressed public key, 66 hexadecimal digits")
    return text.lower()


def _counterparty(text: str) -> str:
    if text in ("self", "anyone"):
        return text
    if _PUBLIC_KEY.fullmatch(text) is None:
        raise must_be("'self', 'anyone' or a compressed public key, 66 hexadecimal digits")
    return text.lower()


def _outpoint(text: str) -> str:
    match = _OUTPOINT.fullmatch(text)
    if match is None or int(match[2]) > MAX_UINT32:
        raise must_be("an outpoint, '<txid>.<output index>'")
    return text.lower()


def _outpoint_text(value: object) -> object:
    """An ``OutPoint`` object is as good as its text."""
    return value if value is None or isinstance(value, (str, int, float, dict, list)) else str(value)


def _items(value: object) -> object:
    if isinstance(value, (list, tuple, dict)) and len(value) > MAX_ITEMS:
        raise must_be(f"a list of at most {MAX_ITEMS} items")
    return value


def _names(value: object) -> object:
    if isinstance(value, (list, tuple, dict)) and len(value) > MAX_NAMES:
        raise must_be(f"a list of at most {MAX_NAMES} items")
    return value


def is_base64(text: str) -> bool:
    return _BASE64.fullmatch(text) is not None


def _base64(text: str) -> str:
    if not 1 <= len(text) <= 400 or not is_base64(text):
        raise must_be("base64, 1 to 300 bytes")
    return text


def _reference(text: str) -> str:
    if not 1 <= len(text) <= 400 or not is_base64(text):
        raise must_be("the base64 reference of an action")
    return text


def _reference_or_txid(text: str) -> str:
    if _TXID.fullmatch(text) is not None:
        return text.lower()
    if not 1 <= len(text) <= 400 or not is_base64(text):
        raise must_be("the base64 reference or the txid of an action")
    return text


def _beef(data: bytes) -> bytes:
    if not 4 <= len(data) <= MAX_BEEF_BYTES:
        raise must_be(f"BEEF, at most {MAX_BEEF_BYTES} bytes")
    return data


def _plain_bytes(data: bytes) -> bytes:
    if len(data) > MAX_PLAIN_BYTES:
        raise must_be(f"at most {MAX_PLAIN_BYTES} bytes")
    return data


def _hash(data: bytes) -> bytes:
    if len(data) != 32:
        raise must_be("32 bytes")
    return data


AtMostItems = BeforeValidator(_items)
AtMostNames = BeforeValidator(_names)
"""Bounds a list before its items are looked at; pydantic's own bound comes after."""
StopAtFirst = Field(fail_fast=True)

Flag = Annotated[bool, Field(strict=True)]
Uint32 = Annotated[int, Field(strict=True, ge=0, le=MAX_UINT32)]
Satoshis = Annotated[int, Field(strict=True, ge=0, le=MAX_SATOSHIS)]
Limit = Annotated[int, Field(strict=True, ge=1, le=10_000)]
Offset = Annotated[int, Field(strict=True, ge=0, le=MAX_UINT32)]
SignedOffset = Annotated[int, Field(strict=True, ge=-MAX_UINT32, le=MAX_UINT32)]
Height = Annotated[int, Field(strict=True, ge=0, le=MAX_UINT32)]
ScriptLength = Annotated[int, Field(strict=True, ge=0, le=MAX_SCRIPT_BYTES)]

Description = Annotated[str, AfterValidator(_description)]
Identifier = Annotated[str, AfterValidator(_identifier)]
"""A basket, label or tag: trimmed and lower-cased."""
CustomInstructions = Annotated[str, AfterValidator(_instructions)]
RemittanceInstructions = Annotated[str, AfterValidator(_remittance_instructions)]
Hex = Annotated[str, AfterValidator(_hex)]
LockingScript = Annotated[str, AfterValidator(_locking_script)]
Txid = Annotated[str, AfterValidator(_txid)]
OutPointText = Annotated[str, BeforeValidator(_outpoint_text), AfterValidator(_outpoint)]
Base64 = Annotated[str, AfterValidator(_base64)]
Reference = Annotated[str, AfterValidator(_reference)]
ReferenceOrTxid = Annotated[str, AfterValidator(_reference_or_txid)]
PublicKeyHex = Annotated[str, AfterValidator(_public_key)]
Counterparty = Annotated[str, AfterValidator(_counterparty)]
PlainText = Annotated[str, AfterValidator(_plain_text)]
FieldName = Annotated[str, AfterValidator(_field_name)]
KeyID = Annotated[str, AfterValidator(_key_id)]
ProtocolID = Annotated[
    tuple[Annotated[int, Field(strict=True, ge=0, le=2)], Annotated[str, AfterValidator(_protocol_name)]],
    PlainSerializer(list, return_type=list, when_used="json"),
]
"""``(security level, protocol name)``; the name's own rules are the key deriver's (BRC-43)."""
Beef = Annotated[NumberBytes, AfterValidator(_beef)]
PlainBytes = Annotated[NumberBytes, AfterValidator(_plain_bytes)]
Hash32 = Annotated[NumberBytes, AfterValidator(_hash)]
Identifiers = Annotated[tuple[Identifier, ...], StopAtFirst, AtMostNames]
Txids = Annotated[tuple[Txid, ...], StopAtFirst, AtMostItems]
OutPointTexts = Annotated[tuple[OutPointText, ...], StopAtFirst, AtMostItems]
QueryMode = Literal["any", "all"]
TrustSelf = Literal["known"]
SendWithStatus = Literal["unproven", "sending", "failed"]
ReviewStatus = Literal["success", "doubleSpend", "serviceError", "invalidTx"]
ActionStatus = Literal["completed", "unprocessed", "sending", "unproven", "unsigned", "nosend", "nonfinal", "failed"]
