"""Transactions: immutable, checked in full when parsed, taken apart only when looked into (spec/consensus.md §5.1).

Wire form: version i32, inputs (outpoint 36, script, sequence u32), outputs (satoshis i64, script), lock time u32.
A parsed transaction keeps its bytes; serialising gives them back.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Self

from sdk.core import extended
from sdk.core.encodings import Reader, as_bytes, bytes_from_hex, hash256, read_varint, varint
from sdk.core.errors import ParseError
from sdk.core.transaction_parts import (
    FINAL_SEQUENCE,
    OutPoint,
    TransactionInput,
    TransactionOutput,
    input_positions,
    new_output,
    take_inputs,
    take_outputs,
    take_sources,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.encodings import Buffer

__all__ = [
    "FINAL_SEQUENCE",
    "LOCK_TIME_THRESHOLD",
    "OutPoint",
    "Transaction",
    "TransactionInput",
    "TransactionOutput",
    "scan",
]

LOCK_TIME_THRESHOLD: Final = 500_000_000
"""Lock times below it are block heights, others Unix seconds."""

_WHAT = "transaction"


class Transaction:
    """An immutable transaction. Two are equal when their bytes are.

    The constructor raises ``ValueError`` for numbers outside their width; parsers raise ``ParseError`` with the offset.
    """

    __slots__ = ("_bytes", "_hash", "_inputs", "_outputs")

    _bytes: bytes
    _hash: bytes | None
    _inputs: tuple[TransactionInput, ...] | None
    _outputs: tuple[TransactionOutput, ...] | None

    def __init__(
        self,
        version: int = 1,
        inputs: Sequence[TransactionInput] = (),
        outputs: Sequence[TransactionOutput] = (),
        lock_time: int = 0,
    ) -> None:
        if not -0x8000_0000 <= version <= 0x7FFF_FFFF:
            raise ValueError(f"version must be a signed 32-bit number, is {version}")
        if not 0 <= lock_time <= 0xFFFF_FFFF:
            raise ValueError(f"lock time must have 32 bits, is {lock_time}")
        self._inputs, self._outputs = tuple(inputs), tuple(outputs)
        self._hash = None
        self._bytes = b"".join(
            (
                version.to_bytes(4, "little", signed=True),
                varint(len(self._inputs)),
                *(each.to_bytes() for each in self._inputs),
                varint(len(self._outputs)),
                *(each.to_bytes() for each in self._outputs),
                lock_time.to_bytes(4, "little"),
            )
        )

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        """Parse a whole transaction; the structure is checked to the last byte. Raises ``ParseError``."""
        if type(data) is not bytes:
            data = bytes(data)
        end = scan(data, 0)
        if end != len(data):
            raise _trailing(data, end)
        self = object.__new__(cls)
        self._bytes = data
        self._hash = self._inputs = self._outputs = None
        return self

    @classmethod
    def read(cls, data: Buffer, offset: int) -> tuple[Self, int]:
        """Parse the transaction that begins at ``offset``; also the offset behind it. Raises ``ParseError``."""
        data = as_bytes(data)
        end = scan(data, offset)
        self = object.__new__(cls)
        self._bytes = data[offset:end]
        self._hash = self._inputs = self._outputs = None
        return self, end

    @classmethod
    def from_extended(cls, data: Buffer) -> Self:
        """Parse the extended format (BRC-30); each input carries its source output. Raises ``ParseError``."""
        plain, sources = extended.split(as_bytes(data))
        return cls.from_bytes(plain).with_sources([new_output(*each, TransactionOutput) for each in sources])

    @classmethod
    def from_hex(cls, text: str) -> Self:
        return cls.from_bytes(bytes_from_hex(text, _WHAT))

    def to_bytes(self) -> bytes:
        return self._bytes

    def to_hex(self) -> str:
        return self._bytes.hex()

    def to_extended(self) -> bytes:
        """The extended format (BRC-30). Raises ``ValueError`` naming the inputs whose source output is not known."""
        inputs = self.inputs
        unknown = [str(i) for i, each in enumerate(inputs) if each.source_output is None]
        if unknown:
            raise ValueError(f"the extended format needs the source output of input {', '.join(unknown)}")
        return extended.join(
            self._bytes, [each.source_output.to_bytes() for each in inputs if each.source_output is not None]
        )

    def with_sources(self, sources: Sequence[TransactionOutput | None]) -> Self:
        """The same transaction whose inputs know the outputs they spend, given in input order."""
        inputs = take_inputs(self._bytes) if self._inputs is None else self._inputs
        if len(sources) != len(inputs):
            raise ValueError(f"{len(inputs)} inputs need as many sources, not {len(sources)}")
        other = object.__new__(type(self))
        other._bytes, other._hash, other._outputs = self._bytes, self._hash, self._outputs
        other._inputs = tuple(
            TransactionInput(each.outpoint, each.unlocking_script, each.sequence, source)
            for each, source in zip(inputs, sources, strict=True)
        )
        return other

    def hash(self) -> bytes:
        """Double SHA-256 of the bytes, in wire order."""
        if self._hash is None:
            self._hash = hash256(self._bytes)
        return self._hash

    def txid(self) -> str:
        """``hash`` as display hex."""
        return self.hash()[::-1].hex()

    def size(self) -> int:
        """Bytes of the wire form."""
        return len(self._bytes)

    @property
    def version(self) -> int:
        return int.from_bytes(self._bytes[:4], "little", signed=True)

    @property
    def lock_time(self) -> int:
        return int.from_bytes(self._bytes[-4:], "little")

    @property
    def inputs(self) -> tuple[TransactionInput, ...]:
        if self._inputs is None:
            self._inputs = take_inputs(self._bytes)
        return self._inputs

    @property
    def outputs(self) -> tuple[TransactionOutput, ...]:
        if self._outputs is None:
            self._outputs = take_outputs(self._bytes)
        return self._outputs

    def source_hashes(self) -> list[bytes]:
        """The transactions spent from, one wire-order hash an input, without taking the transaction apart."""
        data = self._bytes
        if data[4] == 1:
            return [data[5:37]]
        return [data[position : position + 32] for position in input_positions(data)[:-1]]

    def sources(self) -> list[tuple[bytes, int]]:
        """Each input's outpoint as wire-order hash and output number, without taking the transaction apart."""
        return take_sources(self._bytes)[0]

    def sources_and_output_count(self) -> tuple[list[tuple[bytes, int]], int]:
        """``sources``, and how many outputs there are, in one pass."""
        return take_sources(self._bytes)

    def output_count(self) -> int:
        """How many outputs there are, without taking the transaction apart."""
        return take_sources(self._bytes)[1]

    @property
    def is_coinbase(self) -> bool:
        data = self._bytes
        return data[4] == 1 and data[5:41] == bytes(32) + b"\xff\xff\xff\xff"

    def output_satoshis(self) -> int:
        return sum(each.satoshis for each in self.outputs)

    def input_satoshis(self) -> int:
        """Sum of the source outputs. Raises ``ValueError`` where one is not known."""
        unknown = [str(i) for i, each in enumerate(self.inputs) if each.source_output is None]
        if unknown:
            raise ValueError(f"the source output of input {', '.join(unknown)} is not known")
        return sum(each.source_output.satoshis for each in self.inputs if each.source_output is not None)

    def fee(self) -> int:
        """Input less output satoshis; negative when it spends more than it has. Raises ``ValueError``."""
        return self.input_satoshis() - self.output_satoshis()

    def is_final(self, height: int, time: int) -> bool:
        """Whether a block of this height may hold it (spec/consensus.md §5.2).

        ``time`` is the median time past of the parent block in Unix seconds (the block's own time before BIP 113).
        """
        lock_time = self.lock_time
        limit = height if lock_time < LOCK_TIME_THRESHOLD else time
        return lock_time == 0 or lock_time < limit or all(each.sequence == FINAL_SEQUENCE for each in self.inputs)

    def __eq__(self, other: object) -> bool:
        return self._bytes == other._bytes if isinstance(other, Transaction) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._bytes)

    def __repr__(self) -> str:
        return f"Transaction({self.txid()}, {self.size()} bytes)"

    def __reduce__(self) -> tuple[Any, ...]:
        sources = None if self._inputs is None else tuple(each.source_output for each in self._inputs)
        return _restore, (type(self), self._bytes, sources if sources and any(sources) else None)


