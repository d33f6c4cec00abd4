"""What a secret's name and value may be, on both sides of the wire."""

from __future__ import annotations

import re
from typing import Final

from sdk.module_runtime.secrets.errors import SecretInvalid

LONGEST_NAME: Final = 128
LARGEST_VALUE: Final = 16_384
"""Bytes of UTF-8. Redaction keeps all forms of a value in memory: some 750 bytes for each byte, more for odd ones."""

_NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.:/-]{{0,{LONGEST_NAME - 1}}}", re.ASCII)


def check_name(name: str) -> str:
    """``name``; raises ``SecretInvalid``."""
    if _NAME.fullmatch(name) is None:
        shown = name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"
        raise SecretInvalid(
            shown, f"a name has 1 to {LONGEST_NAME} of A-Z a-z 0-9 _ . : / - and begins with a letter, digit or _"
        )
    return name


def check_value(name: str, value: str) -> bytes:
    """``value`` in UTF-8; raises ``SecretInvalid``, which does not show it.

    Comes before a value is registered for redaction, which costs memory by its size.
    """
    try:
        data = value.encode()
    except UnicodeEncodeError:
        raise SecretInvalid(name, "the value is no Unicode text; encode bytes, for example in base64") from None
    if not data:
        raise SecretInvalid(name, "the value is empty")
    if len(data) > LARGEST_VALUE:
        raise SecretInvalid(name, f"the value has {len(data)} bytes; {LARGEST_VALUE} is the most")
    return data
