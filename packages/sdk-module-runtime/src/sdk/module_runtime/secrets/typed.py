"""A secret in a program: it goes wherever it is needed and shows itself nowhere."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, Self, TypeVar

from sdk.module_runtime.secrets.errors import SecretParseError
from sdk.module_runtime.secrets.redaction import SECRETS
from sdk.service.logging import REDACTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.module_runtime.secrets.redaction import SecretRegistry

T = TypeVar("T")
U = TypeVar("U")

_BOOLEANS: Final = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


class Secret(Generic[T]):
    """Wraps a value; ``expose`` is the one way to it. While it lives the text of it is redacted from what is written.

    Printing, formatting and ``repr`` show a mark, pickling raises ``TypeError``, copying gives the same object, and
    what cannot serialise unknown types cannot serialise this. Two are equal if their values are.
    """

    __slots__ = ("__weakref__", "_origin", "_registry", "_value")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: T, *, registry: SecretRegistry = SECRETS, origin: Secret[Any] | None = None) -> None:
        """``origin`` is what ``value`` was made from; it stays redacted as long as this lives."""
        self._value, self._registry, self._origin = value, registry, origin
        if isinstance(value, (str, bytes)):
            registry.register(value, holder=self)

    def expose(self) -> T:
        return self._value

    def map(self, function: Callable[[T], U]) -> Secret[U]:
        """A secret of ``function(value)``. What ``function`` raises is its own affair."""
        return Secret(function(self._value), registry=self._registry, origin=self)

    def __repr__(self) -> str:
        return f"Secret({REDACTED})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return REDACTED

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        mine, its = _bytes_of(self._value), _bytes_of(other._value)
        if mine is None or its is None:
            return bool(self._value == other._value)
        return type(self._value) is type(other._value) and hmac.compare_digest(mine, its)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, _protocol: Any) -> NoReturn:
        raise TypeError("a secret is not pickled; send its name")


def _bytes_of(value: Any) -> bytes | None:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return value if isinstance(value, bytes) else None


def as_int(name: str, secret: Secret[str]) -> Secret[int]:
    return _parsed(name, secret, int, "a whole number")


def as_float(name: str, secret: Secret[str]) -> Secret[float]:
    return _parsed(name, secret, float, "a number")


def as_bool(name: str, secret: Secret[str]) -> Secret[bool]:
    return _parsed(name, secret, lambda text: _BOOLEANS[text.strip().lower()], "true, false, 1, 0, yes, no, on or off")


def as_base64(name: str, secret: Secret[str]) -> Secret[bytes]:
    return _parsed(name, secret, lambda text: base64.b64decode(text, validate=True), "base64")


def as_hex(name: str, secret: Secret[str]) -> Secret[bytes]:
    return _parsed(name, secret, bytes.fromhex, "hexadecimal digits")


def _parsed(name: str, secret: Secret[str], parse: Callable[[str], U], what: str) -> Secret[U]:
    try:
        return secret.map(parse)
    except (ValueError, KeyError, OverflowError):  # whose messages and tracebacks show the value
        raise SecretParseError(name, f"the value is not {what}") from None
