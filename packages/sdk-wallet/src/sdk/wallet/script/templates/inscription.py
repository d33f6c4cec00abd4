"""1-sat inscriptions: content in a branch that never executes, beside an ordinary lock.

FALSE IF "ord" 1 <content type> 0 <content> ENDIF
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sdk.core import opcodes as op
from sdk.core.script import Script, push
from sdk.wallet.script.errors import TemplateError
from sdk.wallet.script.templates.fields import field_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sdk.core.script import ScriptChunk

_WHAT = "inscription"
_OPENING = bytes((op.OP_0, op.OP_IF)) + push(b"ord")
_CONTENT_TYPE = b"\x01"
_CONTENT = b""


class Inscription(NamedTuple):
    """``fields``: further entries by their tag. ``locking_script``: the whole script without the envelope."""

    content_type: str
    content: bytes
    fields: Mapping[bytes, bytes]
    locking_script: Script


def lock(content: bytes, content_type: str, locking_script: Script) -> Script:
    """The envelope, then ``locking_script``."""
    envelope = _OPENING + bytes((op.OP_1,)) + push(content_type.encode()) + bytes((op.OP_0,)) + push(content)
    return Script(envelope + bytes((op.OP_ENDIF,)) + locking_script.data)


def decode(script: Script) -> Inscription:
    """The first envelope, wherever it stands. Raises ``TemplateError``."""
    chunks = script.parsable_prefix()
    start = next(_openings(chunks), None)
    if start is None:
        raise TemplateError(_WHAT, 'there is no FALSE IF "ord"')
    end = next((i for i in range(start + 3, len(chunks)) if chunks[i].opcode == op.OP_ENDIF), None)
    if end is None:
        raise TemplateError(_WHAT, "the envelope is not closed", chunks[start].offset)
    entries = _entries(chunks[start + 3 : end])
    rest = script.data[: chunks[start].offset] + script.data[chunks[end].end :]
    content, content_type = entries.pop(_CONTENT, b""), entries.pop(_CONTENT_TYPE, b"")
    try:
        return Inscription(content_type.decode(), content, entries, Script(rest))
    except UnicodeDecodeError:
        raise TemplateError(_WHAT, "the content type is not UTF-8", chunks[start].offset) from None


def _openings(chunks: Sequence[ScriptChunk]) -> Iterator[int]:
    for index in range(len(chunks) - 2):
        first, second, third = chunks[index : index + 3]
        if first.opcode == op.OP_0 and second.opcode == op.OP_IF and third.data == b"ord":
            yield index


def _entries(chunks: Sequence[ScriptChunk]) -> dict[bytes, bytes]:
    """Tags with their values; the content tag comes last, and all pushes behind it are content."""
    entries: dict[bytes, bytes] = {}
    position = 0
    while position < len(chunks):
        tag = field_of(chunks[position], _WHAT)
        if tag == _CONTENT:
            entries[_CONTENT] = b"".join(field_of(chunk, _WHAT) for chunk in chunks[position + 1 :])
            break
        if position + 1 == len(chunks):
            raise TemplateError(_WHAT, "a tag has no value", chunks[position].offset)
        entries[tag] = field_of(chunks[position + 1], _WHAT)
        position += 2
    return entries
