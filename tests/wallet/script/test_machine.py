"""Limits, conditionals, OP_RETURN: the machine itself."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.core.script import Script, decode_number, encode_number
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.keys import PrivateKey
from sdk.wallet.script import CONSENSUS, ScriptError, ScriptFailure, ScriptFlags, verify_script
from sdk.wallet.script.interpreter.machine import is_minimal_number, is_true
from sdk.wallet.script.interpreter.signatures import find_and_delete
from sdk.wallet.script.limits import POLICY_LIMITS
from support.node_scripts import evaluate, parse_script

if TYPE_CHECKING:
    from sdk.wallet.script.limits import ScriptLimits

F = ScriptFlags
NOW = CONSENSUS
OLD = F.P2SH | F.STRICTENC
SPENDING = Transaction(1, [TransactionInput(OutPoint("11" * 32, 0), Script())], [TransactionOutput(1, Script())])


def failure(
    locking: bytes, flags: ScriptFlags = NOW, limits: ScriptLimits = POLICY_LIMITS, unlocking: bytes = b""
) -> ScriptError | None:
    try:
        verify_script(
            Script(unlocking),
            Script(locking),
            transaction=SPENDING,
            input_index=0,
            satoshis=0,
            flags=flags,
            limits=limits,
        )
    except ScriptError as error:
        return error
    return None


def reason(locking: bytes, flags: ScriptFlags = NOW, limits: ScriptLimits = POLICY_LIMITS) -> str:
    error = failure(locking, flags, limits)
    return "OK" if error is None else str(error.reason)


def test_the_place_of_a_failure_is_named() -> None:
    error = failure(parse_script("1 DROP 0x02 0x0102 VERIFY ADD").data)
    assert error is not None
    assert (error.reason, error.script, error.position) == (ScriptFailure.INVALID_STACK_OPERATION, "locking", 6)
    assert "at byte 6" in str(error)
    assert error.to_wire()["name"] == "ERR_SCRIPT"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("1 RETURN", "OK"),
        ("1 RETURN 0xff IF 0x4e", "OK"),
        ("0 RETURN 1", "EVAL_FALSE"),
        ("RETURN", "EVAL_FALSE"),
        ("1 1 IF RETURN ENDIF", "OK"),
        ("1 1 IF RETURN", "UNBALANCED_CONDITIONAL"),
        ("1 1 IF RETURN ENDIF 0", "OK"),
        ("1 1 IF RETURN ENDIF ADD RESERVED", "OK"),
        ("1 1 IF RETURN ENDIF 0x4c", "BAD_OPCODE"),
        ("1 1 IF RETURN ENDIF ENDIF", "UNBALANCED_CONDITIONAL"),
        ("1 1 IF RETURN ELSE 0 ENDIF", "OK"),
        ("1 1 IF RETURN ELSE ELSE ENDIF", "UNBALANCED_CONDITIONAL"),
        ("1 1 IF RETURN ENDIF RETURN 0x4c", "OK"),
        ("1 0 IF RETURN ENDIF 2 EQUAL", "EVAL_FALSE"),
        ("1 0 IF RETURN ELSE 1 ENDIF EQUAL", "OK"),
        ("1 1 IF 1 IF RETURN ENDIF ENDIF", "OK"),
        ("1 1 IF RETURN IF ENDIF ENDIF", "OK"),
        ("1 1 IF RETURN IF ENDIF", "UNBALANCED_CONDITIONAL"),
    ],
)
def test_op_return(script: str, expected: str) -> None:
    assert evaluate("", script, NOW) == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("IF 1 ENDIF", "UNBALANCED_CONDITIONAL"),
        ("ELSE", "UNBALANCED_CONDITIONAL"),
        ("ENDIF", "UNBALANCED_CONDITIONAL"),
        ("1 IF 1 ELSE 0", "UNBALANCED_CONDITIONAL"),
        ("1 1 0 IF IF VERIFY ENDIF ELSE DROP 1 ENDIF", "OK"),
        ("0 IF 0 IF 1 ELSE 1 ENDIF ELSE 1 ENDIF", "OK"),
    ],
)
def test_conditionals(script: str, expected: str) -> None:
    assert evaluate("", script, NOW) == expected


def test_script_size() -> None:
    assert reason(b"\x51" + b"\x61" * 499_999) == "OK"
    assert reason(b"\x51" + b"\x61" * 500_000) == "SCRIPT_SIZE"
    assert reason(b"\x51" + b"\x61" * 400 + b"\x00" * 9_600, OLD) == "SCRIPT_SIZE"


def test_operations_of_old_outputs() -> None:
    assert reason(b"\x51" + b"\x61" * 500, OLD) == "OK"
    assert reason(b"\x51" + b"\x61" * 501, OLD) == "OP_COUNT"
    assert reason(b"\x51\x00\x63" + b"\x61" * 499 + b"\x68", OLD) == "OP_COUNT"
    assert reason(b"\x51" + b"\x61" * 501) == "OK"


def test_operations_of_new_outputs() -> None:
    limits = replace(POLICY_LIMITS, operations=10)
    assert reason(b"\x51" + b"\x61" * 10, NOW, limits) == "OK"
    assert reason(b"\x51" + b"\x61" * 11, NOW, limits) == "OP_COUNT"
    keys = parse_script("0 0 0 5 CHECKMULTISIG")
    assert reason(keys.data, NOW, replace(limits, operations=5)) == "OP_COUNT"


def test_multisig_keys() -> None:
    many = b"\x00\x00" + b"\x00" * 21 + b"\x01\x15\xae"
    assert reason(many, OLD) == "PUBKEY_COUNT"
    assert reason(many, F.UTXO_AFTER_GENESIS) == "OK"
    assert reason(many, NOW, replace(POLICY_LIMITS, multisig_keys=20)) == "PUBKEY_COUNT"


def test_stack_items_of_old_outputs() -> None:
    assert reason(b"\x51" * 1000, OLD) == "OK"
    assert reason(b"\x51" * 1001, OLD) == "STACK_SIZE"
    assert reason(b"\x51" * 500 + b"\x6b" * 300 + b"\x51" * 501, OLD) == "STACK_SIZE"
    assert reason(b"\x51" * 1001) == "OK"


def test_stack_memory_counts_both_stacks_and_32_bytes_an_item() -> None:
    limits = replace(POLICY_LIMITS, stack_memory=330)
    assert reason(b"\x51" * 10, NOW, limits) == "OK"
    assert reason(b"\x51" * 11, NOW, limits) == "STACK_SIZE"
    assert reason(b"\x51" * 10 + b"\x6b" * 5 + b"\x51", NOW, limits) == "STACK_SIZE"
    assert reason(b"\x51" * 10 + b"\x75" * 9 + b"\x51" * 9, NOW, limits) == "OK"
    assert reason(b"\x51" * 10 + b"\x93" * 9, NOW, limits) == "OK"


def test_memory_is_given_back_between_scripts() -> None:
    limits = replace(POLICY_LIMITS, stack_memory=66)
    assert failure(b"\x51", CONSENSUS & ~F.SIGPUSHONLY, limits, unlocking=b"\x51\x51\x6b\x75") is None


def test_pushes_of_old_outputs() -> None:
    assert reason(b"\x4d\x08\x02" + bytes(519) + b"\x01", OLD) == "OK"
    assert reason(b"\x4d\x09\x02" + bytes(520) + b"\x01", OLD) == "PUSH_SIZE"
    assert reason(b"\x51\x00\x63\x4d\x09\x02" + bytes(521) + b"\x68", OLD) == "PUSH_SIZE"
    assert reason(b"\x4d\x09\x02" + bytes(520) + b"\x01") == "OK"


@pytest.mark.parametrize(
    "script", ["0x4c", "0x4c 0x05 0x01", "0x4d 0x01", "0x4e 0x010000", "0x4b 0x01", "0x4effffffff"]
)
def test_cut_pushes_are_bad_wherever_they_stand(script: str) -> None:
    assert evaluate("", f"1 {script}", NOW & ~F.SIGPUSHONLY) == "BAD_OPCODE"
    assert evaluate("", f"1 0 IF {script}", NOW) == "BAD_OPCODE"


def test_results_may_not_outgrow_operands() -> None:
    limits = replace(POLICY_LIMITS, chronicle_number_length=4)
    biggest = "0x04 0xffffff7f"
    assert evaluate("", f"{biggest} 1ADD", NOW, limits=limits) == "SCRIPTNUM_OVERFLOW"
    assert evaluate("", f"{biggest} {biggest} ADD", NOW, limits=limits) == "SCRIPTNUM_OVERFLOW"
    assert evaluate("", f"{biggest} 2 MUL", NOW, limits=limits) == "SCRIPTNUM_OVERFLOW"
    assert evaluate("", f"{biggest} 2MUL", NOW, limits=limits) == "SCRIPTNUM_OVERFLOW"
    assert evaluate("", f"{biggest} NEGATE NEGATE {biggest} NUMEQUAL", NOW, limits=limits) == "OK"
    assert evaluate("", f"{biggest} {biggest} ADD SIZE 5 NUMEQUAL NIP", OLD) == "OK"


def test_num2bin_asks_for_room_first() -> None:
    started = time.perf_counter()
    assert evaluate("", "1 2147483647 NUM2BIN", NOW) == "STACK_SIZE"
    assert evaluate("", "1 2147483648 NUM2BIN", NOW) == "PUSH_SIZE"
    assert time.perf_counter() - started < 1


GENERATOR = PrivateKey.from_int(1).public_key.to_bytes()
HOSTILE = {
    "deep conditionals": b"\x51" + b"\x51\x63" * 120_000 + b"\x61" * 120_000 + b"\x68" * 120_000,
    "hash a large item": b"\x51\x04\x00\x5a\x62\x02\x80" + b"\x76\xa8\x75" * 150_000,
    "long products": b"\x02\xff\x7f" + b"\x76\x95" * 11 + b"\x76\x76\x95\x75" * 120_000,
    "products without end": b"\x02\xff\x7f" + b"\x76\x95" * 200_000,
    "long quotients": b"\x02\xff\x7f" + b"\x76\x95" * 12 + b"\x76\x76\x96\x75" * 120_000,
    "quotients of half the length": (
        b"\x02\xff\x7f" + b"\x76\x95" * 11 + b"\x76\x76\x95\x7c" + b"\x6e\x96\x75" * 160_000
    ),
    "sums of long numbers": b"\x02\xff\x7f" + b"\x76\x95" * 12 + b"\x76\x76\x93\x75" * 120_000,
    "bits of a large item": b"\x51\x04\x00\x5a\x62\x02\x80" + b"\x51\x98" * 240_000,
    "numbers to bytes and back": b"\x51\x02\x10\x27\x80" + b"\x81\x02\x10\x27\x80" * 95_000,
    "truth of a large zero": b"\x51\x00\x04\x00\x5a\x62\x02\x80" + b"\x73" * 480_000,
    "an item as large as it can be": b"\x51" + b"\x76\x7e" * 200_000,
    "join and split": b"\x51\x04\x00\x5a\x62\x02\x80" + b"\x76\x51\x7f\x6d" * 120_000,
    "roll the bottom up": b"\x51" * 200_000 + b"\x03\x3f\x0d\x03\x7a" * 60_000,
    "signature checks": b"\x51"
    + (b"\x09\x30\x06\x02\x01\x01\x02\x01\x01\x41\x21\x02" + b"\x11" * 32 + b"\xac\x75") * 10_000,
    "empty signatures": b"\x51" + (b"\x00\x21\x02" + b"\x11" * 32 + b"\xac\x75") * 13_000,
    "original digests of a long script": b"\x51"
    + (b"\x09\x30\x06\x02\x01\x01\x02\x01\x01\x61\x21" + GENERATOR + b"\xac\x75") * 10_000,
    "multisig of empty signatures": b"\x51"
    + (b"\x00\x00\x00\x52" + (b"\x21\x02" + b"\x11" * 32) * 2 + b"\x52\xae\x75") * 6_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_scripts_end_soon(name: str) -> None:
    """With a tenth of the policy's work. Each ends with a verdict of its own or of the work limit."""
    limits = replace(POLICY_LIMITS, work=500_000_000)
    started = time.process_time()
    error = failure(HOSTILE[name], NOW & ~F.NULLFAIL, limits)
    assert time.process_time() - started < 2
    if error is not None:
        assert error.reason in (ScriptFailure.WORK_LIMIT, ScriptFailure.STACK_SIZE, ScriptFailure.SCRIPTNUM_OVERFLOW)


