"""The base of every model that crosses a JSON wire, and the byte encodings such wires use.

Attributes are snake_case in Python and camelCase on the wire; both are accepted. Unknown members from a peer are
ignored. ``None`` is left out of what is sent (spec/wallet-stack.md §0).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer
from pydantic.alias_generators import to_camel


def _bytes_from_wire(value: object) -> object:
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (list, tuple)):
        try:
            return bytes(value)
        except (TypeError, ValueError):
            raise ValueError("must be a list of integers from 0 to 255") from None
    if isinstance(value, str):
        raise ValueError("must be bytes or a list of integers from 0 to 255, not a string")
    return value


NumberBytes = Annotated[
    bytes,
    BeforeValidator(_bytes_from_wire),
    PlainSerializer(list, return_type=list[int], when_used="json"),
]
"""``bytes`` that travel as a plain JSON array of integers 0..255."""


class WireModel(BaseModel):
    """Frozen, camelCase outside, snake_case inside."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="ignore",
        frozen=True,
    )

    def to_wire(self) -> dict[str, Any]:
        """JSON-ready members: camelCase, bytes as number arrays, ``None`` left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
