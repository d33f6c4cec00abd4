"""BRC-42 derivation, BRC-43 names, the deriver and its caches."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.errors import InvalidOperation, InvalidParameter
from sdk.wallet.keys import ANYONE, KeyDeriver, PrivateKey, curve
from sdk.wallet.keys.derivation import derive_private_child, derive_public_child
from sdk.wallet.keys.protocol import invoice_number, linkage_protocol

keys = st.integers(1, curve.ORDER - 1).map(PrivateKey.from_int)
names = st.from_regex(r"[a-z0-9]{5,20}( [a-z0-9]{1,9}){0,3}", fullmatch=True).filter(
    lambda n: not n.endswith(" protocol")
)
protocols = st.tuples(st.integers(0, 2), names)
key_ids = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
ALICE, BOB = PrivateKey.from_int(11), PrivateKey.from_int(22)


@given(keys, keys, st.text(st.characters(codec="utf-8"), max_size=50))
def test_both_sides_derive_the_same_child(payer: PrivateKey, payee: PrivateKey, invoice: str) -> None:
    private = derive_private_child(payee, payer.public_key, invoice)
    assert derive_public_child(payer, payee.public_key, invoice) == private.public_key


@given(keys, keys, protocols, key_ids)
def test_derivers_agree(one: PrivateKey, other: PrivateKey, protocol: tuple[int, str], key_id: str) -> None:
    mine, theirs = KeyDeriver(one), KeyDeriver(other)
    private = theirs.derive_private_key(protocol, key_id, mine.identity_key)
    assert mine.derive_public_key(protocol, key_id, theirs.identity_key) == private.public_key
    assert theirs.derive_public_key(protocol, key_id, mine.public_key, for_self=True) == private.public_key
    symmetric = mine.derive_symmetric_key(protocol, key_id, theirs.public_key)
    assert symmetric.to_bytes() == theirs.derive_symmetric_key(protocol, key_id, mine.identity_key).to_bytes()
    scalar = mine.reveal_specific_secret(theirs.public_key, protocol, key_id)
    assert theirs.root_key.add(scalar) == private


def test_the_symmetric_key_is_the_shared_point_of_both_children() -> None:
    deriver = KeyDeriver(ALICE)
    private = deriver.derive_private_key((2, "secrets"), "1", BOB.public_key)
    public = deriver.derive_public_key((2, "secrets"), "1", BOB.public_key)
    expected = private.shared_secret(public)[1:]
    assert deriver.derive_symmetric_key((2, "secrets"), "1", BOB.public_key).to_bytes() == expected


def test_self_and_anyone() -> None:
    deriver = KeyDeriver(ALICE)
    assert deriver.resolve("self") == ALICE.public_key
    assert deriver.resolve("anyone") == ANYONE.public_key
    own = deriver.derive_public_key((1, "notes"), "7", "self")
    assert deriver.derive_private_key((1, "notes"), "7", "self").public_key == own
    everyone = KeyDeriver(ANYONE).derive_public_key((1, "notes"), "7", deriver.identity_key)
    assert deriver.derive_private_key((1, "notes"), "7", "anyone").public_key == everyone


def test_the_invoice_number() -> None:
    assert invoice_number((2, " Hello World "), "Key 1") == "2-hello world-Key 1"
    assert invoice_number([0, "wallet"], "é" * 400) == "0-wallet-" + "é" * 400
    assert linkage_protocol((1, "Hello world")) == (2, "specific linkage revelation 1 hello world")
    longest = "a" * 400
    assert invoice_number(linkage_protocol((2, longest)), "1").startswith("2-specific linkage revelation 2 aaa")


@pytest.mark.parametrize(
    "protocol",
    [
        (3, "wallet"),
        (-1, "wallet"),
        (True, "wallet"),
        (1.0, "wallet"),
        ("1", "wallet"),
        (1, "abcd"),
        (1, "  abcd  "),
        (1, "a" * 401),
        (1, "specific linkage revelation " + "a" * 403),
        (1, "two  spaces"),
        (1, "some-thing"),
        (1, "naïve"),
        (1, "my protocol"),
        (1, "tab\tbed"),
        (1, "line\nbreak"),
        (1, 12345),
        (1,),
        (1, "wallet", 2),
        "1wallet",
    ],
)
def test_malformed_protocols_are_refused(protocol: object) -> None:
    with pytest.raises(InvalidParameter) as error:
        invoice_number(protocol, "1")  # type: ignore[arg-type]
    assert error.value.parameter == "protocolID"


@pytest.mark.parametrize("key_id", ["", "a" * 801, "é" * 401, "\ud800", 5, None])
def test_malformed_key_ids_are_refused(key_id: object) -> None:
    with pytest.raises(InvalidParameter) as error:
        invoice_number((1, "wallet"), key_id)  # type: ignore[arg-type]
    assert error.value.parameter == "keyID"


@pytest.mark.parametrize("counterparty", ["", "Self", "02" + "00" * 32, "nobody", None, 5, b"\x02" + bytes(32)])
def test_malformed_counterparties_are_refused(counterparty: object) -> None:
    with pytest.raises(InvalidParameter) as error:
        KeyDeriver(ALICE).derive_public_key((1, "wallet"), "1", counterparty)  # type: ignore[arg-type]
    assert error.value.parameter == "counterparty"


def test_a_secret_with_oneself_is_not_revealed() -> None:
    for myself in ("self", ALICE.public_key, ALICE.public_key.to_hex().upper()):
        with pytest.raises(InvalidOperation):
            KeyDeriver(ALICE).reveal_counterparty_secret(myself)
    with pytest.raises(InvalidOperation):
        KeyDeriver(ANYONE).reveal_counterparty_secret("anyone")
    assert KeyDeriver(ALICE).reveal_counterparty_secret(BOB.public_key) == ALICE.shared_secret(BOB.public_key)


def test_the_caches_are_bounded_and_can_be_emptied() -> None:
    deriver = KeyDeriver(ALICE, cache_size=4)
    for number in range(1, 20):
        deriver.derive_symmetric_key((1, "wallet"), "1", PrivateKey.from_int(number).public_key)
    assert deriver._peer.cache_info().currsize == 4
    assert deriver._symmetric.cache_info().currsize == 4
    deriver.forget()
    assert deriver._peer.cache_info().currsize == deriver._symmetric.cache_info().currsize == 0


def test_eviction_does_not_change_what_is_derived() -> None:
    small, large = KeyDeriver(ALICE, cache_size=1), KeyDeriver(ALICE)
    peers = [PrivateKey.from_int(number).public_key for number in range(2, 8)]
    for _ in range(2):
        for peer in peers:
            assert small.derive_public_key((1, "wallet"), "1", peer) == large.derive_public_key(
                (1, "wallet"), "1", peer
            )


def test_many_threads_share_one_deriver() -> None:
    deriver = KeyDeriver(ALICE, cache_size=3)
    peers = [PrivateKey.from_int(number).public_key for number in range(2, 12)]
    expected = [KeyDeriver(ALICE).derive_private_key((1, "wallet"), "1", peer) for peer in peers]
    wrong: list[int] = []

    def work() -> None:
        for _ in range(20):
            for index, peer in enumerate(peers):
                if deriver.derive_private_key((1, "wallet"), "1", peer) != expected[index]:
                    wrong.append(index)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
