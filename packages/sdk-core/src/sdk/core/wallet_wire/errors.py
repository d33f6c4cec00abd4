"""The error frame: a code that is not 0, a message and a stack trace (spec/wallet-stack.md §1.2).

Codes: 1 unknown, 2 unsupported action, 3 invalid HMAC, 4 invalid signature, 5 review actions, 6 invalid parameter,
7 insufficient funds, 8 invalid merkle root.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sdk.core.encodings import varint
from sdk.core.errors import (
    InsufficientFunds,
    InvalidHmac,
    InvalidMerkleRoot,
    InvalidParameter,
    InvalidSignature,
    NotImplementedByPeer,
    ReviewActions,
    WalletError,
)
from sdk.core.wallet_wire.codecs import STRING

if TYPE_CHECKING:
    from sdk.core.encodings import Reader
    from sdk.core.errors import SdkError

UNKNOWN: Final = 1
UNSUPPORTED: Final = 2
NAMES: Final = {
    UNKNOWN: WalletError.code,
    UNSUPPORTED: NotImplementedByPeer.code,
    3: InvalidHmac.code,
    4: InvalidSignature.code,
    5: ReviewActions.code,
    6: InvalidParameter.code,
    7: InsufficientFunds.code,
    8: InvalidMerkleRoot.code,
}

_MAX_MESSAGE = 10_000
_PARAMETER = re.compile(r"The (\S{1,200}) parameter must be ")
_SATOSHIS = re.compile(r"\((\d{1,16}) more satoshis are needed, for a total of (\d{1,16})\)", re.ASCII)


def error_number(error: SdkError) -> int:
    """The byte of the wire for ``error``."""
    if isinstance(error, NotImplementedByPeer):
        return UNSUPPORTED
    return getattr(error, "number", None) or UNKNOWN


def write_error(error: SdkError) -> bytes:
    """A frame without stack trace: that is nobody else's."""
    message = str(error)[:_MAX_MESSAGE].encode("utf-8", "replace")
    return bytes((error_number(error),)) + varint(len(message)) + message + varint(0)


def read_error(number: int, reader: Reader) -> dict[str, Any]:
    """The members that the JSON form of the error would have, as far as the message tells them; no stack trace.

    Raises ``ParseError``.
    """
    message = STRING.read(reader, "error message")
    reader.sized("stack trace")
    reader.finish()
    return {"name": NAMES.get(number, WalletError.code), "message": message, "code": number, **_told(number, message)}


def _told(number: int, message: str) -> dict[str, Any]:
    if number == InvalidParameter.number and (match := _PARAMETER.match(message)):
        return {"parameter": match[1]}
    if number == InsufficientFunds.number and (match := _SATOSHIS.search(message)):
        return {"moreSatoshisNeeded": int(match[1]), "totalSatoshisNeeded": int(match[2])}
    return {}
