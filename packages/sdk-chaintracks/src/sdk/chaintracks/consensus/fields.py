"""The 80 bytes of a header, read without building an object (spec/consensus.md §2)."""

from __future__ import annotations

import sys
from array import array
from hashlib import sha256
from struct import Struct
from typing import Any

HEADER = 80
ZERO_HASH = bytes(32)

_FIELDS = Struct("<i32s32sIII")
_WORDS = HEADER // 4
_TIME, _BITS = 17, 18  # places among the 32-bit words of a header


def header_hash(raw: bytes) -> bytes:
    """Double SHA-256, internal order."""
    return sha256(sha256(raw).digest()).digest()


def display(internal: bytes) -> str:
    """Display hex of a hash in internal order."""
    return internal[::-1].hex()


def internal(display_hex: str) -> bytes:
    return bytes.fromhex(display_hex)[::-1]


def previous_hash(raw: bytes) -> bytes:
    return raw[4:36]


def merkle_root(raw: bytes) -> bytes:
    return raw[36:68]


def header_time(raw: bytes) -> int:
    return int.from_bytes(raw[68:72], "little")


def header_bits(raw: bytes) -> int:
    return int.from_bytes(raw[72:76], "little")


def header_version(raw: bytes) -> int:
    return int.from_bytes(raw[:4], "little", signed=True)


def pack_header(version: int, previous: bytes, root: bytes, time: int, bits: int, nonce: int) -> bytes:
    """Raises ``struct.error`` when a number does not fit its field."""
    return _FIELDS.pack(version, previous, root, time, bits, nonce)


def split(raw: bytes) -> list[bytes]:
    """The headers of 80 bytes each that lie in ``raw`` one after the other."""
    return [raw[at : at + HEADER] for at in range(0, len(raw), HEADER)]


def number_columns(raw: bytes) -> tuple[list[int], list[int], list[int]]:
    """Versions, times and bits of headers that lie one after the other."""
    signed, unsigned = array("i"), array("I")
    signed.frombytes(raw)
    unsigned.frombytes(raw)
    if sys.byteorder == "big":
        signed.byteswap()
        unsigned.byteswap()
    return signed[::_WORDS].tolist(), unsigned[_TIME::_WORDS].tolist(), unsigned[_BITS::_WORDS].tolist()


def header_json(raw: bytes, height: int, block_hash: bytes | None = None) -> dict[str, Any]:
    """The header object of the chaintracks wire (spec/wallet-stack.md §6.2); ``raw`` is 80 bytes."""
    version, previous, root, time, bits, nonce = _FIELDS.unpack(raw)
    return {
        "version": version & 0xFFFFFFFF,
        "previousHash": display(previous),
        "merkleRoot": display(root),
        "time": time,
        "bits": bits,
        "nonce": nonce,
        "height": height,
        "hash": display(header_hash(raw) if block_hash is None else block_hash),
    }
