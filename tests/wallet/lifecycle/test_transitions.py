"""The two tables, enumerated: every (status, evidence) pair is either listed here or refused."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.wallet.lifecycle import (
    REQUEST_TRANSITIONS,
    TRANSACTION_TRANSITIONS,
    InvalidTransition,
    RequestStatus,
    TransactionStatus,
    evidence,
    initial_request_status,
    next_request_status,
    next_transaction_status,
    predicates,
    signed_evidence,
)

KINDS = tuple(sorted(evidence.Evidence.__subclasses__(), key=lambda each: each.__name__))
SAMPLES = {"str": "aa" * 32, "int": 7, "bool": True}


def sample(kind: type[evidence.Evidence]) -> evidence.Evidence:
    return kind(**{each.name: SAMPLES[str(each.type)] for each in fields(kind)})


def table_of(machine: str) -> dict[str, set[str]]:
    table = REQUEST_TRANSITIONS if machine == "request" else TRANSACTION_TRANSITIONS
    found: dict[str, set[str]] = {}
    for (source, kind), target in table.items():
        found.setdefault(f"{source.value} -> {target.value}", set()).add(kind.__name__)
    return found


ACCEPT = {"BroadcastAccepted", "NetworkKnows"}
RETRY = {"NoVerdict", "ConditionUnmet", "LateRejection"}

REQUEST_TABLE = {
    "unsent -> unsent": {"SendRequested"},
    "unsent -> sending": {"SendStarted"},
    "unsent -> unmined": ACCEPT,
    "unsent -> completed": {"VerifiedProof"},
    "unsent -> invalid": {"UserAbort", "ParentFailed"},
    "unsent -> doubleSpend": {"DoubleSpendMined"},
    "unprocessed -> unsent": {"SendRequested"},
    "unprocessed -> sending": {"SendStarted"},
    "unprocessed -> unmined": ACCEPT,
    "unprocessed -> completed": {"VerifiedProof"},
    "unprocessed -> invalid": {"ParentFailed"},
    "unprocessed -> doubleSpend": {"DoubleSpendMined"},
    "sending -> sending": RETRY | {"SendStarted"},
    "sending -> unmined": ACCEPT,
    "sending -> completed": {"VerifiedProof"},
    "sending -> invalid": {"InvalidVerdict", "ParentFailed"},
    "sending -> doubleSpend": {"DoubleSpendVerified", "DoubleSpendMined"},
    **{
        key: value
        for status in ("nosend", "nonfinal")
        for key, value in {
            f"{status} -> unsent": {"SendRequested"},
            f"{status} -> unmined": ACCEPT,
            f"{status} -> completed": {"VerifiedProof"},
            f"{status} -> invalid": {"UserAbort", "ParentFailed"},
            f"{status} -> doubleSpend": {"DoubleSpendMined"},
        }.items()
    },
    "unknown -> unsent": {"SendRequested"},
    "unknown -> unmined": ACCEPT,
    "unknown -> completed": {"VerifiedProof"},
    "unknown -> invalid": {"ParentFailed"},
    "unknown -> doubleSpend": {"DoubleSpendMined"},
    **{
        key: value
        for status in ("unmined", "callback", "unconfirmed")
        for key, value in {
            f"{status} -> unmined": ACCEPT,
            f"{status} -> completed": {"VerifiedProof"},
            f"{status} -> unsent": {"ProofOverdue", "LateRejection"},
            f"{status} -> invalid": {"ParentFailed"},
            f"{status} -> doubleSpend": {"DoubleSpendMined"},
        }.items()
    },
    **{
        key: value
        for status in ("invalid", "doubleSpend")
        for key, value in {
            f"{status} -> unmined": ACCEPT,
            f"{status} -> completed": {"VerifiedProof"},
            f"{status} -> unfail": {"ReviewRequested"},
        }.items()
    },
    "unfail -> unmined": ACCEPT,
    "unfail -> completed": {"VerifiedProof"},
    "unfail -> invalid": {"ReviewFoundNothing"},
    "unfail -> doubleSpend": {"DoubleSpendVerified", "DoubleSpendMined"},
    "completed -> unmined": {"HeaderDeactivated"},
}

TRANSACTION_TABLE = {
    "unsigned -> nosend": {"SignedToHold"},
    "unsigned -> sending": {"SignedToQueue"},
    "unsigned -> unprocessed": {"SignedToSend"},
    "unsigned -> failed": {"AbandonedUnsigned", "UserAbort", "ParentFailed"},
    "unprocessed -> nosend": {"SignedToHold"},
    "unprocessed -> sending": {"SignedToQueue", "SendStarted", "SendRequested"},
    "unprocessed -> unprocessed": {"SignedToSend"},
    "unprocessed -> unproven": ACCEPT,
    "unprocessed -> completed": {"VerifiedProof"},
    "unprocessed -> failed": {"AbandonedUnsigned", "UserAbort", "ParentFailed", "DoubleSpendMined"},
    **{
        key: value
        for status in ("nosend", "nonfinal")
        for key, value in {
            f"{status} -> sending": {"SendRequested", "SendStarted"},
            f"{status} -> unproven": ACCEPT,
            f"{status} -> completed": {"VerifiedProof"},
            f"{status} -> failed": {"UserAbort", "ParentFailed", "DoubleSpendMined"},
        }.items()
    },
    "sending -> sending": RETRY | {"SendStarted", "SendRequested"},
    "sending -> unproven": ACCEPT,
    "sending -> completed": {"VerifiedProof"},
    "sending -> failed": {"InvalidVerdict", "ParentFailed", "DoubleSpendVerified", "DoubleSpendMined"},
    "unproven -> unproven": ACCEPT,
    "unproven -> completed": {"VerifiedProof"},
    "unproven -> sending": {"ProofOverdue", "LateRejection"},
    "unproven -> failed": {"ParentFailed", "DoubleSpendMined"},
    "failed -> unproven": ACCEPT,
    "failed -> completed": {"VerifiedProof"},
    "failed -> unfail": {"ReviewRequested"},
    "unfail -> unproven": ACCEPT,
    "unfail -> completed": {"VerifiedProof"},
    "unfail -> failed": {"ReviewFoundNothing", "DoubleSpendVerified", "DoubleSpendMined"},
    "completed -> unproven": {"HeaderDeactivated"},
}


@pytest.mark.parametrize(("machine", "expected"), [("request", REQUEST_TABLE), ("transaction", TRANSACTION_TABLE)])
def test_r5_the_table_is_exactly_this(machine: str, expected: dict[str, set[str]]) -> None:
    assert table_of(machine) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_pair_moves_by_the_table_or_is_refused(kind: type[evidence.Evidence]) -> None:
    fact = sample(kind)
    for request in RequestStatus:
        wanted = REQUEST_TRANSITIONS.get((request, kind))
        if wanted is None:
            with pytest.raises(InvalidTransition, match=request.value):
                next_request_status(request, fact)
        else:
            assert next_request_status(request, fact) is wanted
    for transaction in TransactionStatus:
        target = TRANSACTION_TRANSITIONS.get((transaction, kind))
        if target is None:
            with pytest.raises(InvalidTransition, match=transaction.value):
                next_transaction_status(transaction, fact)
        else:
            assert next_transaction_status(transaction, fact) is target


def test_r3_completed_moves_back_only_when_a_header_is_deactivated() -> None:
    kinds = {kind for (source, kind) in REQUEST_TRANSITIONS if source is RequestStatus.COMPLETED}
    kinds |= {kind for (source, kind) in TRANSACTION_TRANSITIONS if source is TransactionStatus.COMPLETED}
    assert kinds == {evidence.HeaderDeactivated}


def test_r1_completed_is_reached_by_a_verified_proof_alone() -> None:
    kinds = {kind for (_, kind), target in REQUEST_TRANSITIONS.items() if target is RequestStatus.COMPLETED}
    kinds |= {kind for (_, kind), target in TRANSACTION_TRANSITIONS.items() if target is TransactionStatus.COMPLETED}
    assert kinds == {evidence.VerifiedProof}


def test_r8_conditions_and_silence_never_end_anything() -> None:
    soft = {evidence.NoVerdict, evidence.ConditionUnmet, evidence.LateRejection, evidence.ProofOverdue}
    ends = {kind for (_, kind), to in REQUEST_TRANSITIONS.items() if predicates.terminal_failure(to)}
    ends |= {kind for (_, kind), to in TRANSACTION_TRANSITIONS.items() if predicates.terminal_failure(to)}
    assert not ends & soft


def test_r7_an_abort_is_not_a_failure_of_the_network() -> None:
    assert evidence.UserAbort(checked=False).note() == {
        "what": "abortAction",
        "evidence": "UserAbort",
        "checked": False,
    }


def test_r9_every_way_into_a_terminal_failure_says_why() -> None:
    for table in (REQUEST_TRANSITIONS, TRANSACTION_TRANSITIONS):
        for (_, kind), target in table.items():
            if predicates.terminal_failure(target):
                note = sample(kind).note()
                assert note["evidence"] == kind.__name__
                assert len(note) > 2, f"{kind.__name__} ends a life without a reason"


def test_r10_a_double_spend_names_its_rival() -> None:
    kinds = {kind for (_, kind), to in REQUEST_TRANSITIONS.items() if to is RequestStatus.DOUBLE_SPEND}
    assert kinds == {evidence.DoubleSpendVerified, evidence.DoubleSpendMined}
    assert all("competitor" in {each.name for each in fields(kind)} for kind in kinds)


def test_r19_what_is_to_be_sent_starts_where_the_sender_looks() -> None:
    for delayed in (True, False):
        start = initial_request_status(signed_evidence(no_send=False, delayed=delayed))
        assert start in predicates.REQUESTS_TO_SEND
    assert initial_request_status(signed_evidence(no_send=True, delayed=False)) is RequestStatus.NOSEND


def test_r5_each_request_status_is_in_one_class() -> None:
    classes = {
        "held": predicates.REQUESTS_HELD,
        "to send": predicates.REQUESTS_TO_SEND,
        "accepted": predicates.REQUESTS_ACCEPTED_UNPROVEN,
        "mined": predicates.REQUESTS_FINAL_MINED,
        "failed": predicates.REQUESTS_TERMINAL_FAILURE,
        "review": predicates.REQUESTS_UNDER_REVIEW,
    }
    found = {status.value: [name for name, members in classes.items() if status in members] for status in RequestStatus}
    assert found == {
        "unsent": ["to send"],
        "sending": ["to send"],
        "unprocessed": ["to send"],
        "nosend": ["held"],
        "nonfinal": ["held"],
        "unknown": ["review"],
        "unfail": ["review"],
        "unmined": ["accepted"],
        "callback": ["accepted"],
        "unconfirmed": ["accepted"],
        "completed": ["mined"],
        "invalid": ["failed"],
        "doubleSpend": ["failed"],
    }


def test_r5_each_transaction_status_is_in_one_class_and_answers_each_question() -> None:
    columns = ("in flight", "to send", "accepted", "mined", "failed", "held", "funds now", "funds delayed", "abort")
    found = {
        status.value: {
            name
            for name, holds in zip(
                columns,
                (
                    predicates.in_flight(status),
                    predicates.waiting_to_send(status),
                    predicates.accepted_unproven(status),
                    predicates.final_mined(status),
                    predicates.terminal_failure(status),
                    predicates.held(status),
                    predicates.may_fund(status, delayed=False),
                    predicates.may_fund(status, delayed=True),
                    predicates.may_abort(status),
                ),
                strict=True,
            )
            if holds
        }
        for status in TransactionStatus
    }
    assert found == {
        "unsigned": {"abort"},
        "unprocessed": {"in flight", "to send", "abort"},
        "nosend": {"held", "abort"},
        "nonfinal": {"held", "abort"},
        "sending": {"in flight", "to send", "funds delayed"},
        "unproven": {"in flight", "accepted", "funds now", "funds delayed"},
        "completed": {"mined", "funds now", "funds delayed"},
        "failed": {"failed"},
        "unfail": set(),
    }


def test_the_two_lifecycles_agree_on_what_ends_or_proves_them() -> None:
    """A fact that ends (or proves) a request does the same to its transactions, and the other way round."""
    for question in (predicates.terminal_failure, predicates.final_mined, predicates.accepted_unproven):
        by_request = {kind for (_, kind), to in REQUEST_TRANSITIONS.items() if question(to)}
        by_transaction = {kind for (_, kind), to in TRANSACTION_TRANSITIONS.items() if question(to)}
        assert by_request <= by_transaction
        assert by_transaction - by_request <= {evidence.AbandonedUnsigned}


def test_r6_an_unknown_word_is_unknown_and_said_to_be() -> None:
    assert RequestStatus.parse("doubleSpend") == (RequestStatus.DOUBLE_SPEND, True)
    assert RequestStatus.parse("brandNew") == (RequestStatus.UNKNOWN, False)
    with pytest.raises(ValueError, match="brandNew"):
        TransactionStatus.parse("brandNew")


@given(st.sampled_from(RequestStatus), st.lists(st.sampled_from(KINDS), max_size=40))
def test_r3_no_run_of_facts_leaves_completed_without_a_deactivated_header(
    status: RequestStatus, kinds: list[type[evidence.Evidence]]
) -> None:
    for kind in kinds:
        before = status
        try:
            status = next_request_status(status, sample(kind))
        except InvalidTransition:
            continue
        if before is RequestStatus.COMPLETED:
            assert kind is evidence.HeaderDeactivated
        if status is RequestStatus.COMPLETED:
            assert kind is evidence.VerifiedProof
