"""Transactions: immutable, checked in full when parsed, taken apart only when looked into (spec/consensus.md §5.1).

Wire form: version i32, inputs (outpoint 36, script, sequence u32), outputs (satoshis i64, script), lock time u32.
A parsed transaction keeps its bytes; serialising gives them back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from sdk.core import extended
from sdk.core.encodings import (
    MAX_SATOSHIS,
    Reader,
    as_bytes,
    bytes_from_hex,
    from_display,
    hash256,
    read_varint,
    to_display,
    varint,
)
from sdk.core.errors import ParseError
from sdk.core.script import Script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.encodings import Buffer

FINAL_SEQUENCE = 0xFFFFFFFF
LOCK_TIME_THRESHOLD = 500_000_000
"""Lock times below it are block heights, others Unix seconds."""

_WHAT = "transaction"
_NULL_TXID = "0" * 64


@dataclass(frozen=True, slots=True)
class OutPoint:
    """An output named by its transaction (display hex) and position. Raises ``ParseError`` on any other text."""

    txid: str
    vout: int

    def __post_init__(self) -> None:
        if self.txid != from_display(self.txid, "txid")[::-1].hex():
            raise ParseError("txid", "hex must be lower case")
        if not 0 <= self.vout <= 0xFFFFFFFF:
            raise ParseError("outpoint", f"the output number must have 32 bits, is {self.vout}")

    @classmethod
    def from_string(cls, text: str) -> Self:
        """From ``<txid>.<vout>``."""
        txid, dot, vout = text.partition(".")
        if not dot or not (vout.isascii() and vout.isdigit()) or len(vout) > 10 or (vout != "0" and vout[0] == "0"):
            raise ParseError("outpoint", f"must be <txid>.<vout>, is {text[:100]!r}")
        return cls(txid, int(vout))

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        """From the 36 bytes of the wire."""
        reader = Reader(data, "outpoint")
        digest, vout = reader.read(32, "txid"), reader.unsigned(4, "output number")
        reader.finish()
        return cls(to_display(digest), vout)

    def to_bytes(self) -> bytes:
        return bytes.fromhex(self.txid)[::-1] + self.vout.to_bytes(4, "little")

    @classmethod
    def from_hex(cls, text: str) -> Self:
        return cls.from_bytes(bytes_from_hex(text, "outpoint"))

    def to_hex(self) -> str:
        return self.to_bytes().hex()

    @property
    def is_null(self) -> bool:
        """Whether it is the outpoint of a coinbase."""
        return self.vout == 0xFFFFFFFF and self.txid == _NULL_TXID

    def __str__(self) -> str:
        return f"{self.txid}.{self.vout}"


@dataclass(frozen=True, slots=True)
class TransactionOutput:
    """``satoshis`` (0 … 21e14; a parsed one keeps whatever its 64 bits say) locked by a script."""

    satoshis: int
    locking_script: Script

    def __post_init__(self) -> None:
        if not 0 <= self.satoshis <= MAX_SATOSHIS:
            raise ValueError(f"satoshis must be from 0 to {MAX_SATOSHIS}, are {self.satoshis}")

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        reader = Reader(data, "transaction output")
        satoshis, script = reader.signed(8, "satoshis"), reader.sized("locking script")
        reader.finish()
        output: Self = _new_output(satoshis, script, cls)
        return output

    def to_bytes(self) -> bytes:
        script = self.locking_script.data
        return self.satoshis.to_bytes(8, "little", signed=True) + varint(len(script)) + script

    @classmethod
    def from_hex(cls, text: str) -> Self:
        return cls.from_bytes(bytes_from_hex(text, "transaction output"))

    def to_hex(self) -> str:
        return self.to_bytes().hex()


@dataclass(frozen=True, slots=True)
class TransactionInput:
    """``source_output`` is the output spent, where known; it is no part of the bytes."""

    outpoint: OutPoint
    unlocking_script: Script
    sequence: int = FINAL_SEQUENCE
    source_output: TransactionOutput | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.sequence <= FINAL_SEQUENCE:
            raise ValueError(f"sequence must have 32 bits, is {self.sequence}")

    @classmethod
    def from_bytes(cls, data: Buffer) -> Self:
        reader = Reader(data, "transaction input")
        outpoint = OutPoint.from_bytes(reader.read(36, "outpoint"))
        script, sequence = Script(reader.sized("unlocking script")), reader.unsigned(4, "sequence")
        reader.finish()
        return cls(outpoint, script, sequence)

    def to_bytes(self) -> bytes:
        script = self.unlocking_script.data
        return self.outpoint.to_bytes() + varint(len(script)) + script + self.sequence.to_bytes(4, "little")

    @classmethod
    def from_hex(cls, text: str) -> Self:
        return cls.from_bytes(bytes_from_hex(text, "transaction input"))

    def to_hex(self) -> str:
        return self.to_bytes().hex()


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
        self = _new_object(cls)
        self._bytes = data
        self._hash = self._inputs = self._outputs = None
        return self

    @classmethod
    def read(cls, data: Buffer, offset: int) -> tuple[Self, int]:
        """Parse the transaction that begins at ``offset``; also the offset behind it. Raises ``ParseError``."""
        data = as_bytes(data)
        end = scan(data, offset)
        self = _new_object(cls)
        self._bytes = data[offset:end]
        self._hash = self._inputs = self._outputs = None
        return self, end

    @classmethod
    def from_extended(cls, data: Buffer) -> Self:
        """Parse the extended format (BRC-30); each input carries its source output. Raises ``ParseError``."""
        plain, sources = extended.split(as_bytes(data))
        return cls.from_bytes(plain).with_sources([_new_output(*each, TransactionOutput) for each in sources])

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
        inputs = _take_inputs(self._bytes) if self._inputs is None else self._inputs
        if len(sources) != len(inputs):
            raise ValueError(f"{len(inputs)} inputs need as many sources, not {len(sources)}")
        other = _new_object(type(self))
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
            self._inputs = _take_inputs(self._bytes)
        return self._inputs

    @property
    def outputs(self) -> tuple[TransactionOutput, ...]:
        if self._outputs is None:
            self._outputs = _take_outputs(self._bytes)
        return self._outputs

    def source_hashes(self) -> list[bytes]:
        """The transactions spent from, one wire-order hash an input, without taking the transaction apart."""
        data = self._bytes
        return [data[position : position + 32] for position in _input_positions(data)[:-1]]

    def sources(self) -> list[tuple[bytes, int]]:
        """Each input's outpoint as wire-order hash and output number, without taking the transaction apart."""
        data = self._bytes
        return [
            (data[position : position + 32], int.from_bytes(data[position + 32 : position + 36], "little"))
            for position in _input_positions(data)[:-1]
        ]

    def output_count(self) -> int:
        """How many outputs there are, without taking the transaction apart."""
        return read_varint(self._bytes, _input_positions(self._bytes)[-1], _WHAT)[0]

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


