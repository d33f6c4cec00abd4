"""Older formats: phrases, hierarchical keys, messages, ECIES, one-time passwords, backup shares."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.core.errors import DecryptionFailed, InvalidOperation, ParseError
from sdk.wallet.keys import PrivateKey, PublicKey, curve
from sdk.wallet.keys.compat import bip39, bsm, ecies, messages, shamir, totp
from sdk.wallet.keys.compat.bip32 import HARDENED, ExtendedKey, parse_path
from sdk.wallet.keys.compat.bip276 import Bip276
from sdk.wallet.keys.errors import DerivationError

keys = st.integers(1, curve.ORDER - 1).map(PrivateKey.from_int)
ALICE, BOB, CAROL = (PrivateKey.from_int(number) for number in (7, 8, 9))

# ---------------------------------------------------------------- BIP-32

# From the BIP itself: vectors 1 and 3 (leading zeros kept).
SEED = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
CHAIN = [
    (
        "m",
        "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8",
        "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
    ),
    (
        "m/0'/1/2'/2/1000000000",
        "xpub6H1LXWLaKsWFhvm6RVpEL9P4KfRZSW7abD2ttkWP3SSQvnyA8FSVqNTEcYFgJS2UaFcxupHiYkro49S8yGasTvXEYBVPamhGW6cFJodrTHy",
        "xprvA41z7zogVVwxVSgdKUHDy1SKmdb533PjDz7J6N6mV6uS3ze1ai8FHa8kmHScGpWmj4WggLyQjgPie1rFSruoUihUZREPSL39UNdE3BBDu76",
    ),
]


@pytest.mark.parametrize(("path", "public", "private"), CHAIN)
def test_bip32_vectors(path: str, public: str, private: str) -> None:
    key = ExtendedKey.from_seed(SEED).derive(path)
    assert (str(key), str(key.to_public())) == (private, public)
    assert ExtendedKey.parse(private) == key
    assert ExtendedKey.parse(public) == key.to_public()


@given(st.binary(min_size=16, max_size=64), st.lists(st.integers(0, HARDENED - 1), max_size=4))
def test_public_derivation_follows_private(seed: bytes, path: list[int]) -> None:
    private = ExtendedKey.from_seed(seed, "test")
    public = private.to_public()
    for number in path:
        private, public = private.child(number), public.child(number)
    assert private.to_public() == public
    assert ExtendedKey.parse(str(private)) == private
    assert str(private).startswith("tprv")
    assert not public.is_private


def test_bip32_refusals() -> None:
    master = ExtendedKey.from_seed(SEED)
    with pytest.raises(DerivationError, match="public"):
        master.to_public().child(HARDENED)
    for path in ("m/", "m/x", "m/-1", "m/2147483648", "m//1", "m/1''", "m/" + "/".join(["0"] * 256)):
        with pytest.raises(ParseError):
            parse_path(path)
    assert parse_path("44'/0h/1") == [44 + HARDENED, HARDENED, 1]
    assert parse_path("m") == []
    for size in (0, 15, 65):
        with pytest.raises(ValueError, match="16 to 64"):
            ExtendedKey.from_seed(bytes(size))
    with pytest.raises(ValueError, match="32-bit"):
        master.child(-1)
    with pytest.raises(DerivationError, match="255"):
        ExtendedKey(master.key, master.chain_code, 255).child(0)


@pytest.mark.parametrize(
    "text",  # BIP-32 test vector 5
    [
        "xpub661MyMwAqRbcEYS8w7XLSVeEsBXy79zSzH1J8vCdxAZningWLdN3zgtU6LBpB85b3D2yc8sfvZU521AAwdZafEz7mnzBBsz4wKY5fTtTQBm",
        "xprv9s21ZrQH143K24Mfq5zL5MhWK9hUhhGbd45hLXo2Pq2oqzMMo63oStZzFGTQQD3dC4H2D5GBj7vWvSQaaBv5cxi9gafk7NF3pnBju6dwKvH",
        "xpub661MyMwAqRbcEYS8w7XLSVeEsBXy79zSzH1J8vCdxAZningWLdN3zgtU6Txnt3siSujt9RCVYsx4qHZGc62TG4McvMGcAUjeuwZdduYEvFn",
        "xprv9s21ZrQH143K24Mfq5zL5MhWK9hUhhGbd45hLXo2Pq2oqzMMo63oStZzFGpWnsj83BHtEy5Zt8CcDr1UiRXuWCmTQLxEK9vbz5gPstX92JQ",
        "xprv9s2SPatNQ9Vc6GTbVMFPFo7jsaZySyzk7L8n2uqKXJen3KUmvQNTuLh3fhZMBoG3G4ZW1N2kZuHEPY53qmbZzCHshoQnNf4GvELZfqTUrcv",
        "xprv9s21ZrQH4r4TsiLvyLXqM9P7k1K3EYhA1kkD6xuquB5i39AU8KF42acDyL3qsDbU9NmZn6MsGSUYZEsuoePmjzsB3eFKSUEh3Gu1N3cqVUN",
        "DMwo58pR1QLEFihHiXPVykYB6fJmsTeHvyTp7hRThAtCX8CvYzgPcn8XnmdfHGMQzT7ayAmfo4z3gY5KfbrZWZ6St24UVf2Qgo6oujFktLHdHY4",
        "xprv9s21ZrQH143K24Mfq5zL5MhWK9hUhhGbd45hLXo2Pq2oqzMMo63oStZzF93Y5wvzdUayhgkkFoicQZcP3y52uPPxFnfoLZB21Teqt1VvEHx",
        "xprv9s21ZrQH143K24Mfq5zL5MhWK9hUhhGbd45hLXo2Pq2oqzMMo63oStZzFAzHGBP2UuGCqWLTAPLcMtD5SDKr24z3aiUvKr9bJpdrcLg1y3G",
        "xpub661MyMwAqRbcEYS8w7XLSVeEsBXy79zSzH1J8vCdxAZningWLdN3zgtU6Q5JXayek4PRsn35jii4veMimro1xefsM58PgBMrvdYre8QyULY",
        "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHL",
    ],
)
def test_malformed_extended_keys(text: str) -> None:
    with pytest.raises(ParseError) as error:
        ExtendedKey.parse(text)
    assert text[10:40] not in str(error.value)


def test_extended_keys_do_not_print_themselves() -> None:
    key = ExtendedKey.from_seed(SEED)
    assert key.private_key.to_hex() not in repr(key)
    assert key.chain_code.hex() not in repr(key)
    with pytest.raises(TypeError):
        hash(key)


# ---------------------------------------------------------------- BIP-39


def test_bip39_vectors() -> None:
    phrase = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    assert bip39.from_entropy(b"\x7f" * 16) == phrase
    assert bip39.to_entropy(phrase) == b"\x7f" * 16
    assert bip39.to_seed(phrase, "TREZOR").hex() == (
        "2e8905819b8723fe2c1d161860e5ee1830318dbf49a83bd451cfb8440c28bd6f"
        "a457fe1296106559a3c80937a1c1069be3a3a5bd381ee6260e8d9739fce1f607"
    )


@pytest.mark.parametrize("words", [12, 15, 18, 21, 24])
def test_phrases_round_trip(words: int) -> None:
    phrase = bip39.generate(words)
    assert len(phrase.split()) == words
    assert bip39.from_entropy(bip39.to_entropy(f"  {phrase.replace(' ', '  ')} ")) == phrase


def test_phrases_that_are_wrong() -> None:
    phrase = bip39.from_entropy(bytes(16))
    for wrong, why in (
        (phrase.replace("about", "abandon"), "checksum"),
        (phrase.replace("about", "abouts"), "word 12"),
        ("abandon", "1 words"),
        ("", "1 words"),
    ):
        with pytest.raises(ParseError, match=why) as error:
            bip39.to_seed(wrong)
        assert "abandon" not in str(error.value)
    with pytest.raises(ValueError, match="words"):
        bip39.generate(13)
    with pytest.raises(ValueError, match="bytes"):
        bip39.from_entropy(bytes(17))


# ---------------------------------------------------------------- messages


@given(st.binary(max_size=300), keys)
def test_bitcoin_signed_messages(message: bytes, key: PrivateKey) -> None:
    signature = bsm.sign(message, key)
    assert bsm.recover(message, signature) == key.public_key
    assert bsm.verify(message, signature, key.public_key)
    for chain in ("main", "test"):
        assert bsm.verify(message, signature, key.public_key.address(chain))
    assert not bsm.verify(message + b".", signature, key.public_key)
    assert not bsm.verify(message + b".", signature, key.public_key.address())


@pytest.mark.parametrize("signature", ["", "!!", "AAAA", bytes(65), b"\x1f" + bytes(64)])
def test_malformed_message_signatures(signature: str | bytes) -> None:
    with pytest.raises(ParseError):
        bsm.recover(b"text", signature)


@given(st.binary(max_size=100))
def test_brc77(message: bytes) -> None:
    for_anyone, for_bob = messages.sign(message, ALICE), messages.sign(message, ALICE, BOB.public_key)
    assert messages.verify(message, for_anyone) == ALICE.public_key
    assert messages.verify(message, for_anyone, CAROL) == ALICE.public_key
    assert messages.verify(message, for_bob, BOB) == ALICE.public_key
    assert messages.verify(message + b".", for_bob, BOB) is None
    for holder in (None, CAROL):
        with pytest.raises(InvalidOperation, match=BOB.public_key.to_hex()):
            messages.verify(message, for_bob, holder)


@given(st.binary(max_size=100))
def test_brc78(message: bytes) -> None:
    sealed = messages.encrypt(message, ALICE, BOB.public_key)
    assert messages.decrypt(sealed, BOB) == (message, ALICE.public_key)
    with pytest.raises(InvalidOperation):
        messages.decrypt(sealed, CAROL)
    with pytest.raises(DecryptionFailed):
        messages.decrypt(sealed[:-1] + bytes((sealed[-1] ^ 1,)), BOB)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_a_typed_error(data: bytes) -> None:
    heads = (
        b"",
        messages.SIGNED_VERSION,
        messages.ENCRYPTED_VERSION,
        messages.SIGNED_VERSION + ALICE.public_key.to_bytes(),
    )
    for head in heads:
        with pytest.raises((ParseError, InvalidOperation, DecryptionFailed)):
            messages.decrypt(head + data, BOB)
        try:
            assert messages.verify(b"text", head + data, BOB) is None
        except (ParseError, InvalidOperation):
            continue


# ---------------------------------------------------------------- ECIES


@given(st.binary(max_size=200), keys, keys)
def test_ecies(message: bytes, sender: PrivateKey, recipient: PrivateKey) -> None:
    named = ecies.electrum_encrypt(message, recipient.public_key, sender)
    assert ecies.electrum_decrypt(named, recipient) == message
    assert ecies.electrum_decrypt(named, recipient, sender.public_key) == message
    unnamed = ecies.electrum_encrypt(message, recipient.public_key, sender, with_key=False)
    assert ecies.electrum_decrypt(unnamed, recipient, sender.public_key) == message
    sealed = ecies.bitcore_encrypt(message, recipient.public_key, sender)
    assert ecies.bitcore_decrypt(sealed, recipient) == message
    for data, decrypt in ((named, ecies.electrum_decrypt), (sealed, ecies.bitcore_decrypt)):
        with pytest.raises(DecryptionFailed):
            decrypt(data[:-1] + bytes((data[-1] ^ 1,)), recipient)


def test_ecies_without_a_sender() -> None:
    first, second = (ecies.electrum_encrypt(b"text", BOB.public_key) for _ in range(2))
    assert first[4:37] != second[4:37]
    assert ecies.electrum_decrypt(first, BOB) == b"text"
    assert ecies.bitcore_decrypt(ecies.bitcore_encrypt(b"text", BOB.public_key), BOB) == b"text"
    with pytest.raises(DecryptionFailed):
        ecies.electrum_decrypt(ecies.electrum_encrypt(b"text", BOB.public_key, ALICE, with_key=False), BOB)
    with pytest.raises(DecryptionFailed):
        ecies.electrum_decrypt(first, BOB, ALICE.public_key)


@given(st.binary(max_size=150))
def test_any_bytes_are_no_ecies(data: bytes) -> None:
    for head in (b"", b"BIE1", b"BIE1" + ALICE.public_key.to_bytes(), ALICE.public_key.to_bytes()):
        for decrypt in (ecies.electrum_decrypt, ecies.bitcore_decrypt):
            with pytest.raises((ParseError, DecryptionFailed)):
                decrypt(head + data, BOB)


# ---------------------------------------------------------------- one-time passwords

RFC6238 = [
    (59, "94287082", "46119246", "90693936"),
    (1111111109, "07081804", "68084774", "25091201"),
    (1234567890, "89005924", "91819424", "93441116"),
    (20000000000, "65353130", "77737706", "47863826"),
]


@pytest.mark.parametrize(("time", "sha1", "sha256", "sha512"), RFC6238)
def test_rfc6238(time: int, sha1: str, sha256: str, sha512: str) -> None:
    digits = b"1234567890" * 7
    assert totp.generate(digits[:20], time, digits=8) == sha1
    assert totp.generate(digits[:32], time, digits=8, algorithm="SHA-256") == sha256
    assert totp.generate(digits[:64], time, digits=8, algorithm="SHA-512") == sha512


def test_totp_validation() -> None:
    secret = b"secret"
    code = totp.generate(secret, 1000.0, digits=6)
    assert all(totp.validate(secret, f" {code} ", 1000 + step, digits=6) for step in (-30, 0, 30))
    assert not any(totp.validate(secret, code, 1000 + step, digits=6) for step in (-61, 70))
    assert not totp.validate(secret, code, 1030, digits=6, skew=0)
    assert not totp.validate(secret, code[:-1], 1000, digits=6)
    assert totp.validate(secret, totp.generate(secret, 0), 5)
    with pytest.raises(ValueError, match="digits"):
        totp.generate(secret, 0, digits=11)


# ---------------------------------------------------------------- backup shares


@settings(max_examples=30)
@given(keys, st.integers(2, 5), st.integers(0, 3))
def test_any_threshold_of_shares_gives_the_key(key: PrivateKey, threshold: int, spare: int) -> None:
    texts = shamir.to_backup_shares(key, threshold, threshold + spare)
    for chosen in itertools.combinations(texts, threshold):
        assert shamir.from_backup_shares(chosen) == key
    assert shamir.from_backup_shares(texts) == key
    with pytest.raises(ParseError, match="needed"):
        shamir.from_backup_shares(texts[: threshold - 1])


def test_shares_that_do_not_belong_together() -> None:
    one, other = shamir.to_backup_shares(ALICE, 2, 3), shamir.to_backup_shares(BOB, 2, 3)
    again = shamir.to_backup_shares(ALICE, 2, 3)
    for shares, why in (
        ([one[0], other[0]], "one set"),
        ([one[0], one[0]], "twice"),
        ([one[0], again[1]], "belong"),
        ([], "none"),
    ):
        with pytest.raises(ParseError, match=why):
            shamir.from_backup_shares(shares)


@pytest.mark.parametrize(
    "text",
    ["", "a.b.c", "1.2.3.4", "2.2.1.35449bb9", "2.2.x.35449bb9", "2.2.2.35449bbx", "1.2.2.35449bb9", "0.2.2.35449bb9"],
)
def test_malformed_shares(text: str) -> None:
    with pytest.raises(ParseError):
        shamir.Share.parse(text)


def test_shares_do_not_print_themselves() -> None:
    share = shamir.split(ALICE, 2, 2)[0]
    assert str(share.y) not in repr(share)
    assert repr(share).startswith("Share(hidden")
    assert shamir.Share.parse(str(share)) == share


def test_impossible_splits() -> None:
    for threshold, total in ((1, 2), (3, 2), (2, 256)):
        with pytest.raises(ValueError, match="shares"):
            shamir.split(ALICE, threshold, total)


def test_the_references_example() -> None:
    shares = [
        "3znuzt7DZp8HzZTfTh5MF9YQKNX3oSxTbSYmSRGrH2ev.2Nm17qoocmoAhBTCs8TEBxNXCskV9N41rB2PckcgYeqV.2.35449bb9",
        "Cm5fuUc39X5xgdedao8Pr1kvCSm8Gk7Cfenc7xUKcfLX.2juyK9BxCWn2DiY5JUAgj9NsQ77cc9bWksFyW45haXZm.2.35449bb9",
    ]
    key = shamir.from_backup_shares(shares)
    assert key.public_key.hash160().hex().startswith("35449bb9")
    assert [str(shamir.Share.parse(text)) for text in shares] == shares


# ---------------------------------------------------------------- BIP-276


@given(st.binary(max_size=60), st.integers(1, 255), st.integers(1, 255))
def test_bip276(data: bytes, network: int, version: int) -> None:
    made = Bip276(data, "bitcoin-template", network, version)
    assert Bip276.parse(str(made)) == made


@pytest.mark.parametrize(
    "text", ["", "x:0101", "bitcoin-script:0001aa00000000", "bitcoin-script:01010000000g", ":0101aaaaaaaa"]
)
def test_malformed_bip276(text: str) -> None:
    with pytest.raises(ParseError):
        Bip276.parse(text)
    with pytest.raises(ValueError, match="1 to 255"):
        str(Bip276(b"", network=256))


def test_public_keys_stay_public() -> None:
    assert isinstance(ExtendedKey.from_seed(SEED).to_public().key, PublicKey)