def test_impossible_flags() -> None:
    assert reason(b"\x51", F.UTXO_AFTER_CHRONICLE) == "INVALID_FLAGS"
    assert reason(b"\x51", F.CLEANSTACK) == "INVALID_FLAGS"


def test_flag_names_round_trip() -> None:
    assert ScriptFlags.parse("P2SH,STRICTENC") == F.P2SH | F.STRICTENC
    assert ScriptFlags.parse("") == F.NONE
    with pytest.raises(KeyError):
        ScriptFlags.parse("P2SH,NOSUCH")


@given(st.binary(max_size=12))
def test_numbers(data: bytes) -> None:
    value = decode_number(data)
    assert is_minimal_number(data) == (encode_number(value) == data)
    assert is_true(data) == (value != 0)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.binary(max_size=60), st.sampled_from([NOW, OLD, F.NONE, CONSENSUS & ~F.SIGPUSHONLY]))
def test_any_bytes_end_in_a_verdict(unlocking: bytes, locking: bytes, flags: ScriptFlags) -> None:
    error = failure(locking, flags, unlocking=unlocking)
    assert error is None or error.reason is not ScriptFailure.UNKNOWN_ERROR


OPCODES = st.sampled_from([bytes((number,)) for number in (0, *range(0x4F, 0xBA))])
PUSHES = st.binary(max_size=6).map(lambda data: bytes((len(data),)) + data)
PROGRAMS = st.lists(st.one_of(OPCODES, PUSHES), max_size=40).map(b"".join)


