"""What a client may send to ``/v1/tx`` and ``/v1/txs`` (spec/arc.md §1.3)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdk.core import extended
from sdk.core.beef import Beef
from sdk.core.encodings import Reader, bytes_from_hex
from sdk.core.errors import ParseError
from sdk.core.transaction import Transaction
from sdk.devnet.arc.problems import ArcProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SMALLEST_TRANSACTION = 61
_BEEF_MARK = b"\xbe\xef"


@dataclass(frozen=True, slots=True)
class Payload:
    """One payload of a submission: a transaction (extended ones know their sources), or a BEEF."""

    transaction: Transaction | None = None
    beef: Beef | None = None

    @property
    def subject(self) -> str | None:
        """The txid it is about: a BEEF's last one. ``None`` for an empty BEEF."""
        if self.transaction is not None:
            return self.transaction.txid()
        txids = [] if self.beef is None else self.beef.txids()
        return txids[-1] if txids else None


def read_payloads(content_type: str, body: bytes, *, batch: bool) -> list[Payload]:
    """Raises ``ArcProblem`` 400 for what cannot be decoded, 463 for a BEEF that cannot."""
    if not body:
        raise ArcProblem(400, "the body is empty")
    if "text/plain" in content_type:
        return [parse_payload(each) for each in _from_text(body, batch)]
    if "application/json" in content_type:
        return [parse_payload(each) for each in _from_json(body, batch)]
    if "application/octet-stream" in content_type:
        return list(_from_stream(body)) if batch else [parse_payload(body)]
    raise ArcProblem(400, f"given content-type {content_type[:80]!r} does not match any of the allowed content-types")


def parse_payload(data: bytes) -> Payload:
    """Told apart by the first bytes, as ARC does: a BEEF has ``beef`` in bytes 2 and 3."""
    if not data:
        raise ArcProblem(400, "a transaction is empty")
    try:
        if data[2:4] == _BEEF_MARK:
            return Payload(beef=Beef.from_bytes(data))
        if extended.is_extended(data):
            return Payload(Transaction.from_extended(data))
        return Payload(Transaction.from_bytes(data))
    except ParseError as error:
        raise ArcProblem(463 if data[2:4] == _BEEF_MARK else 400, str(error)) from error


def _from_text(body: bytes, batch: bool) -> Iterator[bytes]:
    try:
        text = body.decode("ascii")
    except UnicodeDecodeError as error:
        raise ArcProblem(400, "the body is not hex") from error
    for line in text.splitlines() if batch else [text]:
        yield _from_hex(line)


def _from_hex(text: str) -> bytes:
    try:
        return bytes_from_hex(text, "body")
    except ParseError as error:
        raise ArcProblem(400, str(error)) from error


def _from_json(body: bytes, batch: bool) -> Iterator[bytes]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ArcProblem(400, "the body is not JSON") from error
    entries: Sequence[object] = parsed if batch and isinstance(parsed, list) else [parsed]
    for each in entries:
        if not isinstance(each, dict) or not isinstance(each.get("rawTx"), str):
            raise ArcProblem(400, "rawTx is missing or not a string")
        yield _from_hex(each["rawTx"])


def _from_stream(body: bytes) -> Iterator[Payload]:
    offset = 0
    while offset < len(body):
        end = _end_of_payload(body, offset)
        yield parse_payload(body[offset:end])
        offset = end


def _end_of_payload(body: bytes, offset: int) -> int:
    """Where the payload that begins at ``offset`` ends; a BEEF takes the rest."""
    if body[offset + 2 : offset + 4] == _BEEF_MARK:
        return len(body)
    try:
        if extended.is_extended(body[offset : offset + 10]):
            return _end_of_extended(body, offset)
        return Transaction.read(body, offset)[1]
    except ParseError as error:
        raise ArcProblem(400, str(error)) from error


def _end_of_extended(body: bytes, offset: int) -> int:
    reader = Reader(body, "extended transaction", offset)
    reader.read(10)
    for _ in range(reader.count(50, "inputs")):
        reader.read(36)
        reader.sized()
        reader.read(12)
        reader.sized()
    for _ in range(reader.count(9, "outputs")):
        reader.read(8)
        reader.sized()
    reader.read(4)
    return reader.offset
