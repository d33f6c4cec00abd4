from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.encodings import MAX_SATOSHIS, hash256, varint
from sdk.core.errors import ParseError
from sdk.core.fees import fee_for_size, node_fee_for_size, transaction_size
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput, scan
from support.codecs import assert_round_trip, assert_strict
from support.strategies import extended_transactions, inputs, outpoints, outputs, transactions

TXID = "ab" * 32


@given(transactions)
def test_transactions_round_trip(transaction: Transaction) -> None:
    assert_round_trip(Transaction, transaction)
    parsed = Transaction.from_bytes(transaction.to_bytes())
    assert parsed.inputs == transaction.inputs
    assert parsed.outputs == transaction.outputs
    assert (parsed.version, parsed.lock_time) == (transaction.version, transaction.lock_time)
    assert parsed.txid() == hash256(transaction.to_bytes())[::-1].hex()
    assert parsed.size() == len(transaction.to_bytes())
    assert parsed.output_count() == len(parsed.outputs)
    assert [(digest[::-1].hex(), vout) for digest, vout in parsed.sources()] == [
        (each.outpoint.txid, each.outpoint.vout) for each in parsed.inputs
    ]


@given(transactions)
def test_cut_or_lengthened_transactions_are_refused(transaction: Transaction) -> None:
    assert_strict(Transaction.from_bytes, transaction.to_bytes())


@given(st.binary(max_size=120))
def test_what_parses_serialises_to_the_same_bytes(data: bytes) -> None:
    try:
        transaction = Transaction.from_bytes(data)
    except ParseError:
        return
    again = Transaction(transaction.version, transaction.inputs, (), transaction.lock_time)
    assert again.inputs == transaction.inputs
    assert transaction.to_bytes() == data


@given(transactions, st.binary(max_size=9), st.binary(max_size=9))
def test_reading_in_the_middle(transaction: Transaction, before: bytes, after: bytes) -> None:
    data = before + transaction.to_bytes() + after
    assert Transaction.read(data, len(before)) == (transaction, len(data) - len(after))
    assert scan(data, len(before)) == len(data) - len(after)


@given(outpoints)
def test_outpoints_round_trip(outpoint: OutPoint) -> None:
    assert_round_trip(OutPoint, outpoint)
    assert_strict(OutPoint.from_bytes, outpoint.to_bytes())
    assert OutPoint.from_string(str(outpoint)) == outpoint


@given(inputs)
def test_inputs_round_trip(value: TransactionInput) -> None:
    assert_round_trip(TransactionInput, value)
    assert_strict(TransactionInput.from_bytes, value.to_bytes())


@given(outputs)
def test_outputs_round_trip(value: TransactionOutput) -> None:
    assert_round_trip(TransactionOutput, value)
    assert_strict(TransactionOutput.from_bytes, value.to_bytes())


@given(extended_transactions)
def test_extended_format_round_trips(transaction: Transaction) -> None:
    data = transaction.to_extended()
    parsed = Transaction.from_extended(data)
    assert parsed == transaction
    assert parsed.inputs == transaction.inputs
    assert parsed.to_extended() == data
    assert parsed.fee() == transaction.input_satoshis() - transaction.output_satoshis()
    assert_strict(Transaction.from_extended, data)
    with pytest.raises(ParseError, match="from_extended"):
        Transaction.from_bytes(data)


def test_extended_format_needs_every_source() -> None:
    source = TransactionOutput(5, Script(b"\x51"))
    known = TransactionInput(OutPoint(TXID, 0), Script(), 1, source)
    unknown = TransactionInput(OutPoint(TXID, 1), Script())
    transaction = Transaction(1, [known, unknown], [])
    with pytest.raises(ValueError, match=r"input 1$"):
        transaction.to_extended()
    with pytest.raises(ValueError, match="input 1 is not known"):
        transaction.fee()
    assert transaction.with_sources([source, source]).fee() == 10
    with pytest.raises(ValueError, match="2 inputs need as many sources, not 1"):
        transaction.with_sources([source])


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("", 0),
        ("01000000", 4),
        ("01000000fdfc00", 4),  # count not in its shortest form
        ("01000000ffffffffffffffffff", 13),  # 2^64-1 inputs and not a byte of them
        ("0100000001" + "00" * 36 + "ffffffffffffffffff", 50),  # a script of 2^64-1 bytes
        ("0100000000ffffffffffffffffff", 14),
        ("010000000001" + "00" * 8 + "feffffffff", 19),
    ],
)
def test_lying_lengths_are_refused_before_anything_is_allocated(text: str, offset: int) -> None:
    with pytest.raises(ParseError) as error:
        Transaction.from_hex(text)
    assert error.value.offset == offset


def test_satoshis_of_a_parsed_output_are_what_the_bytes_say() -> None:
    data = "010000000001" + "ff" * 8 + "00" + "00000000"
    (output,) = Transaction.from_hex(data).outputs
    assert output.satoshis == -1
    assert TransactionOutput.from_bytes(output.to_bytes()) == output


