"""Signature hashes: what a signature in a script signs (spec/consensus.md §4.6).

Two digests exist. The BIP 143 style one is used when the type has FORKID and not CHRONICLE; the original one otherwise.
Digests are 32 bytes in wire order. Types are 32 bits in the digest, though a signature carries their lowest byte only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core import opcodes as op
from sdk.core.encodings import ZERO_HASH, hash256, read_varint, varint

if TYPE_CHECKING:
    from sdk.core.transaction import Transaction

ALL = 1
NONE = 2
SINGLE = 3
CHRONICLE = 0x20
FORKID = 0x40
ANYONECANPAY = 0x80
DEFAULT = ALL | FORKID
"""What wallets sign with, 0x41."""

_BASE = 0x1F
_ONE = b"\x01" + bytes(31)  # what the original digest is for SINGLE without an output of that index
_BLANK_OUTPUT = b"\xff" * 8 + b"\x00"


class SignatureHasher:
    """The digests of one transaction, with what its inputs share computed once.

    Scripts of the inputs do not count, so one hasher serves to sign all inputs of an unsigned transaction.
    """

    __slots__ = (
        "_all_outputs",
        "_all_prevouts",
        "_all_sequences",
        "_inputs",
        "_lock_time",
        "_outputs",
        "_outputs_at",
        "_raw",
        "_version",
    )

    def __init__(self, transaction: Transaction) -> None:
        self._raw = transaction.to_bytes()
        self._version, self._lock_time = self._raw[:4], self._raw[-4:]
        self._inputs: list[tuple[bytes, bytes]] = []  # outpoint (36), sequence (4)
        self._outputs: list[tuple[int, int]] | None = None  # bounds in the raw bytes
        self._all_prevouts: bytes | None = None
        self._all_sequences: bytes | None = None
        self._all_outputs: bytes | None = None
        self._split_inputs()

    def _split_inputs(self) -> None:
        raw = self._raw
        count, position = read_varint(raw, 4, "transaction")
        for _ in range(count):
            length = raw[position + 36]
            if length < 0xFD:
                after = position + 37 + length
            else:
                length, start = read_varint(raw, position + 36, "transaction")
                after = start + length
            self._inputs.append((raw[position : position + 36], raw[after : after + 4]))
            position = after + 4
        self._outputs_at = position

    def _split_outputs(self) -> list[tuple[int, int]]:
        if self._outputs is None:
            found: list[tuple[int, int]] = []
            count, position = read_varint(self._raw, self._outputs_at, "transaction")
            for _ in range(count):
                length, start = read_varint(self._raw, position + 8, "transaction")
                found.append((position, start + length))
                position = start + length
            self._outputs = found
        return self._outputs

    def sequence(self, input_index: int) -> int:
        return int.from_bytes(self._inputs[input_index][1], "little")

    @property
    def size(self) -> int:
        """Bytes of the transaction."""
        return len(self._raw)

    def digest(
        self, input_index: int, script_code: bytes, satoshis: int, sighash_type: int = DEFAULT, *, forkid: bool = True
    ) -> bytes:
        """What to sign for input ``input_index``, which spends ``satoshis`` locked by ``script_code``.

        With ``forkid`` false the original digest is used whatever the type says (before August 2017).
        Raises ``IndexError`` if there is no such input.
        """
        if forkid and sighash_type & (FORKID | CHRONICLE) == FORKID:
            return hash256(self.preimage(input_index, script_code, satoshis, sighash_type))
        return self.original_digest(input_index, script_code, sighash_type)

    def preimage(self, input_index: int, script_code: bytes, satoshis: int, sighash_type: int = DEFAULT) -> bytes:
        """The bytes whose double SHA-256 is the BIP 143 style digest."""
        outpoint, sequence = self._inputs[input_index]
        base = sighash_type & _BASE
        if sighash_type & ANYONECANPAY:
            prevouts = sequences = ZERO_HASH
        else:
            prevouts = self._all_prevouts or self._hash_prevouts()
            sequences = ZERO_HASH if base in (SINGLE, NONE) else self._all_sequences or self._hash_sequences()
        if base == NONE:
            outputs = ZERO_HASH
        elif base == SINGLE:
            outputs = self._hash_output(input_index)
        else:
            outputs = self._all_outputs or self._hash_outputs()
        return b"".join(
            (
                self._version,
                prevouts,
                sequences,
                outpoint,
                varint(len(script_code)),
                script_code,
                satoshis.to_bytes(8, "little", signed=True),
                sequence,
                outputs,
                self._lock_time,
                (sighash_type & 0xFFFFFFFF).to_bytes(4, "little"),
            )
        )

    def _hash_prevouts(self) -> bytes:
        self._all_prevouts = hash256(b"".join([outpoint for outpoint, _ in self._inputs]))
        return self._all_prevouts

    def _hash_sequences(self) -> bytes:
        self._all_sequences = hash256(b"".join([sequence for _, sequence in self._inputs]))
        return self._all_sequences

    def _hash_outputs(self) -> bytes:
        _, start = read_varint(self._raw, self._outputs_at, "transaction")
        self._all_outputs = hash256(self._raw[start:-4])
        return self._all_outputs

    def _hash_output(self, index: int) -> bytes:
        outputs = self._split_outputs()
        if index >= len(outputs):
            return ZERO_HASH
        start, end = outputs[index]
        return hash256(self._raw[start:end])

    def original_digest(self, input_index: int, script_code: bytes, sighash_type: int) -> bytes:
        """The digest of before August 2017, and of types with CHRONICLE."""
        base = sighash_type & _BASE
        if base == SINGLE and input_index >= len(self._split_outputs()):
            return _ONE
        return hash256(
            b"".join(
                (
                    self._version,
                    self._original_inputs(input_index, strip_separators(script_code), sighash_type),
                    self._original_outputs(input_index, base),
                    self._lock_time,
                    (sighash_type & 0xFFFFFFFF).to_bytes(4, "little"),
                )
            )
        )

    def _original_inputs(self, input_index: int, script_field: bytes, sighash_type: int) -> bytes:
        outpoint, sequence = self._inputs[input_index]
        if sighash_type & ANYONECANPAY:
            return b"\x01" + outpoint + script_field + sequence
        others_sequence = bytes(4) if sighash_type & _BASE in (SINGLE, NONE) else None
        parts = [varint(len(self._inputs))]
        for index, (each_outpoint, each_sequence) in enumerate(self._inputs):
            if index == input_index:
                parts += (each_outpoint, script_field, each_sequence)
            else:
                parts += (each_outpoint, b"\x00", others_sequence or each_sequence)
        return b"".join(parts)

    def _original_outputs(self, input_index: int, base: int) -> bytes:
        if base == NONE:
            return b"\x00"
        if base == SINGLE:
            start, end = self._split_outputs()[input_index]
            return varint(input_index + 1) + _BLANK_OUTPUT * input_index + self._raw[start:end]
        return self._raw[self._outputs_at : -4]


def signature_hash(
    transaction: Transaction,
    input_index: int,
    script_code: bytes,
    satoshis: int,
    sighash_type: int = DEFAULT,
) -> bytes:
    """One digest; to compute several for one transaction keep a ``SignatureHasher``."""
    return SignatureHasher(transaction).digest(input_index, script_code, satoshis, sighash_type)


def strip_separators(script: bytes) -> bytes:
    """The script field (length and bytes) of the original digest: without OP_CODESEPARATOR.

    Behind a push that runs past the end the node writes nothing more, though it has counted those bytes.
    """
    if op.OP_CODESEPARATOR not in script and not _may_be_cut_short(script):
        return varint(len(script)) + script
    parts: list[bytes] = []
    separators = start = position = 0
    size = len(script)
    while position < size:
        opcode = script[position]
        after, complete = instruction_end(script, position)
        if not complete:
            position = after
            break
        if opcode == op.OP_CODESEPARATOR:
            parts.append(script[start:position])
            separators += 1
            start = after
        position = after
    parts.append(script[start:position])
    return varint(size - separators) + b"".join(parts)


def _may_be_cut_short(script: bytes) -> bool:
    position, size = 0, len(script)
    while position < size:
        position, complete = instruction_end(script, position)
        if not complete:
            return True
    return False


def instruction_end(script: bytes, position: int) -> tuple[int, bool]:
    """Where the instruction at ``position`` ends; or, if it is cut short, where its length ends, and ``False``."""
    opcode = script[position]
    if opcode > op.OP_PUSHDATA4:
        return position + 1, True
    if opcode < op.OP_PUSHDATA1:
        start, length = position + 1, opcode
    else:
        start = position + 1 + (1 << (opcode - op.OP_PUSHDATA1))
        if start > len(script):
            return position + 1, False
        length = int.from_bytes(script[position + 1 : start], "little")
    end = start + length
    return (end, True) if end <= len(script) else (start, False)
