"""The published vectors for transactions, merkle paths, BEEF and script text: sdk/transactions, regressions,
broadcast/merkle-path-validation.

A vector says by its members what is to be done. Every member of ``expected`` but prose must be answered; one that
nothing here answers fails, so that a fuller corpus cannot pass by being overlooked.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from sdk.core.beef import Beef
from sdk.core.encodings import from_display
from sdk.core.errors import ParseError
from sdk.core.fees import node_fee_for_size
from sdk.core.merkle_path import MerklePath
from sdk.core.merkle_tree import PathLeaf, parent
from sdk.core.script import Script, push
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from support.corpus import cases, present, rows
from support.requirements import vectors, vectors_root

if TYPE_CHECKING:
    from collections.abc import Callable

PROSE = {"note", "notes", "error_pattern", "hash_type", "id_type"}
FIXED = TransactionOutput(1, Script())


def check(expected: dict[str, Any], **answers: Callable[[], Any]) -> None:
    """Compare each expected member with its answer; at least one must be compared."""
    asked = [name for name in expected if name not in PROSE]
    assert asked
    for name in asked:
        assert name in answers, f"nothing here answers {name!r}"
        assert answers[name]() == expected[name], name


def refuses(action: Callable[[], object], *errors: type[Exception]) -> bool:
    with pytest.raises(errors or (ParseError, ValueError)):
        action()
    return True


def transaction_answers(transaction: Transaction) -> dict[str, Callable[[], Any]]:
    return {
        "txid": transaction.txid,
        "raw_hex_roundtrip": transaction.to_hex,
        "version": lambda: transaction.version,
        "inputs_count": lambda: len(transaction.inputs),
        "outputs_count": lambda: len(transaction.outputs),
        "locktime": lambda: transaction.lock_time,
        "hash_length_chars": lambda: len(transaction.txid()),
        "id_length_bytes": lambda: len(transaction.hash()),
    }


def null_input(given: dict[str, Any]) -> TransactionInput:
    outpoint = OutPoint(given["source_txid"], given["source_output_index"])
    return TransactionInput(outpoint, Script())


TRANSACTION_OPERATIONS: dict[str, Callable[[dict[str, Any]], dict[str, Callable[[], Any]]]] = {
    "new_transaction": lambda _: transaction_answers(Transaction()),
    "new_transaction_hash_hex": lambda _: transaction_answers(Transaction()),
    "new_transaction_id_binary": lambda _: transaction_answers(Transaction()),
    "fromAtomicBEEF": lambda given: {
        "throws": lambda: refuses(lambda: Beef.from_atomic(bytes.fromhex(given["beef_hex"])))
    },
    "addInput": lambda given: {
        "throws": lambda: refuses(lambda: TransactionInput(unlocking_script=Script()), TypeError),  # type: ignore[call-arg]
        "sequence": lambda: null_input(given).sequence,
    },
    "addOutput": lambda given: {
        "throws": lambda: refuses(
            lambda: TransactionOutput(locking_script=Script(), **{k: v for k, v in given.items() if k == "satoshis"}),
            TypeError,
            ValueError,
        ),
    },
    "getFee_no_source": lambda given: {
        "throws": lambda: refuses(lambda: Transaction(1, [null_input(given)], [FIXED]).fee(), ValueError)
    },
}  # fmt: skip


@pytest.mark.parametrize("vector", cases("brc", "sdk", "transactions", "serialization.json"))
def test_serialization(vector: dict[str, Any] | None) -> None:
    vector = present(vector)
    given, expected = vector["input"], vector["expected"]
    if "operation" in given:
        check(expected, **TRANSACTION_OPERATIONS[given["operation"]](given))
    elif "raw_hex" in given:
        check(expected, **transaction_answers(Transaction.from_hex(given["raw_hex"])))
    elif "ef_hex" in given:
        transaction = Transaction.from_extended(bytes.fromhex(given["ef_hex"]))
        assert transaction.to_extended().hex() == given["ef_hex"]
        check(expected, **transaction_answers(transaction))
    else:
        beef = Beef.from_hex(given["beef_hex"])
        assert beef.to_hex() == given["beef_hex"]
        assert beef.validity()
        check(expected, merkle_root=lambda: next(iter(beef.roots().values())))


def path_answers(path: MerklePath, txid: str | None) -> dict[str, Callable[[], Any]]:
    leaves = path.txids()
    return {
        "merkle_root": lambda: path.compute_root(txid),
        "block_height": lambda: path.block_height,
        "serialized_bump_hex": path.to_hex,
        **{f"merkle_root_for_tx{i}": lambda leaf=leaf: path.compute_root(leaf) for i, leaf in enumerate(leaves)},  # type: ignore[misc]
    }


@pytest.mark.parametrize("vector", cases("brc", "sdk", "transactions", "merkle-path.json"))
def test_merkle_path(vector: dict[str, Any] | None) -> None:
    vector = present(vector)
    given, expected = vector["input"], vector["expected"]
    if "txids_to_extract" in given:
        block = [f"{i:064x}" for i in range(5)]
        path = MerklePath.from_block(given["block_height"], block, block)
        check(expected, throws=lambda: refuses(lambda: path.extract(given["txids_to_extract"])))
    elif "leaf1_duplicate" in given:
        left = from_display(given["leaf0_hash"])
        check(expected, computed_hash=lambda: parent(left, left)[::-1].hex())
    elif "bump_hex" in given and expected.get("throws"):
        check(expected, throws=lambda: refuses(lambda: MerklePath.from_hex(given["bump_hex"]).compute_root()))
    else:
        path = MerklePath.from_hex(given.get("bump_hex") or given["combined_bump_hex"])
        named = [value for name, value in given.items() if name.startswith("txid_tx")]
        for txid in named:
            assert path.extract([txid]).compute_root() == expected["merkle_root"]
        if named:
            parts = [path.extract([txid]) for txid in named]
            combined = parts[0]
            for part in parts[1:]:
                combined = combined.combine(part)
            assert combined == path.extract(named)
        if "txids_at_level_0" in given:
            level = [PathLeaf(i, txid, True) for i, txid in enumerate(given["txids_at_level_0"])]
            assert MerklePath(given["block_height"], [level]) == path
        check(expected, **path_answers(path, given.get("txid")))


@pytest.mark.parametrize("vector", cases("brc", "broadcast", "merkle-path-validation.json"))
def test_merkle_path_of_a_callback(vector: dict[str, Any] | None) -> None:
    """What an ARC callback carries, judged by the types it is made of."""
    vector = present(vector)
    body, status = vector["input"]["body"], vector["expected"]["status"]

    def accept() -> None:
        path = MerklePath.from_hex(body["merklePath"])
        if path.block_height != body["blockHeight"] or not path.contains(body["txid"]):
            raise ParseError("callback", "the path is for another transaction or block")
        path.compute_root(body["txid"])

    if status == 200:
        accept()
    else:
        assert status == 400
        assert refuses(accept, ParseError, KeyError)


@pytest.mark.parametrize(
    "vector",
    [
        case
        for name in ("beef-isvalid-hydration", "beef-v2-txid-panic")
        for case in cases("brc", "regressions", f"{name}.json")
    ],
)
def test_beef_regressions(vector: dict[str, Any] | None) -> None:
    vector = present(vector)
    beef = Beef.from_hex(vector["input"]["beef_hex"])
    assert beef.to_hex() == vector["input"]["beef_hex"]
    txids = beef.txids()
    check(
        vector["expected"],
        parse_error=lambda: None,
        parse_succeeds=lambda: True,
        is_valid=lambda: beef.validity().valid,
        txid_non_null=lambda: bool(txids),
        txid=lambda: txids[-1],
    )


@pytest.mark.parametrize("vector", cases("brc", "regressions", "merkle-path-odd-node.json"))
def test_merkle_tree_parent(vector: dict[str, Any] | None) -> None:
    vector = present(vector)
    given = vector["input"]
    assert given["operation"] == "merkle_tree_parent"
    left, right = bytes.fromhex(given["left_hex"]), bytes.fromhex(given["right_hex"])
    check(vector["expected"], parent_hex=lambda: parent(left, right).hex())


@pytest.mark.parametrize("vector", cases("brc", "regressions", "tx-sequence-zero-sighash.json"))
def test_sequence_regressions(vector: dict[str, Any] | None) -> None:
    vector = present(vector)
    sequence = vector["input"]["input_sequence"]
    transaction = Transaction(1, [TransactionInput(OutPoint("11" * 32, 0), Script(), sequence)], [FIXED])
    field = transaction.to_bytes()[5 + 36 + 1 :][:4].hex()
    check(
        vector["expected"],
        serialised_sequence_hex=lambda: field,
        preimage_sequence_field_hex=lambda: Transaction.from_bytes(transaction.to_bytes()).inputs[0].to_hex()[-8:],
    )


def test_fee_regressions() -> None:
    """Part of the corpus has no vector in this file; its text states the formula."""
    for vector in rows("brc", "regressions", "fee-model-mismatch.json")["vectors"]:
        given = vector["input"]
        rate = given.get("satoshis_per_kb", given.get("sat_per_kb"))
        fee = node_fee_for_size(given["size_bytes"], rate)
        answer = partial(int, fee)
        check(vector["expected"], fee=answer, fee_satoshis=answer)
    assert [node_fee_for_size(size, 1) for size in (0, 1, 999, 1000, 1001, 1999, 2000)] == [0, 1, 1, 1, 1, 1, 2]


@pytest.mark.parametrize(
    "vector",
    [
        case
        for name in ("script-fromasm-numeric-token", "script-writebin-empty")
        for case in cases("brc", "regressions", f"{name}.json")
    ],
)
def test_script_regressions(vector: dict[str, Any] | None) -> None:
    vector = present(vector)
    given = vector["input"]
    script = Script.from_asm(given["asm"]) if "asm" in given else Script(push(bytes.fromhex(given["data_hex"])))
    check(vector["expected"], hex=script.to_hex, asm=script.to_asm)


def universal() -> list[Any]:
    folder = vectors_root() / "universal"
    names = sorted(each for part in ("bsv-tx", "opreturn") for each in folder.joinpath(part).glob("*.json"))
    return [pytest.param(each, id=each.stem) for each in names] or [pytest.param(None, id="corpus-missing")]


@pytest.mark.parametrize("path", universal())
def test_universal_transactions(path: Any) -> None:
    given = json.loads((path or vectors("universal", "bsv-tx")).read_text())
    transaction = Transaction.from_hex(given["raw_hex"])
    assert transaction.txid() == given["tx_id"]
    assert transaction.to_hex() == given["raw_hex"]
    assert [each.locking_script.to_hex() for each in transaction.outputs][: len(given["locking_scripts"])] == (
        given["locking_scripts"]
    )
    beef = Beef.from_hex(given["beef_hex"])
    assert beef.to_hex() == given["beef_hex"]
    assert beef.to_hex(2) == given["beef_v2_hex"]
    assert Beef.from_hex(given["beef_v2_hex"]).to_hex(1) == given["beef_hex"]
    assert Beef.from_hex(given["atomic_beef_hex"]).to_atomic(given["tx_id"]).hex() == given["atomic_beef_hex"]
    assert beef.transaction(given["tx_id"]) == transaction
    assert beef.validity().reasons == ()
    with_sources = beef.transaction_with_sources(given["tx_id"])
    assert with_sources is not None
    assert with_sources.to_extended().hex() == given["ef_hex"]
    assert Transaction.from_extended(bytes.fromhex(given["ef_hex"])) == transaction
    assert with_sources.fee() > 0


@pytest.mark.parametrize("name", ["tx_valid", "tx_invalid"])
def test_transactions_of_the_node_parse(name: str) -> None:
    transactions = [row[1] for row in rows("node", f"{name}.json") if len(row) > 1]
    for raw in transactions:
        if name == "tx_invalid" and raw[8:12] == "0001":
            with pytest.raises(ParseError):  # a form of another chain's
                Transaction.from_hex(raw)
            continue
        transaction = Transaction.from_hex(raw)
        built = Transaction(transaction.version, transaction.inputs, transaction.outputs, transaction.lock_time)
        assert built.to_hex() == transaction.to_hex() == raw.lower()
    assert transactions


def test_random_transactions_of_the_node_parse() -> None:
    """Versions and satoshis in these are any bits at all."""
    cases_of_the_node = rows("node", "sighash.json")[1:]
    for raw, *_ in cases_of_the_node:
        transaction = Transaction.from_hex(raw)
        assert transaction.to_hex() == raw
        assert len(transaction.sources()) == len(transaction.inputs)
        assert b"".join(each.to_bytes() for each in transaction.outputs) in transaction.to_bytes()
    assert len(cases_of_the_node) > 100
