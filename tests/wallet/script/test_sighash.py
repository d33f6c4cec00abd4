"""Signature hashes against a second, straightforward writing of the same rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.encodings import hash256, varint
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.script import SignatureHasher, signature_hash
from sdk.wallet.script.sighash import strip_separators

outpoints = st.builds(OutPoint, st.binary(min_size=32, max_size=32).map(bytes.hex), st.integers(0, 2**32 - 1))
scripts = st.binary(max_size=40).map(Script)
inputs = st.builds(TransactionInput, outpoints, scripts, st.integers(0, 2**32 - 1))
outputs = st.builds(TransactionOutput, st.integers(0, 21 * 10**14), scripts)
transactions = st.builds(
    Transaction,
    st.integers(-(2**31), 2**31 - 1),
    st.lists(inputs, min_size=1, max_size=4),
    st.lists(outputs, min_size=1, max_size=4),
    st.integers(0, 2**32 - 1),
)


def number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little", signed=value < 0)


def by_the_book(tx: Transaction, index: int, code: bytes, satoshis: int, kind: int) -> bytes:
    base, anyone = kind & 0x1F, kind & 0x80
    zero = bytes(32)
    prevouts = zero if anyone else hash256(b"".join(each.outpoint.to_bytes() for each in tx.inputs))
    sequences = zero if anyone or base in (2, 3) else hash256(b"".join(number(each.sequence, 4) for each in tx.inputs))
    if base == 3:
        outputs = hash256(tx.outputs[index].to_bytes()) if index < len(tx.outputs) else zero
    else:
        outputs = zero if base == 2 else hash256(b"".join(each.to_bytes() for each in tx.outputs))
    spent = tx.inputs[index]
    return hash256(
        number(tx.version, 4)
        + prevouts
        + sequences
        + spent.outpoint.to_bytes()
        + varint(len(code))
        + code
        + number(satoshis, 8)
        + number(spent.sequence, 4)
        + outputs
        + number(tx.lock_time, 4)
        + number(kind, 4)
    )


def original_by_the_book(tx: Transaction, index: int, code: bytes, kind: int) -> bytes:
    base = kind & 0x1F
    if base == 3 and index >= len(tx.outputs):
        return b"\x01" + bytes(31)
    kept = []
    for position, each in enumerate(tx.inputs):
        mine = position == index
        sequence = each.sequence if mine or base not in (2, 3) else 0
        if mine or not kind & 0x80:
            kept.append(TransactionInput(each.outpoint, Script(code if mine else b""), sequence))
    outs = [each.to_bytes() for each in tx.outputs]
    if base == 2:
        outs = []
    elif base == 3:
        outs = [b"\xff" * 8 + b"\0"] * index + [outs[index]]
    return hash256(
        number(tx.version, 4)
        + varint(len(kept))
        + b"".join(each.to_bytes() for each in kept)
        + varint(len(outs))
        + b"".join(outs)
        + number(tx.lock_time, 4)
        + number(kind, 4)
    )


@given(transactions, st.data(), st.binary(max_size=60), st.integers(0, 21 * 10**14), st.integers(0, 255))
def test_both_digests(tx: Transaction, data: st.DataObject, code: bytes, satoshis: int, kind: int) -> None:
    index = data.draw(st.integers(0, len(tx.inputs) - 1))
    hasher = SignatureHasher(tx)
    expected = by_the_book(tx, index, code, satoshis, kind)
    assert hash256(hasher.preimage(index, code, satoshis, kind)) == expected
    if kind & 0x60 == 0x40:
        assert hasher.digest(index, code, satoshis, kind) == expected
        assert signature_hash(tx, index, code, satoshis, kind) == expected
    plain = bytes(byte for byte in code if byte > 0x4E and byte != 0xAB)  # opcodes only
    original = original_by_the_book(tx, index, plain, kind)
    assert hasher.digest(index, plain, satoshis, kind, forkid=False) == original
    separated = b"\xab" + b"\xab".join(plain[i : i + 1] for i in range(len(plain)))
    assert hasher.digest(index, separated, satoshis, kind, forkid=False) == original


@given(transactions, st.integers(0, 255))
def test_one_hasher_for_all_inputs_and_kinds(tx: Transaction, kind: int) -> None:
    hasher = SignatureHasher(tx)
    for _ in range(2):
        for index in range(len(tx.inputs)):
            assert hasher.digest(index, b"\x51", 1, kind) == SignatureHasher(tx).digest(index, b"\x51", 1, kind)


@given(transactions)
def test_unlocking_scripts_do_not_count(tx: Transaction) -> None:
    bare = [TransactionInput(each.outpoint, Script(), each.sequence) for each in tx.inputs]
    stripped = Transaction(tx.version, bare, tx.outputs, tx.lock_time)
    for kind in (0x41, 0x61, 0x01):
        assert SignatureHasher(tx).digest(0, b"\x51", 1, kind) == SignatureHasher(stripped).digest(0, b"\x51", 1, kind)


def test_sequences_are_signed_as_they_are() -> None:
    """Sequence 0 stays 0 (ts-sdk#371)."""
    for sequence in (0, 1, 0xFFFFFFFF):
        tx = Transaction(
            1,
            [TransactionInput(OutPoint("11" * 32, 0), Script(), sequence)],
            [TransactionOutput(1, Script())],
        )
        preimage = SignatureHasher(tx).preimage(0, b"", 0)
        assert preimage[4 + 64 + 36 + 1 + 8 :][:4] == sequence.to_bytes(4, "little")


def test_unknown_inputs_are_an_error() -> None:
    tx = Transaction(1, [TransactionInput(OutPoint("11" * 32, 0), Script())], [TransactionOutput(1, Script())])
    for kind in (0x41, 0x01):
        with pytest.raises(IndexError):
            SignatureHasher(tx).digest(1, b"", 0, kind)


def test_separators_inside_pushes_stay() -> None:
    assert strip_separators(b"\x01\xab\xab\x51") == b"\x03\x01\xab\x51"
    assert strip_separators(b"\x51") == b"\x01\x51"
    assert strip_separators(b"\x51\x05\xab") == b"\x03\x51\x05"  # cut short: counted, not written
    assert strip_separators(b"\xab\x4c") == b"\x01\x4c"
