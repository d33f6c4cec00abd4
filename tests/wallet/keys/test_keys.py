"""Private and public keys, WIF, addresses, hygiene of secrets."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.errors import InvalidParameter, InvalidPublicKey, ParseError
from sdk.wallet.keys import ANYONE, Address, KeyDeriver, PrivateKey, PublicKey, SymmetricKey, curve
from sdk.wallet.keys._ripemd160 import ripemd160 as pure_ripemd160
from sdk.wallet.keys.base58 import decode, decode_check, encode, encode_check
from sdk.wallet.keys.errors import DerivationError, InvalidPrivateKey
from sdk.wallet.keys.hashes import hash160, ripemd160, sha256

scalars = st.integers(1, curve.ORDER - 1)
keys = scalars.map(PrivateKey.from_int)
SECRET = bytes(range(1, 33))


@pytest.mark.parametrize(
    "secret",
    [bytes(32), curve.ORDER.to_bytes(32, "big"), b"\xff" * 32, b"\x01", b"\x01" * 33, b""],
    ids=["zero", "order", "largest", "short", "long", "empty"],
)
def test_out_of_range_secrets_are_refused(secret: bytes) -> None:
    with pytest.raises(InvalidPrivateKey):
        PrivateKey(secret)


@pytest.mark.parametrize("text", ["", "1", "zz" * 32, "0x" + "11" * 31, " " + "11" * 31 + "1", "１" * 64])
def test_malformed_hex_secrets_are_refused(text: str) -> None:
    with pytest.raises(InvalidPrivateKey):
        PrivateKey.from_hex(text)


def test_errors_never_contain_the_key() -> None:
    secret = (curve.ORDER + 5).to_bytes(32, "big")
    try:
        PrivateKey.from_hex(secret.hex())
    except InvalidPrivateKey as error:
        shown = "".join(traceback.format_exception(error)) + repr(error)
        assert secret.hex() not in shown.lower()
        assert str(int.from_bytes(secret, "big")) not in shown


def test_a_mistyped_wif_is_not_repeated() -> None:
    wif = PrivateKey(SECRET).to_wif()
    with pytest.raises(InvalidPrivateKey) as error:
        PrivateKey.from_wif(wif[:-1] + "1")
    assert wif[:8] not in str(error.value)


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r}".format, lambda k: f"{k}"])
def test_secrets_do_not_print_themselves(show: object) -> None:
    key = PrivateKey(SECRET)
    holders = (key, SymmetricKey(SECRET), KeyDeriver(key), [key], {"key": key})
    for holder in holders:
        text = show(holder)  # type: ignore[operator]
        assert SECRET.hex() not in text
        assert repr(SECRET)[2:-1] not in text


def test_private_keys_are_not_pickled_and_copies_are_themselves() -> None:
    key = PrivateKey(SECRET)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)
    assert copy.copy(key) is key
    assert copy.deepcopy(key) is key


def test_private_keys_compare_by_value_and_have_no_hash() -> None:
    assert PrivateKey(SECRET) == PrivateKey(SECRET)
    assert PrivateKey(SECRET) != ANYONE
    assert PrivateKey(SECRET) != SECRET
    with pytest.raises(TypeError):
        hash(PrivateKey(SECRET))


def test_private_keys_cannot_be_altered() -> None:
    with pytest.raises(AttributeError):
        PrivateKey(SECRET).other = 1  # type: ignore[attr-defined]


def test_generate_asks_again_for_a_scalar_out_of_range() -> None:
    answers = iter([bytes(32), b"\xff" * 32, SECRET])
    assert PrivateKey.generate(lambda size: next(answers)).to_bytes() == SECRET


@given(keys)
def test_hex_and_wif_round_trip(key: PrivateKey) -> None:
    assert PrivateKey.from_hex(key.to_hex()) == key
    for chain in ("main", "test", "mock"):
        assert PrivateKey.from_wif(key.to_wif(chain), chain) == key


def test_wif_of_an_uncompressed_key() -> None:
    assert (
        PrivateKey.from_wif("5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ").to_hex().startswith("0c28fca386c7a2")
    )


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x80" + SECRET + b"\x02", b"\x80" + SECRET[:-1], b"\x81" + SECRET, b"\x80" + bytes(32) + b"\x01"],
)
def test_malformed_wif_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidPrivateKey):
        PrivateKey.from_wif(encode_check(payload))


def test_wif_of_another_chain_is_refused() -> None:
    with pytest.raises(InvalidPrivateKey, match="another network"):
        PrivateKey.from_wif(PrivateKey(SECRET).to_wif("test"), "main")


@given(keys, st.binary(min_size=32, max_size=32))
def test_signatures_verify_are_low_and_deterministic(key: PrivateKey, digest: bytes) -> None:
    signature = key.sign(digest)
    assert signature == key.sign(digest)
    assert key.public_key.verify(signature, digest)
    assert not key.public_key.verify(signature, sha256(digest))
    assert not key.public_key.verify(signature[:-1], digest)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_only_32_byte_digests_are_signed(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        PrivateKey(SECRET).sign(bytes(size))
    assert not PrivateKey(SECRET).public_key.verify(PrivateKey(SECRET).sign(bytes(32)), bytes(size))


@given(keys, keys)
def test_shared_secrets_are_the_same_from_both_sides(mine: PrivateKey, yours: PrivateKey) -> None:
    shared = mine.shared_secret(yours.public_key)
    assert shared == yours.shared_secret(mine.public_key)
    product = curve.multiply_public(yours.public_key.point, mine.to_bytes())
    assert shared == curve.serialize_point(product)


@given(keys, scalars)
def test_adding_a_scalar_commutes_with_taking_the_public_key(key: PrivateKey, scalar: int) -> None:
    tweak = scalar.to_bytes(32, "big")
    if (int.from_bytes(key.to_bytes(), "big") + scalar) % curve.ORDER == 0:
        return
    assert key.add(tweak).public_key == key.public_key.add(tweak)


def test_a_sum_that_is_no_key_is_an_error() -> None:
    key = PrivateKey(SECRET)
    opposite = (curve.ORDER - int.from_bytes(SECRET, "big")).to_bytes(32, "big")
    with pytest.raises(DerivationError):
        key.add(opposite)
    with pytest.raises(DerivationError):
        key.public_key.add(opposite)
    with pytest.raises(DerivationError):
        key.public_key.add(bytes(32))


@given(keys)
def test_public_key_encodings(key: PrivateKey) -> None:
    public = key.public_key
    assert PublicKey.from_hex(public.to_hex()) == public == PublicKey(public.to_bytes())
    assert PublicKey.from_hex(public.to_hex().upper()) == public
    assert PublicKey.from_any_encoding(public.to_uncompressed()) == public
    assert hash(PublicKey(public.to_bytes())) == hash(public)
    assert pickle.loads(pickle.dumps(public)) == public


@pytest.mark.parametrize(
    "text",
    [
        "",
        "02",
        "02" + "00" * 32,
        "02" + "ff" * 32,
        "04" + "11" * 64,
        "05" + "11" * 32,
        "02" + "11" * 33,
        " 0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
        "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798\n",
    ],
)
def test_what_is_no_point_is_refused(text: str) -> None:
    with pytest.raises(InvalidPublicKey):
        PublicKey.from_hex(text)


def test_hostile_text_is_cut_in_the_message() -> None:
    with pytest.raises(InvalidPublicKey) as error:
        PublicKey.from_hex("f" * 100_000)
    assert len(error.value.key) < 200


def test_hybrid_and_uncompressed_forms_are_no_brc100_keys() -> None:
    uncompressed = PrivateKey(SECRET).public_key.to_uncompressed()
    with pytest.raises(InvalidPublicKey):
        PublicKey(uncompressed)
    with pytest.raises(InvalidPublicKey):
        PublicKey.from_any_encoding(b"\x06" + uncompressed[1:])


@given(st.binary(max_size=80))
def test_base58_round_trips(data: bytes) -> None:
    assert decode(encode(data)) == data
    if data:
        assert decode_check(encode_check(data)) == data


@pytest.mark.parametrize("text", ["0", "O", "I", "l", "1é", "1 "])
def test_base58_names_the_wrong_character(text: str) -> None:
    with pytest.raises(ParseError) as error:
        decode(text)
    assert error.value.offset == len(text) - 1


def test_base58_is_bounded() -> None:
    with pytest.raises(ParseError, match="longer"):
        decode("1" * 100_000)


def test_addresses() -> None:
    key = ANYONE.public_key
    assert key.address() == "1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMH"
    assert key.address("test") == "mrCDrCybB6J1vRfbwM5hemdJz73FwDBC8r"
    assert Address.parse(key.address("test")) == ("test", key.hash160())
    with pytest.raises(ParseError, match="script-hash"):
        Address.parse(encode_check(b"\x05" + bytes(20)))
    with pytest.raises(ParseError, match="checksum"):
        Address.parse("1BgGZ9tcN4rm9KBzDn7KprQz87SZ26SAMJ")
    with pytest.raises(ParseError, match="instead of 21"):
        Address.parse(encode_check(bytes(20)))
    with pytest.raises(InvalidParameter):
        PrivateKey(SECRET).to_wif("nosuchchain")


@given(st.binary(max_size=300))
def test_pure_ripemd160_agrees(data: bytes) -> None:
    assert pure_ripemd160(data) == ripemd160(data)
    assert hash160(data) == pure_ripemd160(sha256(data))
