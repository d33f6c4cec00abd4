"""A secret in a program shows itself nowhere."""

from __future__ import annotations

import base64
import copy
import dataclasses
import gc
import json
import pickle
import traceback
from typing import TYPE_CHECKING, Any

import msgpack  # type: ignore[import-untyped]
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.module_runtime.secrets import Secret
from sdk.module_runtime.secrets.errors import SecretError, SecretParseError
from sdk.module_runtime.secrets.redaction import SecretRegistry
from sdk.module_runtime.secrets.typed import as_base64, as_bool, as_float, as_hex, as_int

if TYPE_CHECKING:
    from collections.abc import Callable

VALUE = "hunter2-hunter2"
SHOWN = [
    str,
    repr,
    "{}".format,
    "{:>40}".format,
    "{!r:^30}".format,
    lambda secret: f"{secret}",
    lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - one of the ways
    lambda secret: repr([secret, {"a": secret}]),
    lambda secret: json.dumps({"a": secret}, default=str),
    lambda secret: orjson.dumps({"a": secret}, default=str).decode(),
    lambda secret: repr(copy.deepcopy({"a": secret})),
    lambda secret: repr(dataclasses.asdict(Holder(secret))),
    lambda secret: repr(Holder(secret)),
]


def of(text: str) -> Secret[str]:
    """A secret of which the other tests' logs know nothing."""
    return Secret(text, registry=SecretRegistry())


@dataclasses.dataclass
class Holder:
    secret: Secret[str]


@pytest.mark.parametrize("show", SHOWN)
def test_no_way_of_showing_it_shows_the_value(show: Callable[[Secret[Any]], str]) -> None:
    for value in (VALUE, VALUE.encode(), 8_273_645_123):
        assert str(value) not in show(Secret(value))
        assert "redacted" in show(Secret(value))


@pytest.mark.parametrize("serialise", [pickle.dumps, json.dumps, orjson.dumps, msgpack.packb])
def test_what_would_carry_it_away_is_refused(serialise: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError) as caught:
        serialise({"a": Secret(VALUE)})
    assert VALUE not in "".join(traceback.format_exception(caught.value))


def test_it_gives_the_value_to_whoever_asks_for_it_by_name_and_copies_are_the_same_object() -> None:
    secret = Secret(VALUE)
    assert secret.expose() == VALUE
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret
    assert not hasattr(secret, "__dict__")
    with pytest.raises(TypeError, match="unhashable"):
        hash(secret)


@given(st.text() | st.binary() | st.integers(), st.text() | st.binary() | st.integers())
def test_two_are_equal_if_their_values_are(one: Any, other: Any) -> None:
    registry = SecretRegistry()
    assert Secret(one, registry=registry) == Secret(one, registry=registry)
    assert (Secret(one, registry=registry) == Secret(other, registry=registry)) is (
        type(one) is type(other) and one == other
    )
    assert Secret(one, registry=registry) != one


def test_its_text_is_redacted_while_it_or_anything_made_of_it_lives() -> None:
    now = [0.0]
    registry = SecretRegistry(grace=10, clock=lambda: now[0])
    made = Secret(Secret("8273645123", registry=registry).expose(), registry=registry).map(int)
    gc.collect()
    now[0] = 1_000
    assert registry.redact("8273645123") == "[redacted]"
    del made
    gc.collect()
    assert registry.redact("8273645123") == "[redacted]", "the grace time begins now"
    now[0] = 2_000
    assert registry.redact("8273645123") == "8273645123"


@given(st.integers(), st.floats(allow_nan=False), st.binary(), st.booleans())
def test_typed_values_are_read_from_their_text(number: int, real: float, data: bytes, yes: bool) -> None:
    assert as_int("N", of(f" {number}\n")).expose() == number
    assert as_float("N", of(repr(real))).expose() == real
    assert as_base64("N", of(base64.b64encode(data).decode())).expose() == data
    assert as_hex("N", of(data.hex())).expose() == data
    for text in ("true", "1", "YES", "on ") if yes else ("false", "0", "No", "OFF"):
        assert as_bool("N", of(text)).expose() is yes


@given(st.text(min_size=4).filter(lambda text: not text.strip().isdigit()))
def test_a_value_that_cannot_be_read_is_not_in_the_error_nor_in_its_traceback(text: str) -> None:
    value = f"~{text}~"
    for parse in (as_int, as_float, as_base64, as_hex, as_bool):
        with pytest.raises(SecretParseError) as caught:
            parse("DB_PORT", of(value))
        assert isinstance(caught.value, SecretError)
        assert "DB_PORT" in str(caught.value)
        assert value not in "".join(traceback.format_exception(caught.value))
        assert repr(value)[1:-1] not in "".join(traceback.format_exception(caught.value))
