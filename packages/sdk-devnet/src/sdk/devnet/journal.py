"""What a devnet needs to come back after a restart: every block and transaction it took, in order, in one file.

A record is kind (1 byte: ``B`` block, ``T`` transaction), payload length (u32), CRC-32 of the payload (u32), payload.
A torn record at the end, left by a crash, is cut off; damage before it is an error.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, BinaryIO
from zlib import crc32

from sdk.core.errors import ConfigurationError
from sdk.core.header import BlockHeader
from sdk.core.transaction import Transaction
from sdk.devnet.chain.block import Block
from sdk.devnet.errors import JournalDamaged, JournalNotWritten

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAGIC = b"sdk-devnet journal 1\n"
_HEADER = 9


class Journal:
    """Open once per directory; a second process is refused."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "chain.journal"
        self._failure: str | None = None
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = self.path.open("a+b")
        except OSError as error:
            raise ConfigurationError(f"cannot keep a chain in {directory}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise ConfigurationError(
                f"another devnet is using {directory}: stop it, or choose another data directory"
            ) from error

    def read(self) -> Iterator[Block | Transaction]:
        """All records so far, oldest first; run through it before the first ``append``."""
        self._file.seek(0)
        magic = self._file.read(len(MAGIC))
        if magic == b"":
            self._write(MAGIC)
            return
        if magic != MAGIC:
            raise JournalDamaged(f"{self.path} is not a devnet journal: move it away to start a new chain")
        while True:
            start = self._file.tell()
            record = self._next(start)
            if record is None:
                self._file.truncate(start)
                return
            yield record

    def _next(self, start: int) -> Block | Transaction | None:
        head = self._file.read(_HEADER)
        length = int.from_bytes(head[1:5], "little")
        payload = self._file.read(length) if len(head) == _HEADER else b""
        if len(head) < _HEADER or len(payload) < length:
            return None
        if crc32(payload) != int.from_bytes(head[5:], "little") or head[:1] not in (b"B", b"T"):
            raise JournalDamaged(f"{self.path} is damaged at byte {start}: move it away to start a new chain")
        return _decode_block(payload) if head[:1] == b"B" else Transaction.from_bytes(payload)

    def append(self, record: Block | Transaction) -> None:
        """Handed to the operating system before it returns, so a killed process loses nothing."""
        kind, payload = (b"B", _encode_block(record)) if isinstance(record, Block) else (b"T", record.to_bytes())
        head = kind + len(payload).to_bytes(4, "little") + crc32(payload).to_bytes(4, "little")
        self._write(head + payload)

    def _write(self, data: bytes) -> None:
        """All of it or nothing; after a failure nothing more is taken, for what follows would lack its parent."""
        if self._failure is not None:
            raise JournalNotWritten(self.path, self._failure)
        end = os.fstat(self._file.fileno()).st_size
        try:
            if os.write(self._file.fileno(), data) == len(data):
                return
            os.ftruncate(self._file.fileno(), end)
            self._failure = "no space is left for it"
        except OSError as error:
            self._failure = str(error.strerror)
        raise JournalNotWritten(self.path, self._failure)

    def close(self) -> None:
        self._file.close()


def _encode_block(block: Block) -> bytes:
    parts = [block.header.to_bytes()]
    for transaction in block.transactions:
        raw = transaction.to_bytes()
        parts += [len(raw).to_bytes(4, "little"), raw]
    return b"".join(parts)


def _decode_block(payload: bytes) -> Block:
    transactions: list[Transaction] = []
    offset = 80
    while offset < len(payload):
        length = int.from_bytes(payload[offset : offset + 4], "little")
        transactions.append(Transaction.from_bytes(payload[offset + 4 : offset + 4 + length]))
        offset += 4 + length
    return Block(BlockHeader.from_bytes(payload[:80]), tuple(transactions))
