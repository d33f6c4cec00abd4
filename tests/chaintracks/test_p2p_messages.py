"""Messages between nodes, against the bytes of spec/consensus.md §3."""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.chaintracks.sources.p2p.messages import (
    MAX_PAYLOAD,
    FrameHead,
    Version,
    frame,
    get_headers,
    headers,
    inventory,
    parse_get_headers,
    parse_headers,
    parse_inventory,
)
from sdk.core.chain import MAIN
from sdk.core.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC = MAIN.magic
HASHES = st.binary(min_size=32, max_size=32)


def test_an_empty_message_has_the_checksum_of_the_sheet() -> None:
    assert frame(MAGIC, "verack").hex() == "e3e1f3e8" + b"verack".hex() + "00" * 6 + "00000000" + "5df6e0e2"


@given(st.binary(max_size=300))
def test_a_frame_is_read_as_it_was_written(payload: bytes) -> None:
    data = frame(MAGIC, "headers", payload)
    head = FrameHead.parse(MAGIC, data[:24])
    assert (head.command, head.length) == ("headers", len(payload))
    assert head.fits(payload)
    assert not head.fits(payload + b"x")


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (bytes.fromhex("f9beb4d9") + b"verack".ljust(12, b"\0") + bytes(8), "another network"),
        (MAGIC + b"\0ver".ljust(12, b"\0") + bytes(8), "no command"),
        (MAGIC + b"ver\0ack".ljust(12, b"\0") + bytes(8), "no command"),
        (MAGIC + bytes(12) + bytes(8), "no command"),
        (MAGIC + b"block".ljust(12, b"\0") + pack("<I", MAX_PAYLOAD + 1) + bytes(4), "over"),
        (MAGIC + b"extmsg".ljust(12, b"\0") + b"\xff" * 4 + bytes(4), "over"),
    ],
)
def test_a_frame_that_is_none_is_refused_before_its_payload_is_read(head: bytes, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        FrameHead.parse(MAGIC, head)


@given(
    st.builds(
        Version,
        st.integers(-(2**31), 2**31 - 1),
        st.integers(0, 2**64 - 1),
        st.integers(-(2**63), 2**63 - 1),
        st.integers(0, 2**64 - 1),
        st.text(max_size=60),
        st.integers(-(2**31), 2**31 - 1),
        st.booleans(),
    )
)
def test_a_version_is_read_as_it_was_written(version: Version) -> None:
    assert Version.parse(version.to_bytes()) == version


def test_a_version_may_stop_after_any_field_from_the_first_address_on() -> None:
    whole = Version(70016, 33, 5, 9, "/x/", 100, relay=True).to_bytes()
    assert Version.parse(whole[:46]) == Version(70016, 33, 5, 0, "", 0, relay=True)
    assert Version.parse(whole[:72]).nonce == 0
    assert Version.parse(whole[:80]) == Version(70016, 33, 5, 9, "", 0, relay=True)
    assert Version.parse(whole[:84]).agent == "/x/"
    assert Version.parse(whole[:-1]).start_height == 100
    for cut in (0, 10, 45, 50, 75, 82, 86):
        with pytest.raises(ParseError):
            Version.parse(whole[:cut])
    assert Version.parse(whole + b"\x11" + bytes(17)).start_height == 100  # the association id


@given(st.lists(HASHES, max_size=40), HASHES)
def test_getheaders_is_read_as_it_was_written(locator: list[bytes], stop: bytes) -> None:
    assert parse_get_headers(get_headers(locator, stop)) == (locator, stop)


@given(st.binary(min_size=80, max_size=80), st.integers(0, 30))
def test_headers_are_read_as_they_were_written(header: bytes, count: int) -> None:
    assert parse_headers(headers(header * count)) == header * count


@given(st.lists(HASHES, max_size=20), st.integers(0, 2**32 - 1))
def test_an_inventory_is_read_as_it_was_written(hashes: list[bytes], kind: int) -> None:
    assert parse_inventory(inventory(hashes, kind)) == [(kind, each) for each in hashes]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x01",
        b"\x01" + bytes(80),
        b"\x01" + bytes(80) + b"\x01",
        b"\x01" + bytes(82),
        b"\xfd\x01\x00" + bytes(81),  # not the shortest form
        b"\xfd\xd1\x07" + bytes(81 * 2001),
        b"\xff" + b"\xff" * 8,
    ],
)
def test_headers_that_are_none_are_refused(payload: bytes) -> None:
    with pytest.raises(ParseError):
        parse_headers(payload)


@pytest.mark.parametrize("parse", [parse_headers, parse_inventory, parse_get_headers, Version.parse])
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_where_they_fail(parse: Callable[[bytes], object], payload: bytes) -> None:
    offsets: list[int | None] = []
    try:
        parse(payload)
    except ParseError as error:
        offsets.append(error.offset)
    assert all(each is not None and 0 <= each <= len(payload) for each in offsets)
