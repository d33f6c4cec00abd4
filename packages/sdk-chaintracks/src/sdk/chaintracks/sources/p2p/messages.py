"""The messages a header client speaks (spec/consensus.md §3.1-3.3). Pure; hashes in wire order."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from typing import TYPE_CHECKING, Final

from sdk.chaintracks.consensus.fields import HEADER, ZERO_HASH
from sdk.core.encodings import Reader, varint
from sdk.core.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Sequence

FRAME_HEAD: Final = 24
MAX_PAYLOAD: Final = 2 * 1024 * 1024
MAX_HEADERS: Final = 2000
PROTOCOL_VERSION: Final = 70016
LEAST_VERSION: Final = 31800
BLOCK: Final = 2
"""The inventory type of a block."""

_HEAD = Struct("<4s12sI4s")
_ADDRESS = Struct("<Q16s2s")
_NOWHERE = _ADDRESS.pack(0, bytes(10) + b"\xff\xff" + bytes(4), b"\0\0")
_MAX_AGENT = 256
_MAX_INVENTORY = 50_000


def frame(magic: bytes, command: str, payload: bytes = b"") -> bytes:
    return _HEAD.pack(magic, command.encode("ascii"), len(payload), _checksum(payload)) + payload


@dataclass(frozen=True, slots=True)
class FrameHead:
    """What precedes a payload of ``length`` bytes."""

    command: str
    length: int
    checksum: bytes

    @classmethod
    def parse(cls, magic: bytes, data: bytes) -> FrameHead:
        """Raises ``ParseError`` for another network, a malformed command, or more than ``MAX_PAYLOAD``."""
        found, name, length, checksum = _HEAD.unpack(data)
        if found != magic:
            raise ParseError("peer message", f"starts with {found.hex()}, not {magic.hex()}: another network", 0)
        command = name.rstrip(b"\0")
        if not command or not all(0x20 <= each <= 0x7E for each in command):
            raise ParseError("peer message", f"no command: {name!r}", 4)
        if length > MAX_PAYLOAD:
            raise ParseError("peer message", f"{command.decode()} of {length} bytes, over {MAX_PAYLOAD}", 16)
        return cls(command.decode("ascii"), length, checksum)

    def fits(self, payload: bytes) -> bool:
        return _checksum(payload) == self.checksum


def _checksum(payload: bytes) -> bytes:
    return sha256(sha256(payload).digest()).digest()[:4]


@dataclass(frozen=True, slots=True)
class Version:
    """The first message of each side. ``time`` is Unix seconds; ``nonce`` recognises a connection to oneself."""

    version: int
    services: int
    time: int
    nonce: int
    agent: str
    start_height: int
    relay: bool = False

    def to_bytes(self) -> bytes:
        agent = self.agent.encode()
        return b"".join(
            (
                self.version.to_bytes(4, "little", signed=True),
                self.services.to_bytes(8, "little"),
                self.time.to_bytes(8, "little", signed=True),
                _NOWHERE,
                _NOWHERE,
                self.nonce.to_bytes(8, "little"),
                varint(len(agent)),
                agent,
                self.start_height.to_bytes(4, "little", signed=True),
                bytes([self.relay]),
            )
        )

    @classmethod
    def parse(cls, payload: bytes) -> Version:
        """A message may stop after the receiver's address or after any later field."""
        reader = Reader(payload, "version message")
        version = reader.signed(4)
        services = reader.unsigned(8)
        time = reader.signed(8)
        reader.read(_ADDRESS.size)
        if reader.remaining():
            reader.read(_ADDRESS.size)
        nonce = reader.unsigned(8) if reader.remaining() else 0
        agent = b""
        if reader.remaining():
            agent = reader.read(_bounded(reader, "user agent", _MAX_AGENT))
        height = reader.signed(4) if reader.remaining() else 0
        relay = reader.read(1) != b"\0" if reader.remaining() else True
        return cls(version, services, time, nonce, agent.decode("utf-8", "replace"), height, relay)


def get_headers(locator: Sequence[bytes], stop: bytes = ZERO_HASH) -> bytes:
    """Payload that asks for up to 2000 headers after the first hash of ``locator`` that the peer knows."""
    return b"".join((PROTOCOL_VERSION.to_bytes(4, "little"), varint(len(locator)), *locator, stop))


def parse_get_headers(payload: bytes) -> tuple[list[bytes], bytes]:
    reader = Reader(payload, "getheaders message")
    reader.read(4)
    count = _bounded(reader, "locator", 2000)
    locator = [reader.read(32) for _ in range(count)]
    stop = reader.read(32)
    reader.finish()
    return locator, stop


def headers(raw: bytes) -> bytes:
    """Payload of up to 2000 headers of 80 bytes."""
    parts = [raw[at : at + HEADER] + b"\0" for at in range(0, len(raw), HEADER)]
    return varint(len(parts)) + b"".join(parts)


def parse_headers(payload: bytes) -> bytes:
    """The 80-byte headers. Raises ``ParseError`` for more than 2000, or headers that come with transactions."""
    reader = Reader(payload, "headers message")
    count = _bounded(reader, "headers", MAX_HEADERS)
    start = reader.offset
    if len(payload) - start != count * (HEADER + 1):
        raise ParseError("headers message", f"{count} headers do not take {len(payload) - start} bytes", start)
    if any(payload[start + HEADER :: HEADER + 1]):
        raise ParseError("headers message", "headers come with transactions", start)
    return b"".join([payload[at : at + HEADER] for at in range(start, len(payload), HEADER + 1)])


def parse_inventory(payload: bytes) -> list[tuple[int, bytes]]:
    """(type, hash) of what a peer offers."""
    reader = Reader(payload, "inv message")
    count = _bounded(reader, "inventory", _MAX_INVENTORY)
    found = [(reader.unsigned(4), reader.read(32)) for _ in range(count)]
    reader.finish()
    return found


def inventory(hashes: Sequence[bytes], kind: int = BLOCK) -> bytes:
    return varint(len(hashes)) + b"".join(kind.to_bytes(4, "little") + each for each in hashes)


def _bounded(reader: Reader, what: str, limit: int) -> int:
    at = reader.offset
    count = reader.varint()
    if count > limit:
        raise ParseError("peer message", f"{count} in {what}, over {limit}", at)
    return count
