"""The base of BRC-100 argument models: what pydantic finds wrong becomes ``InvalidParameter`` with the field's path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError, model_validator
from pydantic_core import PydanticCustomError

from sdk.core.errors import InvalidParameter
from sdk.core.wire import WireModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Self

M = TypeVar("M", bound="WalletModel")


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
    def of(cls, value: Self | Mapping[str, Any]) -> Self:
        """``value`` itself if it is one already (models are frozen), else parsed and checked."""
        if type(value) is cls:
            return value
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise invalid_parameter(error) from None


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
