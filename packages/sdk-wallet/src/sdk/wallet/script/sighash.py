"""Signature hashes: what a signature in a script signs (spec/consensus.md §4.6).

Two digests exist. The BIP 143 style one is used when the type has FORKID and not CHRONICLE; the original one otherwise.
Digests are 32 bytes in wire order. Types are 32 bits in the digest, though a signature carries their lowest byte only.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sdk.core import opcodes as op
from sdk.core.encodings import ZERO_HASH, hash256, read_varint, varint
from sdk.wallet.script.parts import TransactionParts

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
_FEW_SEQUENCES = 64  # bytes
_hash_of_few = lru_cache(maxsize=256)(hash256)  # most sequences are final, so most transactions have the same


def is_original(sighash_type: int, *, forkid: bool = True) -> bool:
    """Whether the type asks for the original digest; without ``forkid`` every type does."""
    return not forkid or sighash_type & (FORKID | CHRONICLE) != FORKID


class SignatureHasher:
    """The digests of one transaction, with what its inputs share computed once.

    Scripts of the inputs do not count, so one hasher serves to sign all inputs of an unsigned transaction.
    """

    __slots__ = ("_all_outputs", "_all_prevouts", "_all_sequences", "_parts")

    def __init__(self, transaction: Transaction, parts: TransactionParts | None = None) -> None:
        """``parts`` are those of the transaction, where the caller has them already."""
        self._parts = TransactionParts(transaction) if parts is None else parts
        self._all_prevouts: bytes | None = None
        self._all_sequences: bytes | None = None
        self._all_outputs: bytes | None = None

    def sequence(self, input_index: int) -> int:
        return int.from_bytes(self._parts.sequences[input_index], "little")

    @property
    def version(self) -> int:
        return self._parts.version

    @property
    def lock_time(self) -> int:
        return self._parts.lock_time

    @property
    def size(self) -> int:
        """Bytes of the transaction."""
        return len(self._parts.raw)

    def digest(
        self, input_index: int, script_code: bytes, satoshis: int, sighash_type: int = DEFAULT, *, forkid: bool = True
    ) -> bytes:
        """What to sign for input ``input_index``, which spends ``satoshis`` locked by ``script_code``.

        With ``forkid`` false the original digest is used whatever the type says (before August 2017).
        Raises ``IndexError`` if there is no such input.
        """
        if is_original(sighash_type, forkid=forkid):
            return self.original_digest(input_index, script_code, sighash_type)
        return hash256(self.preimage(input_index, script_code, satoshis, sighash_type))

    def preimage(self, input_index: int, script_code: bytes, satoshis: int, sighash_type: int = DEFAULT) -> bytes:
        """The bytes whose double SHA-256 is the BIP 143 style digest."""
        parts = self._parts
        raw = parts.raw
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
                raw[:4],
                prevouts,
                sequences,
                parts.outpoints[input_index],
                varint(len(script_code)),
                script_code,
                satoshis.to_bytes(8, "little", signed=True),
                parts.sequences[input_index],
                outputs,
                raw[-4:],
                (sighash_type & 0xFFFFFFFF).to_bytes(4, "little"),
            )
        )

    def _hash_prevouts(self) -> bytes:
        self._all_prevouts = hash256(b"".join(self._parts.outpoints))
        return self._all_prevouts

    def _hash_sequences(self) -> bytes:
        sequences = b"".join(self._parts.sequences)
        few = len(sequences) <= _FEW_SEQUENCES
        self._all_sequences = _hash_of_few(sequences) if few else hash256(sequences)
        return self._all_sequences

    def _hash_outputs(self) -> bytes:
        raw, start = self._parts.raw, self._parts.outputs_at + 1
        if raw[start - 1] > 0xFC:
            _, start = read_varint(raw, start - 1, "transaction")
        self._all_outputs = hash256(raw[start:-4])
        return self._all_outputs

    def _hash_output(self, index: int) -> bytes:
        bounds = self._parts.output_bounds
        if index >= len(bounds):
            return ZERO_HASH
        start, end = bounds[index]
        return hash256(self._parts.raw[start:end])

    def original_digest(self, input_index: int, script_code: bytes, sighash_type: int) -> bytes:
        """The digest of before August 2017, and of types with CHRONICLE."""
        base = sighash_type & _BASE
        if base == SINGLE and input_index >= len(self._parts.output_bounds):
            return _ONE
        return hash256(
            b"".join(
                (
                    self._parts.raw[:4],
                    self._original_inputs(input_index, strip_separators(script_code), sighash_type),
                    self._original_outputs(input_index, base),
                    self._parts.raw[-4:],
                    (sighash_type & 0xFFFFFFFF).to_bytes(4, "little"),
                )
            )
        )

    def _original_inputs(self, input_index: int, script_field: bytes, sighash_type: int) -> bytes:
        outpoints, sequences = self._parts.outpoints, self._parts.sequences
        if sighash_type & ANYONECANPAY:
            return b"\x01" + outpoints[input_index] + script_field + sequences[input_index]
        if input_index >= len(outpoints):
            raise IndexError(f"the transaction has no input {input_index}")
        others_sequence = bytes(4) if sighash_type & _BASE in (SINGLE, NONE) else None
        parts = [varint(len(outpoints))]
        for index, outpoint in enumerate(outpoints):
            if index == input_index:
                parts += (outpoint, script_field, sequences[index])
            else:
                parts += (outpoint, b"\x00", others_sequence or sequences[index])
        return b"".join(parts)

    def _original_outputs(self, input_index: int, base: int) -> bytes:
        if base == NONE:
            return b"\x00"
        raw = self._parts.raw
        if base == SINGLE:
            start, end = self._parts.output_bounds[input_index]
            return varint(input_index + 1) + _BLANK_OUTPUT * input_index + raw[start:end]
        return raw[self._parts.outputs_at : -4]


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
