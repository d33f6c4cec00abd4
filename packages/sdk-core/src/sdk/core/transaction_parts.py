"""The parts of a transaction: outpoints, inputs and outputs, and how they are taken out of its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from sdk.core.encodings import MAX_SATOSHIS, Reader, bytes_from_hex, from_display, read_varint, to_display, varint
from sdk.core.errors import ParseError
from sdk.core.script import Script

if TYPE_CHECKING:
    from sdk.core.encodings import Buffer

FINAL_SEQUENCE: Final = 0xFFFFFFFF

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
        output: Self = new_output(satoshis, script, cls)
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


def new_output(satoshis: int, script: bytes, cls: type[Any]) -> Any:
    """An output as parsed: no range check, for the bytes say what they say."""
    output = _new_object(cls)
    _set_satoshis(output, satoshis)
    _set_locking(output, Script(script))
    return output


def take_inputs(data: bytes) -> tuple[TransactionInput, ...]:
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


def take_outputs(data: bytes) -> tuple[TransactionOutput, ...]:
    """The outputs of bytes that ``scan`` has passed."""
    new, to_int = _new_object, int.from_bytes
    outputs: list[TransactionOutput] = []
    count, position = read_varint(data, input_positions(data)[-1], _WHAT)
    for _ in range(count):
        script, output = new(Script), new(TransactionOutput)
        _set_satoshis(output, to_int(data[position : position + 8], "little", signed=True))
        length, start = read_varint(data, position + 8, _WHAT)
        position = start + length
        _set_script(script, data[start:position])
        _set_locking(output, script)
        outputs.append(output)
    return tuple(outputs)


def input_positions(data: bytes) -> list[int]:
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


def take_sources(data: bytes) -> tuple[list[tuple[bytes, int]], int]:
    """Each input's outpoint (wire-order hash and output number) and the number of outputs, in one pass."""
    sources: list[tuple[bytes, int]] = []
    count = data[4]
    position = 5
    if count > 252:
        count, position = read_varint(data, 4, _WHAT)
    for _ in range(count):
        end = position + 32
        sources.append((data[position:end], int.from_bytes(data[end : end + 4], "little")))
        length = data[position + 36]
        if length < 253:
            position += length + 41
        else:
            length, start = read_varint(data, position + 36, _WHAT)
            position = start + length + 4
    count = data[position]
    return sources, count if count < 253 else read_varint(data, position, _WHAT)[0]
