"""The error family: wire names, members, and the way back (spec/wallet-stack.md §5)."""

from __future__ import annotations

import inspect

import pytest

from sdk.core import errors
from sdk.core.errors import (
    BroadcastUnavailable,
    InsufficientFunds,
    InvalidMerkleRoot,
    InvalidParameter,
    InvalidPublicKey,
    MissingParameter,
    ParseError,
    RemoteWalletError,
    ReviewActions,
    SdkError,
    ServiceUnavailable,
    StorageBusy,
    WalletError,
    wallet_error_from_wire,
)

EXAMPLES: list[WalletError] = [
    errors.NotImplementedByPeer(),
    errors.InternalError("broken"),
    errors.InvalidOperation(),
    BroadcastUnavailable(),
    InvalidParameter("outputs[2].satoshis", "an integer from 0 to 2100000000000000"),
    MissingParameter("reference"),
    InvalidMerkleRoot("aa" * 32, 7, "bb" * 32, "cc" * 32),
    errors.BadRequest(),
    errors.NetworkChainMismatch(),
    errors.Unauthorized(),
    errors.NotActive(),
    InsufficientFunds(1200, 200),
    InvalidPublicKey("02ff"),
    ReviewActions(
        [{"txid": "aa" * 32, "status": "doubleSpend", "competingTxs": ["bb" * 32]}],
        [{"txid": "aa" * 32, "status": "failed"}],
        txid="aa" * 32,
        tx=b"\x01\x01\x01\x01",
        no_send_change=["aa.0"],
    ),
    errors.InvalidHmac(),
    errors.InvalidSignature("not of this key"),
    errors.DecryptionFailed(),
    RemoteWalletError("WERR_FROM_THE_FUTURE", "hello", {"when": 3}),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_every_wallet_error_survives_the_wire(error: WalletError) -> None:
    wire = error.to_wire()
    back = wallet_error_from_wire(wire)
    assert type(back) is type(error)
    assert back.to_wire() == wire
    assert wire["isError"] is True
    assert wire["message"] == str(error)


def test_examples_cover_the_whole_family() -> None:
    family = {
        each
        for _, each in inspect.getmembers(errors, inspect.isclass)
        if issubclass(each, WalletError) and each is not WalletError
    }
    assert family == {type(each) for each in EXAMPLES}


def test_wire_names_are_unique() -> None:
    names = [type(each).code for each in EXAMPLES if not isinstance(each, RemoteWalletError)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("number", "kind"), [(3, errors.InvalidHmac), (4, errors.InvalidSignature)])
def test_failed_checks_are_known_by_number_whatever_a_peer_calls_them(number: int, kind: type[WalletError]) -> None:
    back = wallet_error_from_wire({"isError": True, "name": "WalletError", "message": "no", "code": number})
    assert type(back) is kind
    assert str(back) == "no"


@pytest.mark.parametrize("code", ["3", None, [3], 77])
def test_other_codes_go_on_as_they_came(code: object) -> None:
    wire = {"isError": True, "name": "WalletError", "message": "no", "code": code}
    back = wallet_error_from_wire(wire)
    assert isinstance(back, RemoteWalletError)
    assert back.to_wire() == wire


@pytest.mark.parametrize("number", [(InvalidParameter, 6), (InsufficientFunds, 7), (ReviewActions, 5)])
def test_numbers_of_the_binary_wire(number: tuple[type[WalletError], int]) -> None:
    kind, expected = number
    example = next(each for each in EXAMPLES if type(each) is kind)
    assert example.to_wire()["code"] == expected


def test_a_known_name_with_missing_members_is_kept_whole() -> None:
    wire = {"isError": True, "name": "WERR_INSUFFICIENT_FUNDS", "message": "poor", "moreSatoshisNeeded": "x"}
    back = wallet_error_from_wire(wire)
    assert isinstance(back, RemoteWalletError)
    assert back.to_wire() == wire


def test_retryable_is_said_by_the_class() -> None:
    assert ServiceUnavailable("arc", "timed out").retryable
    assert StorageBusy("locked").retryable
    assert BroadcastUnavailable().retryable
    assert not InvalidParameter("a", "b").retryable


def test_messages_say_what_and_where() -> None:
    assert str(ParseError("transaction", "truncated input count", 4)) == (
        "invalid transaction at offset 4: truncated input count"
    )
    assert str(ServiceUnavailable("arc", "no answer in 5 s", status=502)) == "arc (HTTP 502): no answer in 5 s"
    assert str(InvalidParameter("basket", "1 to 300 bytes")) == "The basket parameter must be 1 to 300 bytes"


def test_the_tree_in_the_docstring_names_every_class() -> None:
    drawn = errors.__doc__ or ""
    for name, each in inspect.getmembers(errors, inspect.isclass):
        if issubclass(each, SdkError):
            assert name in drawn, name
