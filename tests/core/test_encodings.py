from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.encodings import Reader, bytes_from_hex, from_display, read_varint, to_display, varint, varint_size
from sdk.core.errors import ParseError

U64 = 0xFFFF_FFFF_FFFF_FFFF


@given(
    st.one_of(st.integers(0, U64), st.sampled_from([0, 252, 253, 0xFFFF, 0x1_0000, 0xFFFF_FFFF, 0x1_0000_0000, U64]))
)
def test_compact_integers_round_trip(value: int) -> None:
    data = varint(value)
    assert len(data) == varint_size(value)
    assert read_varint(data, 0, "test") == (value, len(data))
    for size in range(len(data)):
        with pytest.raises(ParseError) as error:
            read_varint(data[:size], 0, "test")
        assert error.value.offset == 0


@pytest.mark.parametrize(
    "text", ["fd0000", "fdfc00", "fe00000000", "feffff0000", "ff0000000000000000", "ffffffffff00000000"]
)
def test_longer_compact_integers_are_refused(text: str) -> None:
    with pytest.raises(ParseError, match="shortest form"):
        read_varint(bytes.fromhex(text), 0, "test")


@pytest.mark.parametrize("value", [-1, U64 + 1])
def test_compact_integers_have_64_bits(value: int) -> None:
    with pytest.raises(ValueError, match="compact integer"):
        varint(value)


@pytest.mark.parametrize(
    ("text", "offset"), [("0", 1), ("abc", 3), ("0g", 1), ("00 11", 2), ("0x00", 1), ("é0", 0), ("00\n", 2)]
)
def test_hex_is_strict(text: str, offset: int) -> None:
    with pytest.raises(ParseError) as error:
        bytes_from_hex(text, "test")
    assert error.value.offset == offset


@given(st.binary(min_size=32, max_size=32))
def test_display_form_is_the_reverse(digest: bytes) -> None:
    assert from_display(to_display(digest)) == digest
    assert to_display(digest) == digest[::-1].hex()


@pytest.mark.parametrize("text", ["", "00" * 31, "00" * 33, "zz" * 32])
def test_display_form_has_64_digits(text: str) -> None:
    with pytest.raises(ParseError):
        from_display(text)


def test_reader_names_the_field_and_the_offset() -> None:
    reader = Reader(b"\x01\x02\x03", "thing")
    assert (reader.u8(), reader.unsigned(2)) == (1, 0x0302)
    with pytest.raises(ParseError, match="invalid thing at offset 3: name takes 4 bytes, 0 are left"):
        reader.read(4, "name")
    reader.finish()


def test_reader_refuses_trailing_bytes_and_lying_counts() -> None:
    reader = Reader(b"\xfe\xff\xff\xff\xff", "thing")
    with pytest.raises(ParseError, match="4294967295 items cannot fit"):
        reader.count(1, "items")
    with pytest.raises(ParseError, match="trailing"):
        Reader(b"\x00", "thing").finish()


def test_reader_stays_inside_its_window() -> None:
    reader = Reader(b"\x00\x01\x02\xfd\x00\x01", "thing", 1, 4)
    assert reader.read(2) == b"\x01\x02"
    with pytest.raises(ParseError):
        reader.varint()
    with pytest.raises(ParseError):
        reader.read(2)
