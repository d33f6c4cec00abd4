"""What all structs of the wire share: strict types, unknown members ignored, a known member given twice refused."""

from __future__ import annotations

import re
from typing import Annotated, Any, Generic, Self, TypeVar
from uuid import UUID

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from sdk.module_runtime.errors import ProtocolError
from sdk.module_runtime.protocol.json_text import Repeated, parse_json, write_json

_HYPHENATED = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_UUID = re.compile(rf"[0-9a-fA-F]{{32}}|{_HYPHENATED}|\{{{_HYPHENATED}\}}|urn:uuid:{_HYPHENATED}")


def _uuid(value: Any) -> Any:
    if isinstance(value, str):
        if _UUID.fullmatch(value) is None:
            raise ValueError("not a UUID (simple, hyphenated, braced or urn form)")
        return UUID(value)
    return value


def _bytes(value: Any) -> Any:
    if isinstance(value, list):
        if not set(map(type, value)) <= {int}:
            raise ValueError("expected integers 0..255")
        return bytes(value)  # ValueError beyond a byte
    return value


def is_none(value: object) -> bool:
    return value is None


def is_empty(value: Any) -> bool:
    return not value


WireUuid = Annotated[UUID, BeforeValidator(_uuid), PlainSerializer(str)]
WireBytes = Annotated[bytes, BeforeValidator(_bytes), PlainSerializer(list)]
"""A JSON array of integers 0..255 on the wire, ``bytes`` here."""
U16 = Annotated[int, Field(ge=0, le=0xFFFF)]
U32 = Annotated[int, Field(ge=0, le=0xFFFF_FFFF)]
U64 = Annotated[int, Field(ge=0, le=0xFFFF_FFFF_FFFF_FFFF)]
I64 = Annotated[int, Field(ge=-(1 << 63), le=(1 << 63) - 1)]

T = TypeVar("T")


class WireStruct(BaseModel):
    """A struct of the wire. Optional members are written as ``null`` unless the field says ``exclude_if``."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _each_member_once(cls, value: Any) -> Any:
        if type(value) is Repeated:
            twice = sorted(value.repeated & cls.model_fields.keys())
            if twice:
                raise ValueError(f"duplicate field `{twice[0]}`")
        return value

    def to_json(self) -> bytes:
        """Compact JSON, members in the order they are declared, as the Rust types print it."""
        return write_json(self.model_dump(), type(self).__name__)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Raises ``ProtocolError``."""
        value = parse_json(data, cls.__name__)
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise refusal(cls.__name__, error) from None


class Codec(Generic[T]):
    """Reads one kind of message, given as a type or a tagged union of types."""

    def __init__(self, what: str, type_: Any) -> None:
        self.what = what
        self._adapter: TypeAdapter[T] = TypeAdapter(type_)

    def from_json(self, data: bytes) -> T:
        """Raises ``ProtocolError``."""
        return self.from_value(parse_json(data, self.what))

    def from_value(self, value: Any) -> T:
        """From JSON that is parsed already. Raises ``ProtocolError``."""
        try:
            return self._adapter.validate_python(value)
        except ValidationError as error:
            raise refusal(self.what, error) from None


def refusal(what: str, error: ValidationError) -> ProtocolError:
    """The first complaint with its place; never the value, which may be a secret."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return ProtocolError(what, f"{place}: {first['msg']}" if place else first["msg"])
