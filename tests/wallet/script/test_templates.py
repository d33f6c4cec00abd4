"""Every template: what it locks its unlocking script opens under the node's standard rules, and what it reads."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.script import Script, push
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.keys import ANYONE, KeyDeriver, PrivateKey, ProtoWallet
from sdk.wallet.keys.hashes import sha256
from sdk.wallet.script import ScriptError, SignatureHasher, sighash, verify_script
from sdk.wallet.script.errors import TemplateError
from sdk.wallet.script.templates import brc29, data, inscription, multisig, p2pk, p2pkh, pushdrop, rpuzzle
from sdk.wallet.script.templates.signing import Coin, digest

if TYPE_CHECKING:
    from collections.abc import Callable

ALICE, BOB, CAROL = (PrivateKey.from_int(number) for number in (11, 22, 33))
TYPES = [
    base | sighash.FORKID | modifier
    for base in (sighash.ALL, sighash.NONE, sighash.SINGLE)
    for modifier in (0, sighash.ANYONECANPAY, sighash.CHRONICLE)
]
SATOSHIS = 5_000


def unsigned(unlocking: Script | None = None, satoshis: int = 1) -> Transaction:
    return Transaction(
        1,
        [
            TransactionInput(OutPoint("11" * 32, 0), unlocking or Script()),
            TransactionInput(OutPoint("22" * 32, 3), Script(), 5),
        ],
        [TransactionOutput(satoshis, Script(b"\x51")), TransactionOutput(2, Script(b"\x52"))],
        0,
    )


def coin(locking: Script) -> Coin:
    return Coin(SignatureHasher(unsigned()), 0, SATOSHIS, locking)


def opens(locking: Script, unlocking: Script, satoshis: int = 1) -> bool:
    try:
        verify_script(unlocking, locking, transaction=unsigned(unlocking, satoshis), input_index=0, satoshis=SATOSHIS)
    except ScriptError:
        return False
    return True


def check(locking: Script, sign: Callable[[int], Script], size: int) -> None:
    for sighash_type in TYPES:
        unlocking = sign(sighash_type)
        assert len(unlocking) <= size
        assert opens(locking, unlocking), hex(sighash_type)
        covers_outputs = sighash_type & 3 != sighash.NONE
        assert opens(locking, unlocking, satoshis=7) == (not covers_outputs), hex(sighash_type)


def test_p2pkh() -> None:
    locking = p2pkh.lock_to_key(ALICE.public_key)
    assert locking == p2pkh.lock_to_address(ALICE.public_key.address()) == p2pkh.lock(ALICE.public_key.hash160())
    assert len(locking) == p2pkh.LOCKING_SIZE
    assert p2pkh.decode(locking) == ALICE.public_key.hash160()
    check(locking, lambda kind: p2pkh.unlock(ALICE, coin(locking), kind), p2pkh.UNLOCKING_SIZE)
    assert not opens(locking, p2pkh.unlock(BOB, coin(locking)))
    with pytest.raises(ValueError, match="20 bytes"):
        p2pkh.lock(bytes(19))
    with pytest.raises(TemplateError):
        p2pkh.decode(Script(locking.data + b"\x61"))


def test_p2pk() -> None:
    locking = p2pk.lock(ALICE.public_key)
    assert p2pk.decode(locking) == ALICE.public_key
    assert p2pk.decode(Script(push(ALICE.public_key.to_uncompressed()) + b"\xac")) == ALICE.public_key
    check(locking, lambda kind: p2pk.unlock(ALICE, coin(locking), kind), p2pk.UNLOCKING_SIZE)
    for wrong in (b"", locking.data[:-1], locking.data + b"\xac", push(bytes(33)) + b"\xac", push(bytes(65)) + b"\xac"):
        with pytest.raises(TemplateError):
            p2pk.decode(Script(wrong))


@pytest.mark.parametrize("required", [1, 2, 3])
def test_multisig(required: int) -> None:
    keys = [ALICE.public_key, BOB.public_key, CAROL.public_key]
    locking = multisig.lock(required, keys)
    assert multisig.decode(locking) == (required, tuple(keys))
    check(
        locking,
        lambda kind: multisig.unlock([CAROL, ALICE, BOB], coin(locking), kind),
        multisig.unlocking_size(required),
    )
    assert not opens(locking, multisig.combine([b""] * required))
    with pytest.raises(ValueError, match="at hand"):
        multisig.unlock([PrivateKey.from_int(5)], coin(locking))


def test_multisig_of_many_keys() -> None:
    keys = [PrivateKey.from_int(number) for number in range(1, 21)]
    locking = multisig.lock(17, [key.public_key for key in keys])
    assert multisig.decode(locking).required == 17
    assert opens(locking, multisig.unlock(keys, coin(locking)))


def test_malformed_multisig() -> None:
    good = multisig.lock(1, [ALICE.public_key]).data
    for wrong in (
        b"",
        good[:-1],
        b"\x52" + good[1:],
        b"\x00" + good[1:],
        b"\x51\x51\x51\xae",
        b"\x61" + good[1:],
        b"\x4c",
    ):
        with pytest.raises(TemplateError):
            multisig.decode(Script(wrong))
    for required in (0, 2):
        with pytest.raises(ValueError, match="required"):
            multisig.lock(required, [ALICE.public_key])


def test_signatures_without_the_fork_bit_are_not_made() -> None:
    locking = p2pkh.lock_to_key(ALICE.public_key)
    for kind in (sighash.ALL, 0x141, sighash.CHRONICLE | 1):
        with pytest.raises(ValueError, match="FORKID"):
            digest(coin(locking), kind)


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_data(items: list[bytes]) -> None:
    script = data.lock(items)
    assert script.is_data()
    assert data.decode(script) == items
    assert data.decode(Script(script.data[1:])) == items


def test_data_of_text_and_foreign_pushes() -> None:
    assert data.decode(data.lock(["é", b"x"])) == ["é".encode(), b"x"]
    assert data.decode(Script(b"\x00\x6a\x51\x60\x4f\x00")) == [b"\x01", b"\x10", b"\x81", b""]
    for wrong in (b"", b"\x51", b"\x00\x6a\x4c", b"\x00\x6a\xac"):
        with pytest.raises(TemplateError):
            data.decode(Script(wrong))


def test_brc29() -> None:
    payer, payee = KeyDeriver(ALICE), KeyDeriver(BOB)
    locking = brc29.lock(payer, payee.identity_key, "cHJlZml4", "c3VmZml4")
    assert locking == brc29.lock_as_received(payee, payer.identity_key, "cHJlZml4", "c3VmZml4")
    assert locking != brc29.lock(payer, payee.identity_key, "cHJlZml4", "c3VmZml5")
    check(
        locking,
        lambda kind: brc29.unlock(payee, payer.identity_key, "cHJlZml4", "c3VmZml4", coin(locking), kind),
        brc29.UNLOCKING_SIZE,
    )
    to_self = brc29.lock(payer, "self", "cHJlZml4", "c3VmZml4")
    assert opens(to_self, brc29.unlock(payer, payer.public_key, "cHJlZml4", "c3VmZml4", coin(to_self)))


fields = st.lists(
    st.one_of(st.binary(max_size=80), st.binary(min_size=1, max_size=1), st.binary(min_size=250, max_size=260)),
    min_size=1,
    max_size=7,
)


@given(fields, st.sampled_from(["before", "after"]))
def test_pushdrop_round_trips(values: list[bytes], position: pushdrop.LockPosition) -> None:
    script = pushdrop.lock(values, ALICE.public_key, position)
    token = pushdrop.decode(script)
    assert token == (ALICE.public_key.to_bytes(), tuple(values), position)
    assert token.locking_key == ALICE.public_key


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_pushdrop_opens(position: pushdrop.LockPosition, count: int) -> None:
    values = [b"", b"\0", b"\x10", b"\x81", bytes(70_000)][:count]
    locking = pushdrop.lock(values, ALICE.public_key, position)
    check(locking, lambda kind: pushdrop.unlock(ALICE, coin(locking), kind), pushdrop.UNLOCKING_SIZE)
    assert not opens(locking, pushdrop.unlock(BOB, coin(locking)))


def test_pushdrop_encoding_is_the_references() -> None:
    values = [b"", b"\x01", b"\x10", b"\x11", b"\x81", bytes(75), bytes(76), bytes(256), bytes(65_536)]
    key = push(ALICE.public_key.to_bytes()) + b"\xac"
    pushes = b"\x00\x51\x60\x01\x11\x4f\x4b" + bytes(75) + b"\x4c\x4c" + bytes(76) + b"\x4d\x00\x01" + bytes(256)
    pushes += b"\x4e\x00\x00\x01\x00" + bytes(65_536)
    assert pushdrop.lock(values, ALICE.public_key).data == key + pushes + b"\x6d" * 4 + b"\x75"
    assert pushdrop.lock(values, ALICE.public_key, "after").data == pushes + b"\x6d" * 4 + b"\x75" + key


@pytest.mark.parametrize(
    "script",
    [
        "",
        "ac",
        "51ac5175",
        "21" + "02" * 33 + "ac",
        "21" + "02" * 33 + "ac" + "51" + "6d",
        "5175" + "21" + "02" * 33,
        "5175" + "21" + "02" * 33 + "ac" + "51",
        "51" + "21" + "02" * 33 + "ac",
        "21" + "02" * 33 + "ac" + "5151" + "75",
        "21" + "02" * 33 + "ac" + "51" + "7561",
        "21" + "02" * 33 + "ac" + "75",
        "21" + "02" * 33 + "ac" + "6175",
        "21" + "05" * 33 + "ac" + "5175",
        "5175" + "21" + "02" * 33 + "ad",
        "4c",
    ],
)
def test_what_is_no_token_is_refused(script: str) -> None:
    with pytest.raises(TemplateError):
        pushdrop.decode(Script.from_hex(script))


def test_pushdrop_without_fields() -> None:
    with pytest.raises(ValueError, match="field"):
        pushdrop.lock([], ALICE.public_key)


DECODERS = [m.decode for m in (p2pkh, p2pk, multisig, data, pushdrop, rpuzzle, inscription)]


@given(st.binary(max_size=120))
def test_decoders_raise_nothing_else(script: bytes) -> None:
    for decode in DECODERS:
        with contextlib.suppress(TemplateError):
            assert decode(Script(script)) is not None


@pytest.mark.parametrize("position", ["before", "after"])
async def test_pushdrop_with_keys_and_with_a_wallet(position: pushdrop.LockPosition) -> None:
    wallet = ProtoWallet(ALICE)
    named = {"protocol_id": (2, "tests of tokens"), "key_id": "7", "counterparty": wallet.identity_key}
    by_keys = pushdrop.lock_with_keys(
        wallet.key_deriver,
        [b"one", b"two"],
        for_self=True,
        position=position,
        **named,  # type: ignore[arg-type]
    )
    by_wallet = await pushdrop.lock_with_wallet(
        wallet,
        [b"one", b"two"],
        for_self=True,
        position=position,
        **named,  # type: ignore[arg-type]
    )
    assert by_keys == by_wallet
    token = pushdrop.decode(by_wallet)
    assert token.fields[:2] == (b"one", b"two")
    assert token.locking_key.verify(token.fields[2], sha256(b"onetwo"))
    unlocking = await pushdrop.unlock_with_wallet(wallet, coin(by_wallet), **named)  # type: ignore[arg-type]
    assert opens(by_wallet, unlocking)
    bare = await pushdrop.lock_with_wallet(wallet, [b"one"], include_signature=False, **named)  # type: ignore[arg-type]
    assert pushdrop.decode(bare).fields == (b"one",)


@pytest.mark.parametrize("hash_name", ["raw", "SHA1", "SHA256", "HASH256", "RIPEMD160", "HASH160"])
def test_rpuzzle(hash_name: str) -> None:
    nonce = sha256(b"nonce")
    value = rpuzzle.r_value(nonce, hash_name)
    locking = rpuzzle.lock(value, hash_name)
    assert rpuzzle.decode(locking) == (value, hash_name)
    for key in (ALICE, BOB):
        check(
            locking,
            lambda kind, key=key: rpuzzle.unlock(nonce, key, coin(locking), kind),  # type: ignore[misc]
            rpuzzle.UNLOCKING_SIZE,
        )
    assert not opens(locking, rpuzzle.unlock(sha256(b"other"), ALICE, coin(locking)))


def test_rpuzzle_that_is_none() -> None:
    good = rpuzzle.lock(b"value").data
    for wrong in (b"", good[1:], good[:-1], good[:9] + b"\x88\xac", good[:9] + b"\xaa\xaa\x01\x05\x88\xac"):
        with pytest.raises(TemplateError):
            rpuzzle.decode(Script(wrong))
    with pytest.raises(KeyError):
        rpuzzle.lock(b"value", "MD5")


@given(st.binary(max_size=1000), st.text(st.characters(codec="utf-8"), max_size=20))
def test_inscription(content: bytes, content_type: str) -> None:
    owner = p2pkh.lock_to_key(ALICE.public_key)
    script = inscription.lock(content, content_type, owner)
    assert inscription.decode(script) == (content_type, content, {}, owner)


def test_inscriptions_open_and_come_in_other_shapes() -> None:
    owner = p2pkh.lock_to_key(ANYONE.public_key)
    script = inscription.lock(b"hello", "text/plain", owner)
    assert opens(script, p2pkh.unlock(ANYONE, coin(script)))
    behind = Script(owner.data + bytes.fromhex("0063036f7264510a746578742f706c61696e0002686968"))
    assert inscription.decode(behind).locking_script == owner
    parts = Script(
        bytes.fromhex("0063036f7264") + b"\x57\x02ab" + b"\x51\x01t" + b"\x00" + b"\x02he" + b"\x01y" + b"\x68"
    )
    assert inscription.decode(parts) == ("t", b"hey", {b"\x07": b"ab"}, Script())
    for wrong in (
        "0063036f7264",
        "0063036f726451",
        "0063036f726451680000",
        "0063036f72645101ff68",
        "0063036f7264ac5168",
    ):
        with pytest.raises(TemplateError):
            inscription.decode(Script.from_hex(wrong))
