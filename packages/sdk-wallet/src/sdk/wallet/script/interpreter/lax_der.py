"""DER as OpenSSL once read it: how signatures of before BIP 66 are taken apart.

Follows the node's description of the accepted forms: the length of the sequence is not looked at, lengths may have
needless bytes, integers may be padded or "negative", and what follows S does not matter.
"""

from __future__ import annotations

_TOO_LARGE = 1 << 256
_UNREADABLE = (0, 0)


def parse_lax_der(data: bytes) -> tuple[int, int]:
    """(r, s) without the hash type; (0, 0), which no key has signed, if it cannot be read."""
    if len(data) < 2 or data[0] != 0x30:
        return _UNREADABLE
    position = _skip_sequence_length(data, 1)
    if position is None:
        return _UNREADABLE
    r = _integer(data, position)
    if r is None:
        return _UNREADABLE
    s = _integer(data, r[1])
    return _UNREADABLE if s is None else (r[0], s[0])


def _skip_sequence_length(data: bytes, position: int) -> int | None:
    first = data[position]
    position += 1
    if first & 0x80:
        count = first - 0x80
        if count > len(data) - position:
            return None
        position += count
    return position


def _integer(data: bytes, position: int) -> tuple[int, int] | None:
    """The value and the position behind it."""
    if position >= len(data) or data[position] != 0x02:
        return None
    length = _length(data, position + 1)
    if length is None:
        return None
    size, start = length
    if size > len(data) - start:
        return None
    body = data[start : start + size].lstrip(b"\0")
    value = int.from_bytes(body, "big") if len(body) <= 32 else _TOO_LARGE
    return value, start + size


def _length(data: bytes, position: int) -> tuple[int, int] | None:
    if position >= len(data):
        return None
    first = data[position]
    position += 1
    if not first & 0x80:
        return first, position
    count = first - 0x80
    if count > len(data) - position:
        return None
    digits = data[position : position + count].lstrip(b"\0")
    if len(digits) >= 8:  # of a 64-bit size_t, as there
        return None
    return int.from_bytes(digits, "big"), position + count
