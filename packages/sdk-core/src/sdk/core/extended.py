"""The extended transaction format (BRC-30): after the version the marker ``0000000000ef``, and behind each input's
sequence the satoshis and locking script of the output it spends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.encodings import Reader, varint

if TYPE_CHECKING:
    from collections.abc import Sequence

MARKER = bytes.fromhex("0000000000ef")
_WHAT = "extended transaction"


def is_extended(data: bytes) -> bool:
    return data[4:10] == MARKER


def split(data: bytes) -> tuple[bytes, list[tuple[int, bytes]]]:
    """The plain bytes, and the satoshis and locking script each input spends. Raises ``ParseError``."""
    reader = Reader(data, _WHAT)
    plain = [reader.read(4, "version")]
    if reader.read(6, "marker") != MARKER:
        raise reader.fail("the marker 0000000000ef is missing", 4)
    sources: list[tuple[int, bytes]] = []
    count = reader.count(50, "inputs")
    plain.append(varint(count))
    for i in range(count):
        start = reader.offset
        reader.read(36, f"outpoint of input {i}")
        reader.sized(f"unlocking script of input {i}")
        reader.read(4, f"sequence of input {i}")
        plain.append(data[start : reader.offset])
        sources.append((reader.signed(8, f"satoshis of input {i}"), reader.sized(f"locking script of input {i}")))
    start = reader.offset
    for i in range(reader.count(9, "outputs")):
        reader.read(8, f"satoshis of output {i}")
        reader.sized(f"locking script of output {i}")
    reader.read(4, "lock time")
    reader.finish()
    plain.append(data[start:])
    return b"".join(plain), sources


def join(plain: bytes, sources: Sequence[bytes]) -> bytes:
    """Weave serialised source outputs, one an input, into the bytes of a parsed transaction."""
    reader = Reader(plain, _WHAT)
    parts = [reader.read(4), MARKER, varint(reader.varint())]
    for source in sources:
        start = reader.offset
        reader.read(36)
        reader.sized()
        reader.read(4)
        parts += (plain[start : reader.offset], source)
    parts.append(plain[reader.offset :])
    return b"".join(parts)
