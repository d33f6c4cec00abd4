"""The node's own script, signature-hash and transaction vectors: verdicts, and error names where they are given."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sdk.core.errors import ParseError
from sdk.core.transaction import Transaction
from sdk.wallet.script import ScriptError, SignatureHasher, verify_script
from sdk.wallet.script.flags import ScriptFlags
from sdk.wallet.script.transaction_rules import InvalidTransaction, check_transaction
from support.corpus import rows
from support.node_scripts import ScriptCase, harness_flags, parse_script
from support.requirements import vectors_root


def script_cases() -> list[Any]:
    path = vectors_root() / "node" / "script_tests.json"
    if not path.exists():
        return [pytest.param(None, id="corpus-missing")]
    cases = [ScriptCase.of(row, index) for index, row in enumerate(json.loads(path.read_text()))]
    return [pytest.param(case, id=case.name[:80]) for case in cases if case is not None]


@pytest.mark.parametrize("case", script_cases())
def test_script(case: ScriptCase | None) -> None:
    if case is None:
        rows("node", "script_tests.json")
    assert case is not None
    assert verdict(case) == case.expected


def verdict(case: ScriptCase) -> str:
    try:
        verify_script(
            case.unlocking,
            case.locking,
            transaction=case.spending(),
            input_index=0,
            satoshis=case.satoshis,
            flags=case.flags,
        )
    except ScriptError as error:
        return str(error.reason)
    return "OK"


def test_signature_hashes() -> None:
    run = 0
    for raw, script, index, sighash_type, regular, without_forkid in rows("node", "sighash.json")[1:]:
        run += 1
        hasher, code = SignatureHasher(Transaction.from_hex(raw)), bytes.fromhex(script)
        assert hasher.digest(index, code, 0, sighash_type)[::-1].hex() == regular
        assert hasher.digest(index, code, 0, sighash_type, forkid=False)[::-1].hex() == without_forkid
    assert run > 0


@pytest.mark.parametrize("file", ["tx_valid", "tx_invalid"])
def test_transactions(file: str) -> None:
    run, wrong = 0, []
    for row in rows("node", f"{file}.json"):
        if isinstance(row[0], list):
            for flags in row[2] if isinstance(row[2], list) else [row[2]]:
                run += 1
                failure = transaction_failure(row[0], row[1], harness_flags(flags))
                if (failure is None) != (file == "tx_valid"):
                    wrong.append((failure, flags, row[1][:100]))
    assert wrong == []
    assert run > 0


def transaction_failure(previous: list[Any], raw: str, flags: ScriptFlags) -> str | None:
    spent = {(txid, vout & 0xFFFFFFFF): (parse_script(script), *amount) for txid, vout, script, *amount in previous}
    try:
        transaction = Transaction.from_hex(raw)
        hasher = SignatureHasher(transaction)
        check_transaction(transaction, after_genesis=bool(flags & ScriptFlags.UTXO_AFTER_GENESIS))
        for index, each in enumerate(transaction.inputs):
            locking, *amount = spent[each.outpoint.txid, each.outpoint.vout]
            verify_script(
                each.unlocking_script,
                locking,
                transaction=transaction,
                input_index=index,
                satoshis=amount[0] if amount else 0,
                flags=flags,
                hasher=hasher,
            )
    except (ParseError, ScriptError, InvalidTransaction) as error:
        return str(error)
    return None
