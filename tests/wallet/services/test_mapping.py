"""What providers' answers mean (spec/arc.md §1.4, §1.5, §3; spec/robustness.md R8-R16)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.wallet.services.mapping import (
    ARC_WORDS,
    MAX_COMPETING,
    arc_result,
    arc_tx_state,
    settles,
    whatsonchain_result,
)
from sdk.wallet.services.ports import Classification as C
from sdk.wallet.services.ports import TxState
from support.requirements import vectors

TXID = "ab" * 32
OTHER = "cd" * 32


def accepted(word: str, **members: Any) -> dict[str, Any]:
    return {
        "txid": TXID,
        "txStatus": word,
        "status": 200,
        "title": "OK",
        "extraInfo": "",
        "competingTxs": None,
        **members,
    }


def problem(code: int, **members: Any) -> dict[str, Any]:
    return {"detail": "explained", "extraInfo": "", "status": code, "title": "Problem", "txid": TXID, **members}


@pytest.mark.parametrize(
    ("word", "classification", "propagated"),
    [
        ("UNKNOWN", C.SERVICE_ERROR, False),
        ("QUEUED", C.SERVICE_ERROR, False),
        ("RECEIVED", C.SERVICE_ERROR, False),
        ("STORED", C.SUCCESS, False),
        ("ANNOUNCED_TO_NETWORK", C.SUCCESS, False),
        ("REQUESTED_BY_NETWORK", C.SUCCESS, False),
        ("SENT_TO_NETWORK", C.SUCCESS, False),
        ("ACCEPTED_BY_NETWORK", C.SUCCESS, True),
        ("SEEN_IN_ORPHAN_MEMPOOL", C.ORPHAN, False),
        ("SEEN_ON_NETWORK", C.SUCCESS, True),
        ("seen_on_network", C.SUCCESS, True),
        ("SEEN_MULTIPLE_NODES", C.SUCCESS, True),
        ("DOUBLE_SPEND_ATTEMPTED", C.DOUBLE_SPEND, False),
        ("REJECTED", C.INVALID, False),
        ("INVALID", C.INVALID, False),
        ("MALFORMED", C.INVALID, False),
        ("MINED_IN_STALE_BLOCK", C.SERVICE_ERROR, False),
        ("PENDING_RETRY", C.SERVICE_ERROR, False),
        ("STUMP_PROCESSING", C.ALREADY_KNOWN, True),
        ("MINED", C.ALREADY_KNOWN, True),
        ("IMMUTABLE", C.ALREADY_KNOWN, True),
        ("A_WORD_OF_TOMORROW", C.SERVICE_ERROR, False),
    ],
)
def test_r13_every_word_of_the_ladder(word: str, classification: C, propagated: bool) -> None:
    result = arc_result(TXID, "arc", 200, accepted(word))
    assert (result.classification, result.propagated) == (classification, propagated)
    assert result.raw_status == word.upper()


def test_the_table_has_no_word_that_was_not_looked_at() -> None:
    assert len(ARC_WORDS) == 20


@pytest.mark.parametrize(
    ("code", "classification"),
    [
        (400, C.INVALID),
        (401, C.SERVICE_ERROR),
        (403, C.SERVICE_ERROR),
        (404, C.SERVICE_ERROR),
        (409, C.SERVICE_ERROR),
        (422, C.INVALID),
        (429, C.SERVICE_ERROR),
        (460, C.ORPHAN),
        (461, C.INVALID),
        (462, C.INVALID),
        (463, C.INVALID),
        (464, C.INVALID),
        (465, C.INVALID),
        (466, C.DOUBLE_SPEND),
        (467, C.SERVICE_ERROR),
        (468, C.SERVICE_ERROR),
        (469, C.SERVICE_ERROR),
        (471, C.INVALID),
        (472, C.INVALID),
        (473, C.INVALID),
        (474, C.INVALID),
        (475, C.SERVICE_ERROR),
        (476, C.SERVICE_ERROR),
        (479, C.SERVICE_ERROR),
        (500, C.SERVICE_ERROR),
        (502, C.SERVICE_ERROR),
        (503, C.SERVICE_ERROR),
    ],
)
def test_r10_every_problem_code(code: int, classification: C) -> None:
    assert arc_result(TXID, "arc", code, problem(code)).classification is classification


def test_arcade_answers_400_and_hides_the_code_in_the_document() -> None:
    body = {"error": "transaction failed validation", "reason": "too low", "txid": TXID, "status": 466, "title": "x"}
    assert arc_result(TXID, "arcade", 400, body).classification is C.DOUBLE_SPEND
    assert arc_result(TXID, "arcade", 400, {**body, "status": 476}).classification is C.SERVICE_ERROR


def test_a_400_that_names_no_transaction_is_about_the_request() -> None:
    assert arc_result(TXID, "arc", 400, problem(400, txid=None)).classification is C.SERVICE_ERROR
    assert arc_result(TXID, "arc", 400, {"error": "callback URL not acceptable"}).classification is C.SERVICE_ERROR


@pytest.mark.parametrize(
    "body",
    [
        None,
        "<html>502</html>",
        [],
        5,
        b"",
        {},
        {"txStatus": "SEEN_ON_NETWORK"},
        {"txid": TXID},
        {"txid": 5, "txStatus": "MINED"},
        {"txid": TXID, "txStatus": 90},
    ],
)
def test_r16_success_needs_this_txid_and_a_word(body: object) -> None:
    assert arc_result(TXID, "arc", 200, body).classification is C.SERVICE_ERROR


@pytest.mark.parametrize("status", [200, 400, 461, 465, 466])
def test_r16_an_answer_about_another_transaction_says_nothing_about_this_one(status: int) -> None:
    body = accepted("SEEN_ON_NETWORK") if status == 200 else problem(status)
    result = arc_result(TXID, "arc", status, {**body, "txid": OTHER})
    assert result.classification is C.SERVICE_ERROR
    assert OTHER[:10] in result.detail


def test_r11_rivals_are_named_well_formed_bounded_and_never_the_transaction_itself() -> None:
    rivals = [TXID, OTHER.upper(), "zz", 5, OTHER] + [f"{number:064x}" for number in range(100)]
    result = arc_result(TXID, "arc", 200, accepted("DOUBLE_SPEND_ATTEMPTED", competingTxs=rivals))
    assert result.competing_txids[0] == OTHER
    assert TXID not in result.competing_txids
    assert len(result.competing_txids) == MAX_COMPETING
    assert arc_result(TXID, "arc", 200, accepted("DOUBLE_SPEND_ATTEMPTED")).competing_txids == ()


@pytest.mark.parametrize(
    ("reason", "classification"),
    [
        ("txn-mempool-conflict", C.DOUBLE_SPEND),
        ("Missing inputs", C.ORPHAN),
        ("parent rejected: whatever", C.ORPHAN),
        ("non-final", C.SERVICE_ERROR),
        ("too-long-mempool-chain", C.SERVICE_ERROR),
        ("txn-already-known", C.ALREADY_KNOWN),
        ("mandatory-script-verify-flag-failed", C.INVALID),
        ("", C.INVALID),
    ],
)
def test_r8_a_rejection_is_read_by_its_reason(reason: str, classification: C) -> None:
    assert arc_result(TXID, "arc", 200, accepted("REJECTED", extraInfo=reason)).classification is classification


def test_r14_what_settles_and_what_goes_on() -> None:
    assert settles(arc_result(TXID, "arc", 200, accepted("SEEN_ON_NETWORK")))
    assert settles(arc_result(TXID, "arc", 461, problem(461)))
    assert not settles(arc_result(TXID, "arc", 465, problem(465)))
    assert not settles(arc_result(TXID, "arc", 502, None))
    assert not settles(arc_result(TXID, "arc", 460, problem(460)))
    assert not settles(arc_result(TXID, "arc", 466, problem(466)))


@pytest.mark.parametrize(
    ("status", "body", "state"),
    [
        (200, accepted("MINED"), TxState.MINED),
        (200, accepted("SEEN_ON_NETWORK"), TxState.KNOWN),
        (200, accepted("REJECTED"), TxState.UNAVAILABLE),
        (200, accepted("RECEIVED"), TxState.UNAVAILABLE),
        (200, accepted("MINED", txid=OTHER), TxState.UNAVAILABLE),
        (404, problem(404), TxState.UNKNOWN),
        (404, None, TxState.UNAVAILABLE),
        (500, problem(500), TxState.UNAVAILABLE),
        (200, None, TxState.UNAVAILABLE),
    ],
)
def test_status_queries(status: int, body: object, state: TxState) -> None:
    assert arc_tx_state(TXID, status, body) is state


@pytest.mark.parametrize(
    ("status", "text", "classification"),
    [
        (200, f'"{TXID}"\n', C.SUCCESS),
        (200, TXID.upper(), C.SUCCESS),
        (200, OTHER, C.SERVICE_ERROR),
        (200, "", C.SERVICE_ERROR),
        (200, "<html>hello</html>", C.SERVICE_ERROR),
        (400, "unexpected response code 500: Transaction already in the mempool", C.ALREADY_KNOWN),
        (400, "unexpected response code 500: 257: txn-already-known", C.ALREADY_KNOWN),
        (400, "unexpected response code 500: 258: txn-mempool-conflict", C.DOUBLE_SPEND),
        (400, "unexpected response code 500: Missing inputs", C.ORPHAN),
        (400, "unexpected response code 500: 16: mandatory-script-verify-flag-failed (Script failed)", C.INVALID),
        (400, "unexpected response code 500: 16: bad-txns-inputs-spent", C.DOUBLE_SPEND),
        (400, "unexpected response code 500: 64: dust", C.INVALID),
        (400, "unexpected response code 500: 64: non-final", C.SERVICE_ERROR),
        (400, "unexpected response code 500: 66: insufficient priority", C.INVALID),
        (400, "unexpected response code 500: 66: mempool min fee not met", C.SERVICE_ERROR),
        (400, "unexpected response code 500: 259: mempool full", C.SERVICE_ERROR),
        (400, "unexpected response code 500: something new", C.SERVICE_ERROR),
        (500, "unexpected response code 500: 999: something new", C.SERVICE_ERROR),
        (429, "Too Many Requests", C.SERVICE_ERROR),
        (429, "unexpected response code 500: 16: mandatory", C.SERVICE_ERROR),
        (502, "<html>unexpected response code 500: 16: mandatory</html>", C.SERVICE_ERROR),
        (400, "txn-mempool-conflict", C.SERVICE_ERROR),
        (503, "", C.SERVICE_ERROR),
    ],
)
def test_whatsonchain_texts(status: int, text: str, classification: C) -> None:
    assert whatsonchain_result(TXID, "woc", status, text).classification is classification


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)
ODD_BODIES = ANY | st.fixed_dictionaries(
    {},
    optional={"txid": ANY, "txStatus": ANY, "status": ANY, "extraInfo": ANY, "competingTxs": ANY, "detail": ANY},
)


@given(st.integers(100, 999), ODD_BODIES)
def test_odd_answers_are_never_success_nor_a_verdict(status: int, body: Any) -> None:
    """Without the txid there is neither; random text cannot spell it."""
    result = arc_result(TXID, "arc", status, body)
    assert not result.accepted
    assert len(result.detail) <= 300
    assert len(result.raw_status) <= 64
    if not isinstance(body, dict):
        assert result.classification is C.SERVICE_ERROR


@given(st.integers(100, 999), st.text(max_size=400))
def test_odd_texts_are_never_success(status: int, text: str) -> None:
    assert not whatsonchain_result(TXID, "woc", status, text).accepted


def test_arc_submit_vectors() -> None:
    """vectors/brc/broadcast/arc-submit.json: what a client must make of each answer to a submission."""
    document = json.loads(vectors("brc", "broadcast", "arc-submit.json").read_text())
    judged = 0
    for vector in document["vectors"]:
        expected, body = vector["expected"], vector["expected"].get("body")
        if vector["input"]["path"] != "/v1/tx" or not isinstance(body, dict):
            continue
        txid = body.get("txid", TXID)
        failure = "failure" in expected.get("sdk_treatment", "").lower().split("—")[0] or expected["status"] != 200
        assert arc_result(txid, "arc", expected["status"], body).accepted is not failure, vector["id"]
        judged += 1
    assert judged >= 5