@settings(max_examples=500, deadline=None)
@given(PROGRAMS, st.sampled_from([NOW, OLD, F.NONE, F.UTXO_AFTER_GENESIS]))
def test_memory_is_what_the_stacks_hold(program: bytes, flags: ScriptFlags) -> None:
    from sdk.wallet.script.interpreter.context import Spend
    from sdk.wallet.script.interpreter.machine import Machine
    from sdk.wallet.script.interpreter.verify import _table
    from sdk.wallet.script.sighash import SignatureHasher

    machine = Machine(Spend(SignatureHasher(SPENDING), 0, 0, 1, 0), int(flags), POLICY_LIMITS, _table(int(flags)))
    try:
        machine.run(program, "locking")
    except ScriptError:
        return
    assert machine.memory == sum(len(item) + 32 for item in (*machine.stack, *machine.alt))
    assert machine.blocked == 0


@given(st.lists(st.sampled_from([b"\x51", b"\x01\x00", b"\x02\xab\xcd", b"\x00", b"\xab"]), max_size=12))
def test_find_and_delete_removes_whole_instructions_only(parts: list[bytes]) -> None:
    pattern = b"\x02\xab\xcd"
    assert find_and_delete(b"".join(parts), pattern) == b"".join(part for part in parts if part != pattern)


def test_find_and_delete_does_not_look_inside_pushes() -> None:
    assert find_and_delete(b"\x03\x01\x51\x02", b"\x51") == b"\x03\x01\x51\x02"
    assert find_and_delete(b"\x51\x4c", b"\x51") == b"\x4c"