@pytest.mark.parametrize("satoshis", [-1, MAX_SATOSHIS + 1])
def test_no_output_is_built_with_impossible_satoshis(satoshis: int) -> None:
    with pytest.raises(ValueError, match="satoshis"):
        TransactionOutput(satoshis, Script())


@pytest.mark.parametrize("sequence", [-1, 1 << 32])
def test_no_input_is_built_with_an_impossible_sequence(sequence: int) -> None:
    with pytest.raises(ValueError, match="sequence"):
        TransactionInput(OutPoint(TXID, 0), Script(), sequence)


@pytest.mark.parametrize(("version", "lock_time"), [(1 << 31, 0), (-(1 << 31) - 1, 0), (1, -1), (1, 1 << 32)])
def test_no_transaction_is_built_with_numbers_too_wide(version: int, lock_time: int) -> None:
    with pytest.raises(ValueError, match=r"version|lock time"):
        Transaction(version, [], [], lock_time)


def test_sequence_zero_is_kept() -> None:
    transaction = Transaction(1, [TransactionInput(OutPoint(TXID, 0), Script(), 0)], [])
    assert Transaction.from_bytes(transaction.to_bytes()).inputs[0].sequence == 0


@pytest.mark.parametrize(
    "text",
    ["", TXID, TXID + ".", TXID + ".-1", TXID + ".01", TXID + ".1_0", TXID + ".٣", TXID + ". 1", TXID + ".4294967296",
     TXID.upper() + ".0", "ab.0", TXID + ":0", TXID + ".0.0", "g" * 64 + ".0"],
)  # fmt: skip
def test_bad_outpoints_are_refused(text: str) -> None:
    with pytest.raises(ParseError):
        OutPoint.from_string(text)


def test_coinbase() -> None:
    null = OutPoint("00" * 32, 0xFFFFFFFF)
    assert null.is_null
    assert Transaction(1, [TransactionInput(null, Script(b"\x51"))], []).is_coinbase
    assert not Transaction(1, [TransactionInput(OutPoint("00" * 32, 0), Script())], []).is_coinbase
    assert not Transaction(1, [TransactionInput(null, Script())] * 2, []).is_coinbase
    assert not Transaction(1, [], []).is_coinbase


@pytest.mark.parametrize(
    ("lock_time", "sequence", "height", "time", "final"),
    [
        (0, 0, 0, 0, True),
        (100, 0, 100, 0, False),  # first mineable in block 101
        (100, 0, 101, 0, True),
        (100, 0xFFFFFFFF, 0, 0, True),
        (499_999_999, 0, 500_000_000, 0, True),
        (500_000_000, 0, 500_000_001, 500_000_000, False),
        (500_000_000, 0, 0, 500_000_001, True),
    ],
)
def test_finality(lock_time: int, sequence: int, height: int, time: int, final: bool) -> None:
    transaction = Transaction(1, [TransactionInput(OutPoint(TXID, 0), Script(), sequence)], [], lock_time)
    assert transaction.is_final(height, time) is final


def test_one_open_sequence_is_enough_to_hold_a_transaction() -> None:
    closed, still_open = (TransactionInput(OutPoint(TXID, i), Script(), 0xFFFFFFFF - i) for i in range(2))
    assert not Transaction(1, [closed, still_open], [], 100).is_final(100, 0)


@given(transactions)
def test_size_is_known_before_building(transaction: Transaction) -> None:
    assert transaction.size() == transaction_size(
        (len(each.unlocking_script) for each in transaction.inputs),
        (len(each.locking_script) for each in transaction.outputs),
    )


@pytest.mark.parametrize(
    ("size", "rate", "ours", "node"),
    [(0, 1, 0, 0), (1, 1, 1, 1), (1000, 1, 1, 1), (1001, 1, 2, 1), (250, 100, 25, 25), (9, 0, 0, 0)],
)
def test_fees(size: int, rate: int, ours: int, node: int) -> None:
    assert fee_for_size(size, rate) == ours
    assert node_fee_for_size(size, rate) == node


@given(st.integers(0, 10**9), st.integers(0, 10**6))
def test_our_fee_always_pays_what_the_node_demands(size: int, rate: int) -> None:
    assert fee_for_size(size, rate) >= node_fee_for_size(size, rate)


def test_transactions_do_not_change() -> None:
    transaction = Transaction(1, [], [])
    for name in ("version", "inputs", "outputs", "lock_time"):
        with pytest.raises(AttributeError):
            setattr(transaction, name, 0)


@given(extended_transactions)
def test_pickles_keep_sources(transaction: Transaction) -> None:
    copy = pickle.loads(pickle.dumps(transaction))
    assert copy == transaction
    assert copy.inputs == transaction.inputs


def test_equality_and_hash_follow_the_bytes() -> None:
    one, two = Transaction(1, [], []), Transaction.from_hex("01000000000000000000")
    assert one == two
    assert len({one, two, Transaction(2, [], [])}) == 2
    assert one != b"\x01\x00\x00\x00" + varint(0) * 2 + bytes(4)
