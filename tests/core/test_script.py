from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.core import opcodes as op
from sdk.core.errors import ParseError
from sdk.core.script import Script, decode_number, encode_number, push, push_minimal, push_number

PUSH_SIZES = [0, 1, 75, 76, 255, 256, 0xFFFF, 0x1_0000]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_script(data: bytes) -> None:
    script = Script.from_bytes(data)
    assert script.to_bytes() == bytes(script) == data
    assert Script.from_hex(script.to_hex()) == script
    assert len(script) == len(data)


@given(st.binary(max_size=200))
def test_chunks_tile_the_script_up_to_a_cut_push(data: bytes) -> None:
    script = Script(data)
    chunks = script.parsable_prefix()
    end = 0
    for chunk in chunks:
        assert chunk.offset == end
        assert data[chunk.offset] == chunk.opcode
        end = chunk.end
    if end == len(data):
        assert script.chunks() == chunks
    else:
        with pytest.raises(ParseError) as error:
            script.chunks()
        assert error.value.offset == end
        assert not script.is_push_only()


@pytest.mark.parametrize("size", PUSH_SIZES)
def test_pushes_use_the_shortest_length(size: int) -> None:
    data = b"\xaa" * size
    (chunk,) = Script(push(data)).chunks()
    assert chunk.data == data
    head = {0: 1, 1: 1, 75: 1, 76: 2, 255: 2, 256: 3, 0xFFFF: 3, 0x1_0000: 5}[size]
    assert len(push(data)) == head + size


def test_minimal_pushes() -> None:
    assert push_minimal(b"") == b"\x00"
    assert [push_minimal(bytes((n,))) for n in range(1, 17)] == [bytes((op.OP_1 + n - 1,)) for n in range(1, 17)]
    assert push_minimal(b"\x81") == bytes((op.OP_1NEGATE,))
    assert push_minimal(b"\x00") == b"\x01\x00"
    assert push_minimal(b"\x11") == b"\x01\x11"
    assert push(b"\x05") == b"\x01\x05"


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, ""), (1, "01"), (-1, "81"), (127, "7f"), (128, "8000"), (-128, "8080"), (255, "ff00"), (-255, "ff80"),
     (256, "0001"), (32767, "ff7f"), (32768, "008000"), (-0x7FFFFFFF, "ffffffff")],
)  # fmt: skip
def test_numbers(value: int, encoded: str) -> None:
    assert encode_number(value).hex() == encoded
    assert decode_number(bytes.fromhex(encoded)) == value


@given(st.integers(-(1 << 300), 1 << 300))
def test_numbers_round_trip(value: int) -> None:
    assert decode_number(encode_number(value)) == value
    (chunk,) = Script(push_number(value)).chunks()
    if chunk.data is not None:
        assert decode_number(chunk.data) == value


def test_negative_zero_and_padding_decode() -> None:
    assert decode_number(b"\x80") == decode_number(b"\x00\x00\x80") == 0
    assert decode_number(b"\x01\x00") == 1


@given(st.binary(max_size=300))
def test_assembly_round_trips(data: bytes) -> None:
    script = Script(data)
    text = script.to_asm()
    if text.endswith("[error]"):
        with pytest.raises(ParseError):
            script.chunks()
    else:
        assert Script.from_asm(text) == script


@pytest.mark.parametrize("number", range(256))
def test_every_opcode_has_an_assembly_word(number: int) -> None:
    size = {op.OP_PUSHDATA1: 1, op.OP_PUSHDATA2: 2, op.OP_PUSHDATA4: 4}.get(number, number if number < 76 else 0)
    script = Script(bytes((number,)) + bytes(size))
    assert Script.from_asm(script.to_asm()) == script


@pytest.mark.parametrize(
    ("text", "data"),
    [("", ""), ("0", "00"), ("-1", "4f"), ("OP_FALSE OP_TRUE", "0051"), ("OP_NOP2 OP_NOP8", "b1b7"), ("00", "0100"),
     ("76", "0176"), ("OP_PUSHDATA1 2 aabb", "4c02aabb"), ("OP_PUSHDATA2 0 OP_DUP", "4d000076"),
     ("  OP_DUP\n\tOP_HASH160 ", "76a9")],
)  # fmt: skip
def test_assembly(text: str, data: str) -> None:
    assert Script.from_asm(text).to_hex() == data


@pytest.mark.parametrize(
    ("text", "offset"),
    [("OP_NONSENSE", 0), ("OP_DUP abc", 10), ("OP_DUP xy", 7), ("OP_PUSHDATA1", 0), ("OP_DUP OP_PUSHDATA1 3 aabb", 7),
     ("OP_PUSHDATA1 2", 0), ("OP_UNKNOWN_76", 0)],
)  # fmt: skip
def test_bad_assembly_is_refused_where_it_stands(text: str, offset: int) -> None:
    with pytest.raises(ParseError) as error:
        Script.from_asm(text)
    assert error.value.offset == offset


def test_kinds() -> None:
    p2pkh = Script.from_asm("OP_DUP OP_HASH160 " + "11" * 20 + " OP_EQUALVERIFY OP_CHECKSIG")
    assert p2pkh.is_p2pkh()
    assert not p2pkh.is_push_only()
    assert Script.from_asm("OP_HASH160 " + "11" * 20 + " OP_EQUAL").is_p2sh()
    assert Script.from_asm("OP_FALSE OP_RETURN aa").is_data()
    assert not Script.from_asm("OP_RETURN aa").is_data()
    assert Script.from_asm("aa OP_16 OP_1NEGATE OP_0").is_push_only()
    assert Script(b"\x51") + Script(b"\x52") == Script(b"\x51\x52")


def test_scripts_do_not_change() -> None:
    script = Script(b"\x51")
    with pytest.raises(AttributeError):
        script.data = b""  # type: ignore[misc]
    assert hash(script) == hash(Script(bytearray(b"\x51")))  # type: ignore[arg-type]
