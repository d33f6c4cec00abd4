"""What every strict codec must do, as assertions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sdk.core.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Callable


def assert_round_trip(cls: Any, value: Any) -> None:
    """Bytes and hex give the value back, and the value its bytes; buffers of other types are as good."""
    data = value.to_bytes()
    assert cls.from_bytes(data) == value
    assert cls.from_bytes(data).to_bytes() == data
    assert cls.from_bytes(bytearray(data)) == cls.from_bytes(memoryview(data)) == value
    assert value.to_hex() == data.hex()
    assert cls.from_hex(data.hex()) == value


def assert_strict(parse: Callable[[bytes], Any], data: bytes) -> None:
    """Every prefix, and a trailing byte, is refused with an offset inside what was given."""
    cuts = range(len(data)) if len(data) < 600 else (*range(300), *range(300, len(data), max(97, len(data) // 100)))
    for size in cuts:
        with pytest.raises(ParseError) as error:
            parse(data[:size])
        assert error.value.offset is not None
        assert 0 <= error.value.offset <= size
    with pytest.raises(ParseError) as error:
        parse(data + b"\x00")
    assert error.value.offset is not None
