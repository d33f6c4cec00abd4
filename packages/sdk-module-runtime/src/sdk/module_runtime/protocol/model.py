"""What all structs of the wire share: strict types, unknown members ignored, a known member given twice refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar, get_args
from uuid import UUID

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, TypeAdapter, ValidationError

from sdk.module_runtime.errors import ProtocolError
from sdk.module_runtime.protocol.json_text import Repeated, Struct, parse_json, write_json

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
        try:
            data = bytes(value)
            if b"e" not in orjson.dumps(value):  # true and false are integers to Python
                return data
        except (TypeError, ValueError):
            pass
        raise ValueError("expected integers 0..255")
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
_set = object.__setattr__


class WireStruct(Struct, BaseModel):
    """A struct of the wire. Optional members are written as ``null`` unless the field says ``exclude_if``."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore", hide_input_in_errors=True)

    _left_out: ClassVar[dict[str, Callable[[Any], bool]]] = {}
    _octets: ClassVar[list[str]] = []
    _absent: ClassVar[dict[str, Any]] = {}
    _required: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        fields = cls.model_fields.items()
        cls._absent = {name: None if field.is_required() else field.default for name, field in fields}
        cls._required = frozenset(name for name, field in fields if field.is_required())
        cls._left_out = {name: field.exclude_if for name, field in fields if field.exclude_if is not None}
        cls._octets = [
            name for name, field in fields if field.annotation is bytes or WireBytes in get_args(field.annotation)
        ]

    @classmethod
    def trusted(cls, **members: Any) -> Self:
        """Of members that our own code has made: their types are not judged, which takes most of the time of ``cls()``.

        What is missing has its default, which must be a plain one.
        """
        if not cls._required <= members.keys():
            raise TypeError(f"{cls.__name__} needs {', '.join(sorted(cls._required - members.keys()))}")
        made = cls.__new__(cls)
        _set(made, "__dict__", {**cls._absent, **members})
        _set(made, "__pydantic_fields_set__", set(members))
        _set(made, "__pydantic_extra__", None)
        _set(made, "__pydantic_private__", None)
        return made

    def members(self) -> dict[str, Any]:
        """What is written, in the order it is declared; structs within as they are."""
        members = self.__dict__
        if self._left_out:
            members = members.copy()
            for name, is_left_out in self._left_out.items():
                if is_left_out(members[name]):
                    del members[name]
        for name in self._octets:
            data = members.get(name)
            if data is not None:
                members = {**members, name: list(data)}
        return members

    def to_json(self) -> bytes:
        """Compact JSON, members in the order they are declared, as the Rust types print it."""
        return write_json(self.members(), type(self).__name__)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Raises ``ProtocolError``."""
        value = parse_json(data, cls.__name__)
        try:
            struct = cls.model_validate(value)
        except ValidationError as error:
            raise refusal(cls.__name__, error) from None
        if type(value) is Repeated:
            _each_member_once(cls.__name__, struct, value)
        return struct


class Codec(Generic[T]):
    """Reads one kind of message, given as a type or a tagged union of types."""

    def __init__(self, what: str, type_: Any) -> None:
        self.what = what
        self._validate: Callable[[Any], T] = TypeAdapter(type_).validator.validate_python

    def from_json(self, data: bytes) -> T:
        """Raises ``ProtocolError``."""
        return self.from_value(parse_json(data, self.what))

    def from_value(self, value: Any) -> T:
        """From JSON that is parsed already. Raises ``ProtocolError``."""
        try:
            read = self._validate(value)
        except ValidationError as error:
            raise refusal(self.what, error) from None
        if type(value) is Repeated:
            _each_member_once(self.what, read, value)
        return read


def _each_member_once(what: str, read: Any, value: Any) -> None:
    """Refuse a member of a struct that ``value``, from which it was read, gives twice; those of maps may be."""
    if isinstance(read, WireStruct) and isinstance(value, dict):
        twice = value.repeated & read.__dict__.keys() if type(value) is Repeated else frozenset()
        if twice:
            raise ProtocolError(what, f"duplicate field `{min(twice)}`")
        for name, inner in read.__dict__.items():
            _each_member_once(what, inner, value.get(name))
    elif isinstance(read, list) and isinstance(value, list):
        for inner, each in zip(read, value, strict=True):
            _each_member_once(what, inner, each)


def refusal(what: str, error: ValidationError) -> ProtocolError:
    """The first complaint with its place; never the value, which may be a secret."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return ProtocolError(what, f"{place}: {first['msg']}" if place else first["msg"])
