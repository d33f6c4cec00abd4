"""What an instruction pushes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core import opcodes as op
from sdk.wallet.script.errors import TemplateError

if TYPE_CHECKING:
    from sdk.core.script import ScriptChunk


def field_of(chunk: ScriptChunk, what: str) -> bytes:
    """The bytes, also of OP_1NEGATE and OP_1 … OP_16. Raises ``TemplateError`` for what is no push."""
    if chunk.data is not None:
        return chunk.data
    if op.OP_1 <= chunk.opcode <= op.OP_16:
        return bytes((chunk.opcode - op.OP_1 + 1,))
    if chunk.opcode == op.OP_1NEGATE:
        return b"\x81"
    raise TemplateError(
        what, f"{op.NAMES.get(chunk.opcode, hex(chunk.opcode))} stands where a push must be", chunk.offset
    )
