"""BRC-100 argument validation (spec/wallet-stack.md §1.2, appendix A)."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sdk.core.errors import InvalidParameter, SdkError
from sdk.core.wallet import (
    MAX_SATOSHIS,
    THROW_REVIEW_ACTIONS,
    WALLET_BALANCE,
    CreateActionArgs,
    CreateActionOutput,
    DecryptArgs,
    InternalizeActionArgs,
    SignActionOptions,
    merge_sign_options,
    validate_abort_action,
    validate_create_action,
    validate_internalize_action,
    validate_list_actions,
    validate_list_outputs,
    validate_originator,
    validate_relinquish_output,
    validate_sign_action,
)

TXID = "ab" * 32
OUTPUT = {"lockingScript": "51", "satoshis": 1, "outputDescription": "an output"}
INPUT = {"outpoint": f"{TXID}.0", "inputDescription": "an input", "unlockingScript": "51"}
KEY = "02" + "ab" * 32


def refused(call: Any, *args: Any) -> InvalidParameter:
    with pytest.raises(InvalidParameter) as caught:
        call(*args)
    return caught.value


def action(**members: Any) -> dict[str, Any]:
    return {"description": "an action", **members}


@pytest.mark.parametrize(
    ("args", "parameter"),
    [
        ({}, "description"),
        ({"description": "abcd"}, "description"),
        ({"description": "é" * 2}, "description"),
        ({"description": "é" * 1001}, "description"),
        ({"description": 5}, "description"),
        ({"description": "\ud800" * 5}, "description"),
        ({"description": "a\0note"}, "description"),
        (action(labels=["fine", "a\0b"]), "labels[1]"),
        (action(outputs={}), "outputs"),
        (action(outputs=[5]), "outputs[0]"),
        (action(outputs=[OUTPUT, {**OUTPUT, "satoshis": -1}]), "outputs[1].satoshis"),
        (action(outputs=[{**OUTPUT, "satoshis": MAX_SATOSHIS + 1}]), "outputs[0].satoshis"),
        (action(outputs=[{**OUTPUT, "satoshis": 1.5}]), "outputs[0].satoshis"),
        (action(outputs=[{**OUTPUT, "satoshis": True}]), "outputs[0].satoshis"),
        (action(outputs=[{**OUTPUT, "satoshis": "1"}]), "outputs[0].satoshis"),
        (action(outputs=[{**OUTPUT, "satoshis": 2**80}]), "outputs[0].satoshis"),
        (action(outputs=[{**OUTPUT, "satoshis": MAX_SATOSHIS}, OUTPUT]), "outputs[1].satoshis"),
        (action(outputs=[{**OUTPUT, "lockingScript": ""}]), "outputs[0].lockingScript"),
        (action(outputs=[{**OUTPUT, "lockingScript": "5"}]), "outputs[0].lockingScript"),
        (action(outputs=[{**OUTPUT, "lockingScript": "zz"}]), "outputs[0].lockingScript"),
        (action(outputs=[{**OUTPUT, "lockingScript": "51 51"}]), "outputs[0].lockingScript"),
        (action(outputs=[{**OUTPUT, "basket": "  "}]), "outputs[0].basket"),
        (action(outputs=[{**OUTPUT, "basket": "b" * 301}]), "outputs[0].basket"),
        (action(outputs=[{**OUTPUT, "tags": ["ok", ""]}]), "outputs[0].tags[1]"),
        (action(outputs=[{**OUTPUT, "customInstructions": "c" * 2501}]), "outputs[0].customInstructions"),
        (action(outputs=[{"lockingScript": "51", "satoshis": 1}]), "outputs[0].outputDescription"),
        (action(inputs=[{**INPUT, "outpoint": f"{TXID}.-1"}]), "inputs[0].outpoint"),
        (action(inputs=[{**INPUT, "outpoint": f"{TXID}.01"}]), "inputs[0].outpoint"),
        (action(inputs=[{**INPUT, "outpoint": f"{TXID}.4294967296"}]), "inputs[0].outpoint"),
        (action(inputs=[{**INPUT, "outpoint": "x"}]), "inputs[0].outpoint"),
        (action(inputs=[{**INPUT, "sequenceNumber": 2**32}]), "inputs[0].sequenceNumber"),
        (action(inputs=[{**INPUT, "unlockingScript": None}]), "inputs[0].unlockingScriptLength"),
        (action(inputs=[{**INPUT, "unlockingScriptLength": 2}]), "inputs[0].unlockingScriptLength"),
        (action(inputs=[INPUT, INPUT]), "inputs[1].outpoint"),
        (action(inputBEEF="0100beef"), "inputBEEF"),
        (action(inputBEEF=[1, 2, 3, 256]), "inputBEEF"),
        (action(inputBEEF=[]), "inputBEEF"),
        (action(labels=["x"] * 1001), "labels"),
        (action(lockTime=-1), "lockTime"),
        (action(version=2**32), "version"),
        (action(options={"noSend": "yes"}), "options.noSend"),
        (action(options={"sendWith": ["ab"]}), "options.sendWith[0]"),
        (action(options={"trustSelf": "blindly"}), "options.trustSelf"),
        (action(options={"noSendChange": [f"{TXID}.0"]}), "options.noSendChange"),
        (action(options={"noSend": True, "noSendChange": [f"{TXID}.0"] * 2}), "options.noSendChange[1]"),
        (None, "args"),
        ([], "args"),
    ],
)
def test_what_is_wrong_is_named_as_the_caller_wrote_it(args: Any, parameter: str) -> None:
    assert refused(validate_create_action, args).parameter == parameter


def test_a_field_given_in_snake_case_is_named_in_snake_case() -> None:
    output = {"locking_script": "zz", "satoshis": 1, "output_description": "an output"}
    assert refused(validate_create_action, action(outputs=[output])).parameter == "outputs[0].locking_script"


def test_defaults_and_derived_flags() -> None:
    valid = validate_create_action(action(outputs=[OUTPUT]))
    assert valid.is_new_tx
    assert valid.is_delayed
    assert {valid.is_sign_action, valid.is_no_send, valid.is_send_with, valid.is_remix_change} == {False}
    assert (valid.version, valid.lock_time, valid.inputs, valid.labels) == (1, 0, (), ())
    assert valid.options.randomize_outputs
    assert valid.options.sign_and_process


@pytest.mark.parametrize(
    ("members", "flags"),
    [
        ({}, {"is_new_tx": True, "is_remix_change": True, "is_sign_action": False}),
        ({"options": {"sendWith": [TXID]}}, {"is_new_tx": False, "is_remix_change": False, "is_send_with": True}),
        ({"outputs": [OUTPUT], "options": {"sendWith": [TXID]}}, {"is_new_tx": True, "is_send_with": True}),
        ({"outputs": [OUTPUT], "options": {"signAndProcess": False}}, {"is_sign_action": True}),
        ({"inputs": [INPUT]}, {"is_sign_action": False, "is_new_tx": True}),
        (
            {"inputs": [{"outpoint": f"{TXID}.1", "inputDescription": "an input", "unlockingScriptLength": 108}]},
            {"is_sign_action": True},
        ),
        ({"outputs": [OUTPUT], "options": {"noSend": True}}, {"is_no_send": True, "is_delayed": True}),
        ({"labels": [THROW_REVIEW_ACTIONS]}, {"is_test_werr_review_actions": True}),
    ],
)
def test_flags_follow_from_the_arguments(members: dict[str, Any], flags: dict[str, bool]) -> None:
    valid = validate_create_action(action(**members))
    assert {name: getattr(valid, name) for name in flags} == flags


@pytest.mark.parametrize("delayed", [True, False])
def test_r77_accept_delayed_broadcast_is_never_inverted(delayed: bool) -> None:
    valid = validate_create_action(action(outputs=[OUTPUT], options={"acceptDelayedBroadcast": delayed}))
    assert valid.is_delayed is delayed
    assert valid.options.accept_delayed_broadcast is delayed
    assert valid.to_wire()["isDelayed"] is delayed


def test_r77_sign_action_inherits_what_it_does_not_say() -> None:
    prior = validate_create_action(
        action(outputs=[OUTPUT], options={"acceptDelayedBroadcast": False, "noSend": True, "returnTXIDOnly": True})
    ).options
    assert merge_sign_options(SignActionOptions(), prior) == prior
    merged = merge_sign_options(SignActionOptions(no_send=False, send_with=(TXID,)), prior)
    assert (merged.no_send, merged.accept_delayed_broadcast, merged.return_txid_only) == (False, False, True)
    assert merged.send_with == (TXID,)


def test_trust_self_is_kept() -> None:
    valid = validate_create_action(action(outputs=[OUTPUT], options={"trustSelf": "known"}))
    assert valid.to_wire()["options"]["trustSelf"] == "known"


def test_r37_sequence_zero_is_kept_and_lengths_are_bytes() -> None:
    valid = validate_create_action(action(inputs=[{**INPUT, "unlockingScript": "AABB", "sequenceNumber": 0}]))
    assert valid.inputs[0].sequence_number == 0
    assert valid.inputs[0].unlocking_script_length == 2
    assert valid.inputs[0].unlocking_script == "aabb"


def test_storage_gets_lengths_not_unlocking_scripts() -> None:
    valid = validate_create_action(action(inputs=[INPUT]))
    bare = valid.for_storage()
    assert bare.inputs[0].unlocking_script is None
    assert bare.inputs[0].unlocking_script_length == 1
    assert valid.inputs[0].unlocking_script == "51"
    assert "unlockingScript" not in bare.to_wire()["inputs"][0]


def test_names_are_trimmed_lower_cased_and_unique() -> None:
    valid = validate_create_action(action(labels=[" A b", "a B ", "c"], outputs=[{**OUTPUT, "basket": " Coins "}]))
    assert valid.labels == ("a b", "c")
    assert valid.outputs[0].basket == "coins"


def test_none_counts_as_absent() -> None:
    valid = validate_create_action(action(outputs=None, labels=None, options=None, inputBEEF=None))
    assert valid == validate_create_action(action())


def test_constructors_raise_our_error_too() -> None:
    error = refused(lambda: CreateActionArgs(description="abc"))
    assert error.parameter == "description"
    assert error.to_wire()["name"] == "WERR_INVALID_PARAMETER"
    assert not isinstance(error, ValidationError)


def test_models_are_frozen_and_pass_through() -> None:
    args = CreateActionArgs(description="an action", outputs=(CreateActionOutput.of(OUTPUT),))
    assert CreateActionArgs.of(args) is args
    with pytest.raises(ValidationError):
        args.description = "another one"


def test_bytes_may_be_bytes_or_numbers() -> None:
    fields = {"protocolID": [2, "some protocol"], "keyID": "1", "counterparty": "self"}
    for given_as in (b"\x00\x01\xff", [0, 1, 255], bytearray(b"\x00\x01\xff"), memoryview(b"\x00\x01\xff")):
        assert DecryptArgs.of({**fields, "ciphertext": given_as}).ciphertext == b"\x00\x01\xff"
    assert refused(DecryptArgs.of, {**fields, "ciphertext": "00"}).parameter == "ciphertext"


def payment(**members: Any) -> dict[str, Any]:
    remittance = {"derivationPrefix": "AAAA", "derivationSuffix": "AAAA", "senderIdentityKey": KEY}
    return {"outputIndex": 0, "protocol": "wallet payment", "paymentRemittance": remittance, **members}


def insertion(**members: Any) -> dict[str, Any]:
    return {"outputIndex": 1, "protocol": "basket insertion", "insertionRemittance": {"basket": "coins"}, **members}


@pytest.mark.parametrize(
    ("outputs", "parameter"),
    [
        ([], "outputs"),
        ([payment(paymentRemittance=None)], "outputs[0].paymentRemittance"),
        ([payment(insertionRemittance={"basket": "coins"})], "outputs[0].insertionRemittance"),
        ([insertion(insertionRemittance=None)], "outputs[0].insertionRemittance"),
        ([payment(), insertion(outputIndex=0)], "outputs[1].outputIndex"),
        ([payment(outputIndex=-1)], "outputs[0].outputIndex"),
        ([payment(protocol="gift")], "outputs[0].protocol"),
        (
            [insertion(insertionRemittance={"basket": "coins", "customInstructions": "c" * 1001})],
            "outputs[0].insertionRemittance.customInstructions",
        ),
        (
            [
                payment(
                    paymentRemittance={"derivationPrefix": "?", "derivationSuffix": "AAAA", "senderIdentityKey": KEY}
                )
            ],
            "outputs[0].paymentRemittance.derivationPrefix",
        ),
        (
            [
                payment(
                    paymentRemittance={
                        "derivationPrefix": "AAAA",
                        "derivationSuffix": "AAAA",
                        "senderIdentityKey": "02",
                    }
                )
            ],
            "outputs[0].paymentRemittance.senderIdentityKey",
        ),
    ],
)
def test_internalize_wants_the_remittance_of_its_protocol(outputs: list[Any], parameter: str) -> None:
    args = {"tx": [1, 1, 1, 1], "description": "a receipt", "outputs": outputs}
    assert refused(validate_internalize_action, args).parameter == parameter


def test_internalize_accepts_both_protocols() -> None:
    args = {"tx": b"\x01\x01\x01\x01", "description": "a receipt", "outputs": [payment(), insertion()]}
    assert len(validate_internalize_action(InternalizeActionArgs.of(args)).outputs) == 2


def test_r48_insertion_into_default_is_refused() -> None:
    args = {
        "tx": [1, 1, 1, 1],
        "description": "a receipt",
        "outputs": [insertion(insertionRemittance={"basket": " Default"})],
    }
    assert refused(validate_internalize_action, args).parameter == "outputs[0].insertionRemittance.basket"


@pytest.mark.parametrize("reference", ["", "not base64!", "A", "x" * 500])
def test_references_are_base64_or_a_txid(reference: str) -> None:
    assert refused(validate_abort_action, {"reference": reference}).parameter == "reference"
    assert validate_abort_action({"reference": TXID.upper()}).reference == TXID
    assert validate_abort_action({"reference": "W+y2cJcgQqwR0r5q"}).reference == "W+y2cJcgQqwR0r5q"


def test_sign_action_takes_spends_by_index_even_as_json_keys() -> None:
    args = validate_sign_action(
        {"reference": "AAAA", "spends": {"0": {"unlockingScript": "AA"}, 2: {"unlockingScript": ""}}}
    )
    assert sorted(args.spends) == [0, 2]
    assert args.spends[0].unlocking_script == "aa"
    bad = {"reference": "AAAA", "spends": {"0": {"unlockingScript": "z"}}}
    assert refused(validate_sign_action, bad).parameter == "spends.0.unlockingScript"
    assert refused(validate_sign_action, {"reference": "AAAA", "spends": {"-1": {"unlockingScript": ""}}})


def test_brc112_balance_of_a_basket() -> None:
    valid = validate_list_outputs({"basket": "Balance Coins"})
    assert (valid.basket, valid.tags) == ("coins", (WALLET_BALANCE,))
    assert validate_list_outputs({"basket": "balance"}).basket == "balance"


def test_list_outputs_include_becomes_two_flags_and_offsets_may_be_negative() -> None:
    valid = validate_list_outputs({"basket": "coins", "include": "entire transactions", "offset": -1})
    assert (valid.include_transactions, valid.include_locking_scripts, valid.offset) == (True, False, -1)
    assert refused(validate_list_outputs, {"basket": "coins", "limit": 0}).parameter == "limit"
    assert refused(validate_list_outputs, {"basket": "coins", "limit": 10001}).parameter == "limit"
    assert refused(validate_list_actions, {"labels": [], "offset": -1}).parameter == "offset"
    assert refused(validate_list_actions, {}).parameter == "labels"


def test_relinquish_wants_an_outpoint() -> None:
    assert refused(validate_relinquish_output, {"basket": "coins", "output": TXID}).parameter == "output"
    assert validate_relinquish_output({"basket": "coins", "output": f"{TXID.upper()}.7"}).output == f"{TXID}.7"


@pytest.mark.parametrize("name", ["", ".", "a..b", "a" * 64, ".".join(["a" * 60] * 5), "a b.c", 5])
def test_bad_originators_are_refused(name: Any) -> None:
    assert refused(validate_originator, name).parameter == "originator"


def test_originators_are_lower_cased() -> None:
    assert validate_originator(" App.Example.COM ") == "app.example.com"
    assert validate_originator(None) is None


def test_a_long_list_is_refused_before_its_items_are_looked_at() -> None:
    huge = [{"lockingScript": "zz"}] * 100_001
    assert refused(validate_create_action, action(outputs=huge)).parameter == "outputs"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.dictionaries(
    st.sampled_from(
        ["description", "inputBEEF", "inputs", "outputs", "lockTime", "version", "labels", "options", "input_beef"]
    ),
    JSON
    | st.lists(
        st.fixed_dictionaries({}, optional={"lockingScript": JSON, "satoshis": JSON, "outpoint": JSON}), max_size=3
    ),
)


@settings(max_examples=300, deadline=None)
@given(MEMBERS)
def test_anything_is_either_valid_or_refused_by_name(args: dict[str, Any]) -> None:
    error: SdkError | None = None
    try:
        description = validate_create_action(args).description
    except SdkError as caught:
        error = caught
    if error is None:
        assert 5 <= len(description.encode()) <= 2000
    else:
        assert isinstance(error, InvalidParameter)
        assert error.parameter
        assert len(str(error)) < 1000


NAMES = st.text(min_size=1, max_size=40).filter(
    lambda text: bool(text.strip()) and text.isprintable() and len(text.strip().lower().encode()) <= 300
)
OUTPUTS = st.builds(
    lambda script, satoshis, description, basket, tags: {
        "lockingScript": script.hex(),
        "satoshis": satoshis,
        "outputDescription": description,
        **({"basket": basket} if basket else {}),
        "tags": tags,
    },
    st.binary(min_size=1, max_size=60),
    st.integers(0, MAX_SATOSHIS // 8),
    st.text("abc é", min_size=5, max_size=50),
    st.none() | NAMES,
    st.lists(NAMES, max_size=3),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(OUTPUTS, max_size=6), st.lists(NAMES, max_size=4))
def test_what_is_valid_survives_the_wire_unchanged(outputs: list[dict[str, Any]], labels: list[str]) -> None:
    valid = validate_create_action(action(outputs=outputs, labels=labels))
    again = type(valid).of(valid.to_wire())
    assert again == valid
    assert [each.satoshis for each in again.outputs] == [each["satoshis"] for each in outputs]
    assert [each.locking_script for each in again.outputs] == [each["lockingScript"] for each in outputs]


def test_a_small_action_is_checked_quickly() -> None:
    args = action(
        outputs=[{**OUTPUT, "lockingScript": "76a914" + "00" * 20 + "88ac", "basket": "coins"}], labels=["pay"]
    )
    validate_create_action(args)
    best = 1.0
    for _ in range(20):
        started = time.perf_counter()
        for _ in range(100):
            validate_create_action(args)
        best = min(best, (time.perf_counter() - started) / 100)
    assert best < 60e-6
