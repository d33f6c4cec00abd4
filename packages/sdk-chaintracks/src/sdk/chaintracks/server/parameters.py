"""What a request may ask for; everything else is a ``ParseError`` that names the parameter."""

from __future__ import annotations

import re
from typing import Final

from sdk.chaintracks.consensus.fields import internal
from sdk.core.errors import ParseError

MAX_HEADERS: Final = 20_000
"""Headers that one answer holds at most."""
_NUMBER: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


def number(name: str, text: str) -> int:
    """A whole number from 0 to 2^31 - 1."""
    if not _NUMBER.fullmatch(text) or int(text) > 0x7FFFFFFF:
        raise ParseError(name, f"must be a whole number from 0 to {0x7FFFFFFF}, is {text!r:.40}")
    return int(text)


def block_hash(name: str, text: str) -> bytes:
    """Display hex of 32 bytes, in wire order."""
    if not _HASH.fullmatch(text.lower()):
        raise ParseError(name, f"must be 64 hex characters, is {text!r:.80}")
    return internal(text)
