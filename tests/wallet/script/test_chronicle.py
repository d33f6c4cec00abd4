"""The rules of Chronicle, which the node's files hardly touch (spec/consensus.md §4.1, 4.5, 4.6)."""

from __future__ import annotations

import pytest

from sdk.core.script import Script, encode_number, push
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.keys import PrivateKey
from sdk.wallet.script import CONSENSUS, STANDARD, ScriptError, ScriptFlags, SignatureHasher, sighash, verify_script
from support.node_scripts import evaluate

F = ScriptFlags
CHRONICLE = STANDARD & ~F.DISCOURAGE_UPGRADABLE_NOPS
GENESIS_UTXO = CHRONICLE & ~F.UTXO_AFTER_CHRONICLE
OLD_UTXO = GENESIS_UTXO & ~F.UTXO_AFTER_GENESIS
GENESIS_SPEND = GENESIS_UTXO & ~F.CHRONICLE


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        # 2MUL, 2DIV
        ("3 2MUL 6 EQUAL", "OK"),
        ("-3 2MUL -6 EQUAL", "OK"),
        ("0 2MUL 0 EQUAL", "OK"),
        ("7 2DIV 3 EQUAL", "OK"),
        ("-7 2DIV -3 EQUAL", "OK"),
        ("-1 2DIV 0 EQUAL", "OK"),
        ("2MUL 1", "INVALID_STACK_OPERATION"),
        ("2DIV 1", "INVALID_STACK_OPERATION"),
        # VER and its conditionals
        ("VER 0x04 0x01000000 EQUAL", "OK"),
        ("0x04 0x01000000 VERIF 1 ELSE 0 ENDIF", "OK"),
        ("0x04 0x02000000 VERIF 0 ELSE 1 ENDIF", "OK"),
        ("1 VERIF 0 ELSE 1 ENDIF", "OK"),
        ("0x05 0x0100000000 VERIF 0 ELSE 1 ENDIF", "OK"),
        ("0x04 0x01000000 VERNOTIF 0 ELSE 1 ENDIF", "OK"),
        ("0 VERNOTIF 1 ELSE 0 ENDIF", "OK"),
        ("VERIF 1 ENDIF", "UNBALANCED_CONDITIONAL"),
        ("VERNOTIF 1 ENDIF", "UNBALANCED_CONDITIONAL"),
        ("1 0 IF VERIF 0 ELSE 0 ENDIF ENDIF", "OK"),
        ("1 0 IF VERNOTIF 0 ENDIF", "UNBALANCED_CONDITIONAL"),
        ("0x04 0x01000000 VERIF 1", "UNBALANCED_CONDITIONAL"),
        # SUBSTR
        ("'abcdef' 1 3 SUBSTR 'bcd' EQUAL", "OK"),
        ("'abcdef' 0 6 SUBSTR 'abcdef' EQUAL", "OK"),
        ("'abcdef' 5 1 SUBSTR 'f' EQUAL", "OK"),
        ("'abcdef' 5 0 SUBSTR '' EQUAL", "OK"),
        ("'abcdef' 6 0 SUBSTR '' EQUAL", "INVALID_NUMBER_RANGE"),
        ("'abcdef' -1 1 SUBSTR '' EQUAL", "INVALID_NUMBER_RANGE"),
        ("'abcdef' 1 -1 SUBSTR '' EQUAL", "INVALID_NUMBER_RANGE"),
        ("'abcdef' 1 6 SUBSTR '' EQUAL", "INVALID_NUMBER_RANGE"),
        ("'' 0 0 SUBSTR '' EQUAL", "INVALID_NUMBER_RANGE"),
        ("1 1 SUBSTR", "INVALID_STACK_OPERATION"),
        # LEFT, RIGHT
        ("'abc' 2 LEFT 'ab' EQUAL", "OK"),
        ("'abc' 0 LEFT '' EQUAL", "OK"),
        ("'abc' 3 LEFT 'abc' EQUAL", "OK"),
        ("'abc' 4 LEFT '' EQUAL", "INVALID_NUMBER_RANGE"),
        ("'abc' -1 LEFT '' EQUAL", "INVALID_NUMBER_RANGE"),
        ("'abc' 2 RIGHT 'bc' EQUAL", "OK"),
        ("'abc' 0 RIGHT '' EQUAL", "OK"),
        ("'abc' 3 RIGHT 'abc' EQUAL", "OK"),
        ("'abc' 4 RIGHT '' EQUAL", "INVALID_NUMBER_RANGE"),
        ("1 LEFT", "INVALID_STACK_OPERATION"),
        # LSHIFTNUM, RSHIFTNUM
        ("3 2 LSHIFTNUM 12 EQUAL", "OK"),
        ("-3 2 LSHIFTNUM -12 EQUAL", "OK"),
        ("0 100 LSHIFTNUM 0 EQUAL", "OK"),
        ("1 -1 LSHIFTNUM", "INVALID_NUMBER_RANGE"),
        ("1 79990 LSHIFTNUM SIZE 9999 NUMEQUAL NIP", "OK"),
        ("1 79999 LSHIFTNUM", "SCRIPTNUM_OVERFLOW"),
        ("1 100000 LSHIFTNUM", "SCRIPTNUM_OVERFLOW"),
        ("12 2 RSHIFTNUM 3 EQUAL", "OK"),
        ("-12 2 RSHIFTNUM -3 EQUAL", "OK"),
        ("-1 1 RSHIFTNUM 0 EQUAL", "OK"),
        ("-13 2 RSHIFTNUM -3 EQUAL", "OK"),
        ("5 1000 RSHIFTNUM 0 EQUAL", "OK"),
        ("5 -1 RSHIFTNUM", "INVALID_NUMBER_RANGE"),
        ("5 2147483647 RSHIFTNUM 0 EQUAL", "OK"),
        ("5 2147483648 RSHIFTNUM", "BIG_INT"),
        ("1 RSHIFTNUM", "INVALID_STACK_OPERATION"),
    ],
)
def test_opcodes(script: str, expected: str) -> None:
    assert evaluate("", script, CHRONICLE) == expected


