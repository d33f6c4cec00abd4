"""A block as the bus announces it (spec/wallet-stack.md §6.4). Pure; used on both sides of the pipe."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from sdk.core.encodings import hash256
from sdk.core.header import HEADER_SIZE, BlockHeader

MAX_MESSAGE: Final = 64 * 1024
"""Bytes of a message; its coinbase transaction, which is of no use here, is the most of it."""
MAX_URL: Final = 1024
_MAX_HEIGHT: Final = 0x7FFFFFFF


class BadAnnouncement(ValueError):
    """The message says why it is refused."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """``header`` has 80 bytes and proves its work; nothing else is known to be true.

    ``author`` is the peer that signed the message. ``hub`` is the URL of its DataHub, empty for none.
    """

    header: bytes
    height: int
    hub: str
    author: str

    @property
    def hash(self) -> bytes:
        """Internal order."""
        return hash256(self.header)

    @property
    def previous(self) -> bytes:
        return self.header[4:36]

    def to_line(self) -> dict[str, Any]:
        return {"header": self.header.hex(), "height": self.height, "hub": self.hub, "author": self.author}

    @classmethod
    def from_line(cls, line: dict[str, Any]) -> Announcement:
        return cls(bytes.fromhex(line["header"]), line["height"], line["hub"], line["author"])


def parse_announcement(message: bytes, author: str, pow_limit: int) -> Announcement:
    """Raises ``BadAnnouncement`` for whatever is no announcement of a header with proof of work."""
    if len(message) > MAX_MESSAGE:
        raise BadAnnouncement(f"{len(message)} bytes, more than {MAX_MESSAGE}")
    try:
        given = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise BadAnnouncement(f"no JSON: {error}") from None
    if not isinstance(given, dict):
        raise BadAnnouncement("no JSON object")
    raw = _header(given.get("Header"))
    if given.get("Hash") != hash256(raw)[::-1].hex():
        raise BadAnnouncement("its hash is not that of its header")
    if not BlockHeader.from_bytes(raw).meets_target(pow_limit):
        raise BadAnnouncement("its header does not prove its work")
    height, hub = given.get("Height"), given.get("DataHubURL", "")
    if type(height) is not int or not 0 <= height <= _MAX_HEIGHT:
        raise BadAnnouncement("its height is none")
    if not isinstance(hub, str) or len(hub) > MAX_URL or not hub.isprintable():
        raise BadAnnouncement("its DataHub has no URL")
    return Announcement(raw, height, hub, author)


def _header(text: object) -> bytes:
    if not isinstance(text, str) or len(text) != 2 * HEADER_SIZE:
        raise BadAnnouncement("it has no header of 80 bytes")
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise BadAnnouncement("its header is no hex") from None