def read_hashed(data: bytes, offset: int) -> tuple[Transaction, bytes, int]:
    """``Transaction.read`` with the hash between, in few steps: a BEEF does this for each of its transactions."""
    end = scan(data, offset)
    transaction = object.__new__(Transaction)
    transaction._bytes = raw = data[offset:end]
    transaction._hash = digest = sha256(sha256(raw).digest()).digest()
    transaction._inputs = transaction._outputs = None
    return transaction, digest, end


def scan(data: bytes, offset: int) -> int:
    """Check the transaction that begins at ``offset`` and say where it ends. Raises ``ParseError``.

    Makes no object and allocates nothing, so counts and lengths that lie cost nothing.
    """
    try:
        position = offset + 5
        count = data[offset + 4]
        if count > 252:
            count, position = read_varint(data, offset + 4, _WHAT)
        while count:  # most have one or two, for which a range costs more than it saves
            count -= 1
            length = data[position + 36]
            if length < 253:
                position += length + 41
            else:
                length, position = read_varint(data, position + 36, _WHAT)
                position += length + 4
        count = data[position]
        position += 1
        if count > 252:
            count, position = read_varint(data, position - 1, _WHAT)
        while count:
            count -= 1
            length = data[position + 8]
            if length < 253:
                position += length + 9
            else:
                length, position = read_varint(data, position + 8, _WHAT)
                position += length
    except IndexError:
        raise _truncated(data, offset) from None
    position += 4
    if position > len(data):
        raise _truncated(data, offset)
    return position


def _truncated(data: bytes, offset: int) -> ParseError:
    """Read again with care, to say which field the bytes end in."""
    reader = Reader(data, _WHAT, offset)
    try:
        reader.read(4, "version")
        for i in range(reader.varint("number of inputs")):
            reader.read(36, f"outpoint of input {i}")
            reader.sized(f"unlocking script of input {i}")
            reader.read(4, f"sequence of input {i}")
        for i in range(reader.varint("number of outputs")):
            reader.read(8, f"satoshis of output {i}")
            reader.sized(f"locking script of output {i}")
        reader.read(4, "lock time")
    except ParseError as exc:
        return exc
    raise AssertionError("the scan and the reader disagree")


def _trailing(data: bytes, end: int) -> ParseError:
    if extended.is_extended(data):
        return ParseError(_WHAT, "this is the extended format (BRC-30); parse it with from_extended", 4)
    return ParseError(_WHAT, f"{len(data) - end} trailing bytes", end)


def _restore(cls: type[Transaction], data: bytes, sources: Sequence[TransactionOutput | None] | None) -> Transaction:
    transaction = cls.from_bytes(data)
    return transaction if sources is None else transaction.with_sources(sources)
