"""The base of BRC-100 argument models: what pydantic finds wrong becomes ``InvalidParameter`` with the field's path."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError, model_validator
from pydantic_core import PydanticCustomError

from sdk.core.errors import InvalidParameter
from sdk.core.wire import WireModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self


class WalletModel(WireModel):
    """Frozen BRC-100 value. Raises ``InvalidParameter``, never pydantic's own error.

    Mappings may be in camelCase or snake_case; a member that is ``None`` counts as absent.
    """

    if not TYPE_CHECKING:  # checkers take the signature from the fields

        def __init__(self, /, **data: Any) -> None:
            try:
                super().__init__(**data)
            except ValidationError as error:
                raise invalid_parameter(error) from None

        # Tells pydantic that members of a model need not pass through this Python function.
        __init__.__pydantic_base_init__ = True

    @model_validator(mode="before")
    @classmethod
    def _none_is_absent(cls, data: object) -> object:
        if type(data) is dict and None in data.values():
            return {name: value for name, value in data.items() if value is not None}
        return data

    @classmethod
    def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:
        """As pydantic's, without any check, for values under their Python names; several times faster than that.

        For values that come from our own code, in lists of thousands.
        """
        self = cls.__new__(cls)
        members = _template(cls).copy()
        members.update(values)
        _set(self, "__dict__", members)
        _set(self, "__pydantic_fields_set__", set(values) if _fields_set is None else _fields_set)
        _set(self, "__pydantic_extra__", None)
        _set(self, "__pydantic_private__", None)
        return self

    @classmethod
    def of(cls, value: Self | Mapping[str, Any]) -> Self:
        """``value`` itself if it is one already (models are frozen), else parsed and checked."""
        if type(value) is cls:
            return value
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise invalid_parameter(error) from None


_set = object.__setattr__


@cache
def _template(model: type[WalletModel]) -> dict[str, Any]:
    """Every field in order, with its default; ``None`` where it has none."""
    return {name: None if field.is_required() else field.get_default() for name, field in model.model_fields.items()}


def invalid_parameter(error: ValidationError) -> InvalidParameter:
    """The first thing that is wrong, named as the caller wrote it: ``outputs[2].satoshis``."""
    first = error.errors(include_url=False, include_input=False)[0]
    path = field_path(first["loc"])
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, InvalidParameter):
        return InvalidParameter(".".join(filter(None, (path, inner.parameter))), inner.must_be)
    return InvalidParameter(path or "args", _must_be(first["type"], first["msg"], first.get("ctx", {})))


def field_path(location: Iterable[str | int]) -> str:
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            path += f".{step}" if path else step
    return path


def must_be(text: str) -> PydanticCustomError:
    """Raised by field validators; ``text`` completes "must be ..."."""
    return PydanticCustomError("must_be", "{text}", {"text": text})


def _must_be(kind: str, message: str, context: Mapping[str, Any]) -> str:
    if kind == "must_be":
        return message
    if kind == "missing":
        return "present"
    if kind == "too_long":
        return f"a list of at most {context['max_length']} items"
    if kind in ("tuple_type", "list_type"):
        return "a list"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "an object"
    for lead in ("Input should be ", "Value error, "):
        if message.startswith(lead):
            return message.removeprefix(lead).removeprefix("must be ")
    return f"valid ({message})"