@pytest.mark.parametrize("version", [1, 2, 7, -1, 2**31 - 1])
def test_ver_is_the_version_of_the_transaction(version: int) -> None:
    text = version.to_bytes(4, "little", signed=True).hex()
    assert evaluate("", f"VER 0x04 0x{text} EQUAL", CONSENSUS, version=version) == "OK"
    assert evaluate("", f"0x04 0x{text} VERIF 1 ELSE 0 ENDIF", CONSENSUS, version=version) == "OK"


@pytest.mark.parametrize(
    ("script", "before", "genesis", "chronicle"),
    [
        ("1 2MUL", "DISABLED_OPCODE", "DISABLED_OPCODE", "OK"),
        ("1 0 IF 2MUL ENDIF", "DISABLED_OPCODE", "OK", "OK"),
        ("2 2DIV", "DISABLED_OPCODE", "DISABLED_OPCODE", "OK"),
        ("VER", "BAD_OPCODE", "BAD_OPCODE", "OK"),
        ("1 0 IF VER ENDIF", "OK", "OK", "OK"),
        ("0 VERIF 0 ELSE 1 ENDIF", "BAD_OPCODE", "BAD_OPCODE", "OK"),
        ("1 0 IF VERIF ENDIF", "BAD_OPCODE", "OK", "UNBALANCED_CONDITIONAL"),
        ("1 0 IF VERIF ENDIF ENDIF", "BAD_OPCODE", "UNBALANCED_CONDITIONAL", "OK"),
        ("1 NOP4", "OK", "OK", "INVALID_STACK_OPERATION"),
        ("1 NOP5", "OK", "OK", "INVALID_STACK_OPERATION"),
        ("1 NOP8", "OK", "OK", "INVALID_STACK_OPERATION"),
        ("1 NOP1 NOP9 NOP10", "OK", "OK", "OK"),
        ("1 RETURN", "OP_RETURN", "OK", "OK"),
        ("1 IF 1 ELSE 0 ELSE 1 ENDIF", "CLEANSTACK", "UNBALANCED_CONDITIONAL", "UNBALANCED_CONDITIONAL"),
        ("1 NOP2", "UNSATISFIED_LOCKTIME", "OK", "OK"),
    ],
)
def test_the_era_of_the_output_decides(script: str, before: str, genesis: str, chronicle: str) -> None:
    assert evaluate("", script, OLD_UTXO) == before
    assert evaluate("", script, GENESIS_UTXO) == genesis
    assert evaluate("", script, CHRONICLE) == chronicle


