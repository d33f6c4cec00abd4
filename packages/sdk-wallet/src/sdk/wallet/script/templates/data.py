"""Data outputs: FALSE RETURN <item> …, which nothing can spend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.errors import ParseError
from sdk.core.script import Script, push
from sdk.wallet.script.errors import TemplateError
from sdk.wallet.script.templates.fields import field_of

if TYPE_CHECKING:
    from collections.abc import Iterable

_PREFIX = b"\x00\x6a"


def lock(items: Iterable[bytes | str]) -> Script:
    """Text is written as UTF-8. Each item is pushed by its length, never as a number opcode, as protocols expect."""
    return Script(_PREFIX + b"".join(push(item.encode() if isinstance(item, str) else item) for item in items))


def decode(script: Script) -> list[bytes]:
    """The items; OP_RETURN without OP_FALSE, as of before Genesis, is accepted. Raises ``TemplateError``."""
    start = 2 if script.is_data() else 1 if script.data[:1] == b"\x6a" else 0
    if not start:
        raise TemplateError("data script", "it does not begin with FALSE RETURN")
    try:
        return [field_of(chunk, "data script") for chunk in Script(script.data[start:])]
    except TemplateError:
        raise
    except ParseError as error:
        raise TemplateError("data script", error.reason, start + (error.offset or 0)) from None