_new_object = object.__new__
_set_txid = OutPoint.__dict__["txid"].__set__
_set_vout = OutPoint.__dict__["vout"].__set__
_set_script = Script.__dict__["data"].__set__
_set_satoshis = TransactionOutput.__dict__["satoshis"].__set__
_set_locking = TransactionOutput.__dict__["locking_script"].__set__
_set_outpoint = TransactionInput.__dict__["outpoint"].__set__
_set_unlocking = TransactionInput.__dict__["unlocking_script"].__set__
_set_sequence = TransactionInput.__dict__["sequence"].__set__
_set_source = TransactionInput.__dict__["source_output"].__set__


def scan(data: bytes, offset: int) -> int:
    """Check the transaction that begins at ``offset`` and say where it ends. Raises ``ParseError``.

    Makes no object and allocates nothing, so counts and lengths that lie cost nothing.
    """
    try:
        position = offset + 5
        count = data[offset + 4]
        if count > 252:
            count, position = read_varint(data, offset + 4, _WHAT)
        for _ in range(count):
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
        for _ in range(count):
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


def _new_output(satoshis: int, script: bytes, cls: type[Any]) -> Any:
    """An output as parsed: no range check, for the bytes say what they say."""
    output = _new_object(cls)
    _set_satoshis(output, satoshis)
    _set_locking(output, Script(script))
    return output


def _take_inputs(data: bytes) -> tuple[TransactionInput, ...]:
    """The inputs of bytes that ``scan`` has passed."""
    new, to_int = _new_object, int.from_bytes
    inputs: list[TransactionInput] = []
    count, position = read_varint(data, 4, _WHAT)
    for _ in range(count):
        outpoint, script, each = new(OutPoint), new(Script), new(TransactionInput)
        _set_txid(outpoint, data[position : position + 32][::-1].hex())
        _set_vout(outpoint, to_int(data[position + 32 : position + 36], "little"))
        length, start = read_varint(data, position + 36, _WHAT)
        position = start + length
        _set_script(script, data[start:position])
        _set_outpoint(each, outpoint)
        _set_unlocking(each, script)
        _set_sequence(each, to_int(data[position : position + 4], "little"))
        _set_source(each, None)
        inputs.append(each)
        position += 4
    return tuple(inputs)


def _take_outputs(data: bytes) -> tuple[TransactionOutput, ...]:
    """The outputs of bytes that ``scan`` has passed."""
    new, to_int = _new_object, int.from_bytes
    outputs: list[TransactionOutput] = []
    count, position = read_varint(data, _input_positions(data)[-1], _WHAT)
    for _ in range(count):
        script, output = new(Script), new(TransactionOutput)
        _set_satoshis(output, to_int(data[position : position + 8], "little", signed=True))
        length, start = read_varint(data, position + 8, _WHAT)
        position = start + length
        _set_script(script, data[start:position])
        _set_locking(output, script)
        outputs.append(output)
    return tuple(outputs)


def _input_positions(data: bytes) -> list[int]:
    """Where each input begins in bytes that ``scan`` has passed, and at last where the inputs end."""
    count, position = read_varint(data, 4, _WHAT)
    positions = [position]
    for _ in range(count):
        length = data[position + 36]
        if length < 253:
            position += length + 41
        else:
            length, start = read_varint(data, position + 36, _WHAT)
            position = start + length + 4
        positions.append(position)
    return positions


def _restore(cls: type[Transaction], data: bytes, sources: Sequence[TransactionOutput | None] | None) -> Transaction:
    transaction = cls.from_bytes(data)
    return transaction if sources is None else transaction.with_sources(sources)