@pytest.mark.parametrize("flags", [GENESIS_UTXO, GENESIS_SPEND])
def test_discouraged_opcodes(flags: ScriptFlags) -> None:
    for name in ("NOP1", "NOP2", "NOP3", "NOP4", "NOP8", "NOP9", "NOP10"):
        assert evaluate("", f"1 {name}", flags | F.DISCOURAGE_UPGRADABLE_NOPS) == "DISCOURAGE_UPGRADABLE_NOPS"
    assert evaluate("", "1 NOP", flags | F.DISCOURAGE_UPGRADABLE_NOPS) == "OK"


def test_discouraged_opcodes_leave_out_those_that_do_something() -> None:
    flags = CHRONICLE | F.DISCOURAGE_UPGRADABLE_NOPS
    assert evaluate("", "'ab' 1 LEFT", flags) == "OK"
    assert evaluate("", "1 NOP9", flags) == "DISCOURAGE_UPGRADABLE_NOPS"


@pytest.mark.parametrize(
    ("unlocking", "locking", "strict", "rule"),
    [
        ("1 NOP", "", "SIG_PUSHONLY", "push only"),
        ("0x4c 0x01 0x07", "", "MINIMALDATA", "minimal push"),
        ("0x02 0x0100", "NOT NOT", "SCRIPTNUM_MINENCODE", "minimal number"),
        ("1 1", "", "CLEANSTACK", "clean stack"),
        ("1", "0 0 CHECKMULTISIG", "SIG_NULLDUMMY", "empty dummy"),
    ],
)
def test_higher_versions_are_free_of_malleability_rules(unlocking: str, locking: str, strict: str, rule: str) -> None:
    for version in (1, 0, -1):
        assert evaluate(unlocking, locking, CHRONICLE, version=version) == strict, rule
    assert evaluate(unlocking, locking, CHRONICLE, version=2) == "OK", rule
    assert evaluate(unlocking, locking, GENESIS_SPEND, version=2) == strict, rule


def test_minimalif_is_a_rule_of_lower_versions() -> None:
    flags = CHRONICLE | F.MINIMALIF
    assert evaluate("2", "IF 1 ENDIF", flags) == "MINIMALIF"
    assert evaluate("2", "IF 1 ENDIF", flags, version=2) == "OK"


KEY = PrivateKey.from_int(99)
P2PK = Script(push(KEY.public_key.to_bytes()) + b"\xac")


def spend(version: int = 1, unlocking: bytes = b"", sequence: int = 0xFFFFFFFF) -> Transaction:
    inputs = [
        TransactionInput(OutPoint("11" * 32, 0), Script(unlocking), sequence),
        TransactionInput(OutPoint("22" * 32, 1), Script(b""), 7),
    ]
    return Transaction(version, inputs, [TransactionOutput(1, P2PK), TransactionOutput(2, P2PK)], 0)


def verdict(unlocking: bytes, locking: bytes, flags: ScriptFlags, version: int = 1) -> str:
    transaction = spend(version, unlocking)
    try:
        verify_script(
            Script(unlocking), Script(locking), transaction=transaction, input_index=0, satoshis=10, flags=flags
        )
    except ScriptError as error:
        return str(error.reason)
    return "OK"


def signature(code: bytes, sighash_type: int, version: int = 1) -> bytes:
    digest = SignatureHasher(spend(version)).digest(0, code, 10, sighash_type)
    return push(KEY.sign(digest) + bytes((sighash_type,)))


@pytest.mark.parametrize("base", [sighash.ALL, sighash.NONE, sighash.SINGLE])
@pytest.mark.parametrize("modifier", [0, sighash.ANYONECANPAY])
def test_types_with_the_chronicle_bit_sign_the_original_digest(base: int, modifier: int) -> None:
    sighash_type = base | modifier | sighash.FORKID | sighash.CHRONICLE
    hasher = SignatureHasher(spend())
    assert hasher.digest(0, P2PK.data, 10, sighash_type) == hasher.original_digest(0, P2PK.data, sighash_type)
    assert hasher.digest(0, P2PK.data, 11, sighash_type) == hasher.digest(0, P2PK.data, 10, sighash_type)
    signed = signature(P2PK.data, sighash_type)
    assert verdict(signed, P2PK.data, CHRONICLE) == "OK"
    assert verdict(signed, P2PK.data, CHRONICLE, version=2) == "EVAL_FALSE"
    assert verdict(signed, P2PK.data, GENESIS_SPEND) == "ILLEGAL_CHRONICLE"


