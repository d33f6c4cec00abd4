"""``sdk chaintracks verify`` on real headers, whole, flipped, cut and foreign."""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sdk.chaintracks.consensus import Rules, Window, check_batch, check_header
from sdk.chaintracks.errors import InvalidHeader
from sdk.chaintracks.verify import CHUNK, verify_file
from sdk.core.chain import MAIN, MOCK
from sdk.core.errors import ParseError
from support.header_rig import GENESIS, grown, raw
from support.requirements import vectors

if TYPE_CHECKING:
    from pathlib import Path

FIRST = 900_000
RULES = Rules.of(MAIN)


@pytest.fixture(scope="module")
def real() -> bytes:
    return vectors("headers", "main_900000_907999.headers").read_bytes()


def test_the_real_headers_hold_and_what_could_not_be_checked_is_said() -> None:
    found = verify_file(RULES, vectors("headers", "main_900000_907999.headers"), FIRST, now=1_800_000_000)
    assert (found.first, found.last, found.count) == (900_000, 907_999, 8000)
    assert found.tip_hash == "0000000000000000143d624456dd5800025df14b8ece878227bdd0e7586fbd80"
    assert [str(each) for each in found.unchecked] == [
        "linkage of 900000",
        "required bits of 900000-900146",
        "median time past of 900000-900010",
    ]


@pytest.mark.parametrize(("folder", "files"), [("cdnTest349", 4), ("cdnTest402", 5)])
def test_the_real_first_headers_hold_with_nothing_unchecked(tmp_path: Path, folder: str, files: int) -> None:
    path = tmp_path / "all.headers"
    parts = [vectors("headers", folder, f"mainNet_{index}.headers").read_bytes() for index in range(files)]
    path.write_bytes(b"".join(parts))
    found = verify_file(RULES, path, 0, now=1_800_000_000)
    assert found.unchecked == []
    assert found.work == found.count * 0x100010001


@settings(max_examples=80)
@given(bit=st.integers(0, 8000 * 640 - 1))
@example(bit=0)
@example(bit=36 * 8)
@example(bit=8000 * 640 - 1)
@example(bit=7999 * 640 + 72 * 8)
def test_a_flipped_bit_is_found_at_its_very_height(real: bytes, bit: int) -> None:
    flipped = bytearray(real)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidHeader) as caught:
        check_batch(RULES, bytes(flipped), FIRST, None, Window(FIRST), None)
    assert caught.value.height == FIRST + bit // 640


@settings(max_examples=25)
@given(cuts=st.lists(st.integers(1, 7999), max_size=4, unique=True), now=st.none() | st.just(1_800_000_000))
def test_headers_hold_however_they_are_cut_into_batches(real: bytes, cuts: list[int], now: int | None) -> None:
    whole = check_batch(RULES, real, FIRST, None, Window(FIRST), now)
    parent, window, hashes, work = None, Window(FIRST), [], 0
    edges = [0, *sorted(cuts), 8000]
    for start, end in itertools.pairwise(edges):
        part = check_batch(RULES, real[start * 80 : end * 80], FIRST + start, parent, window, now)
        parent, window = part.hashes[-1], part.window
        hashes += part.hashes
        work += part.work
    assert (hashes, work) == (whole.hashes, whole.work)
    assert (window.first, window.times, window.bits) == (whole.window.first, whole.window.times, whole.window.bits)


@settings(max_examples=60)
@given(
    at=st.integers(0, 299),
    field=st.sampled_from(["<4xI", "<68xI", "<72xI", "<76xI"]),
    value=st.integers(0, 0xFFFFFFFF),
    count=st.integers(1, 3),
)
def test_a_batch_gives_the_verdicts_of_single_headers(real: bytes, at: int, field: str, value: int, count: int) -> None:
    """Whatever is put into a field: the same header is refused for the same reason, by both."""
    damaged = bytearray(real[: 300 * 80])
    for each in range(count):
        struct.pack_into("<I", damaged, min(299, at + each * 40) * 80 + struct.calcsize(field) - 4, value)

    def single() -> tuple[int, str] | None:
        parent, window = None, Window(FIRST)
        for index in range(300):
            header = bytes(damaged[index * 80 : index * 80 + 80])
            try:
                checked = check_header(RULES, header, FIRST + index, parent, window, None)
            except InvalidHeader as error:
                return error.height, error.rule
            parent = checked.hash
            window = window.followed_by([checked.time], [checked.bits])
        return None

    def batch() -> tuple[int, str] | None:
        try:
            check_batch(RULES, bytes(damaged), FIRST, None, Window(FIRST), None)
        except InvalidHeader as error:
            return error.height, error.rule
        return None

    assert batch() == single()


def test_more_than_one_chunk_is_one_chain(tmp_path: Path) -> None:
    chain = grown([GENESIS], CHUNK + 5)
    path = tmp_path / "mock.headers"
    path.write_bytes(raw(chain))
    found = verify_file(Rules.of(MOCK), path, 0)
    assert (found.last, found.tip_hash) == (CHUNK + 5, chain[-1].hash())
    assert [str(each) for each in found.unchecked] == [f"future limit of 0-{CHUNK + 5}"]
    path.write_bytes(raw(chain[:CHUNK] + chain[CHUNK + 1 :]))
    with pytest.raises(InvalidHeader, match="prev-blk-not-found") as caught:
        verify_file(Rules.of(MOCK), path, 0)
    assert caught.value.height == CHUNK


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html></html>", "is text"),
        (b'{"status":"error"}', "is text"),
        (b"\0" * 81, "1 more than 1 headers"),
        (b"\0" * 79, "79 more than 0 headers"),
    ],
)
def test_what_is_no_file_of_headers_is_refused_in_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "odd.headers"
    path.write_bytes(content)
    with pytest.raises(ParseError, match=words) as caught:
        verify_file(RULES, path, 0)
    assert "\n" not in str(caught.value)