def test_the_fork_bit_stays_mandatory() -> None:
    for version in (1, 2):
        for sighash_type in (sighash.ALL, sighash.ALL | sighash.CHRONICLE):
            signed = signature(P2PK.data, sighash_type, version)
            assert verdict(signed, P2PK.data, CHRONICLE, version) == "MISSING_FORKID"


def test_strict_der_and_key_encodings_stay_consensus_for_higher_versions() -> None:
    good = signature(P2PK.data, 0x41, 2)
    assert verdict(good, P2PK.data, CHRONICLE, 2) == "OK"
    lax = push(good[1:4] + b"\0" + good[4:])
    assert verdict(lax, P2PK.data, CHRONICLE, 2) == "SIG_DER"
    hybrid = bytes((6 + (KEY.public_key.to_uncompressed()[-1] & 1),)) + KEY.public_key.to_uncompressed()[1:]
    code = push(hybrid) + b"\xac"
    assert verdict(signature(code, 0x41, 2), code, CHRONICLE, 2) == "PUBKEYTYPE"


def test_high_s_and_failed_signatures_by_version() -> None:
    from sdk.wallet.keys import curve
    from sdk.wallet.keys.signature import decode_der, encode_der

    for version, expected in ((1, "SIG_HIGH_S"), (2, "OK")):
        digest = SignatureHasher(spend(version)).digest(0, P2PK.data, 10)
        r, s = decode_der(KEY.sign(digest))
        high = push(encode_der(r, curve.ORDER - s) + b"\x41")
        assert verdict(high, P2PK.data, CHRONICLE, version) == expected
    inverted = P2PK.data + b"\x91"  # NOT
    for version, expected in ((1, "NULLFAIL"), (2, "OK")):
        assert verdict(signature(b"other code", 0x41, version), inverted, CHRONICLE, version) == expected
        assert verdict(b"\x00", inverted, CHRONICLE, version) == "OK"


def test_a_signature_checked_in_the_unlocking_script_covers_both_scripts() -> None:
    """Only higher versions may have more than pushes there; what is signed is the rest of both scripts."""
    locking = b"\x51"  # 1
    separated = b"\xab\xad"  # CODESEPARATOR CHECKSIGVERIFY; a signature cannot cover itself
    digest = SignatureHasher(spend(2)).digest(0, b"\xad" + locking, 10, 0x41)
    unlocking = push(KEY.sign(digest) + b"\x41") + push(KEY.public_key.to_bytes()) + separated
    assert verdict(unlocking, locking, CHRONICLE, 2) == "OK"
    assert verdict(unlocking, b"\x52", CHRONICLE, 2) == "CHECKSIGVERIFY"
    assert verdict(unlocking, locking, CHRONICLE, 1) == "SIG_PUSHONLY"


def test_original_digest_leaves_out_separators_and_the_new_one_keeps_them() -> None:
    key = push(KEY.public_key.to_bytes())
    locking = key + b"\xac\xab\x61"  # CHECKSIG CODESEPARATOR NOP
    new = signature(locking, 0x41)
    assert verdict(new, locking, CHRONICLE) == "OK"
    hasher = SignatureHasher(spend())
    assert hasher.digest(0, locking, 10, 0x61) == hasher.digest(0, key + b"\xac\x61", 10, 0x61)
    assert hasher.digest(0, locking, 10, 0x41) != hasher.digest(0, key + b"\xac\x61", 10, 0x41)
    assert verdict(signature(key + b"\xac\x61", 0x61), locking, CHRONICLE) == "OK"


def test_numbers_may_be_longer_for_outputs_of_chronicle() -> None:
    from sdk.wallet.script.limits import CONSENSUS_LIMITS

    longer = 750_001
    script = push(encode_number(1 << (8 * longer - 2))) + b"\x8b\x75\x51"  # 1ADD DROP 1
    for flags, expected in ((CONSENSUS, "OK"), (CONSENSUS & ~F.UTXO_AFTER_CHRONICLE, "SCRIPTNUM_OVERFLOW")):
        try:
            verify_script(
                Script(b""),
                Script(script),
                transaction=spend(),
                input_index=0,
                satoshis=0,
                flags=flags,
                limits=CONSENSUS_LIMITS,
            )
            result = "OK"
        except ScriptError as error:
            result = str(error.reason)
        assert result == expected
