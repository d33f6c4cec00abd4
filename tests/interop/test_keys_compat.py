"""Older formats, against @bsv/sdk on random values: what each writes the other reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdk.wallet.keys import PrivateKey, PublicKey, curve
from sdk.wallet.keys.compat import bip39, bsm, ecies, messages, shamir, totp
from sdk.wallet.keys.compat.bip32 import ExtendedKey
from support.peers import Peer

if TYPE_CHECKING:
    from collections.abc import Iterator

some = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
keys = st.integers(1, curve.ORDER - 1).map(PrivateKey.from_int)
texts = st.binary(min_size=1, max_size=80)


@pytest.fixture(scope="module")
def node() -> Iterator[Peer]:
    with Peer.node("keys_wallet") as peer:
        yield peer


@pytest.fixture(scope="module")
def python() -> Iterator[Peer]:
    with Peer.python("keys_wallet") as peer:
        yield peer


@some
@given(keys, texts)
def test_bitcoin_signed_messages(node: Peer, key: PrivateKey, message: bytes) -> None:
    assert node.call("bsm_sign", root=key.to_hex(), message=message.hex()) == bsm.sign(message, key)
    der = bsm.parse(bsm.sign(message, key)).to_der()
    assert node.call("bsm_verify", public_key=key.public_key.to_hex(), message=message.hex(), der=der.hex())


@some
@given(keys, keys, texts)
def test_electrum_ecies(node: Peer, sender: PrivateKey, recipient: PrivateKey, message: bytes) -> None:
    for no_key in (False, True):
        ours = ecies.electrum_encrypt(message, recipient.public_key, sender, with_key=not no_key)
        request: dict[str, Any] = {"to": recipient.public_key.to_hex(), "from": sender.to_hex()}
        assert node.call("electrum_encrypt", message=message.hex(), no_key=no_key, **request) == ours.hex()
    named = ecies.electrum_encrypt(message, recipient.public_key, sender)
    assert bytes.fromhex(node.call("electrum_decrypt", data=named.hex(), to=recipient.to_hex())) == message


@some
@given(keys, keys, texts, st.binary(min_size=16, max_size=16))
def test_bitcore_ecies(node: Peer, sender: PrivateKey, recipient: PrivateKey, message: bytes, iv: bytes) -> None:
    ours = ecies.bitcore_encrypt(message, recipient.public_key, sender, entropy=lambda size: iv[:size])
    request: dict[str, Any] = {"to": recipient.public_key.to_hex(), "from": sender.to_hex(), "iv": iv.hex()}
    theirs = node.call("bitcore_encrypt", message=message.hex(), **request)
    assert ecies.bitcore_decrypt(bytes.fromhex(theirs), recipient) == message
    assert theirs == ours.hex()


@some
@given(keys, keys, texts)
def test_brc77(node: Peer, signer: PrivateKey, verifier: PrivateKey, message: bytes) -> None:
    for addressed in (None, verifier):
        public = None if addressed is None else addressed.public_key
        ours = messages.sign(message, signer, public)
        recipient = None if addressed is None else addressed.to_hex()
        assert node.call("message_verify", message=message.hex(), signature=ours.hex(), recipient=recipient)
        theirs = node.call(
            "message_sign",
            message=message.hex(),
            signer=signer.to_hex(),
            verifier=None if public is None else public.to_hex(),
        )
        assert messages.verify(message, bytes.fromhex(theirs), addressed) == signer.public_key


@some
@given(keys, keys, texts)
def test_brc78(node: Peer, sender: PrivateKey, recipient: PrivateKey, message: bytes) -> None:
    ours = messages.encrypt(message, sender, recipient.public_key)
    assert bytes.fromhex(node.call("message_decrypt", message=ours.hex(), recipient=recipient.to_hex())) == message
    theirs = node.call(
        "message_encrypt", message=message.hex(), sender=sender.to_hex(), recipient=recipient.public_key.to_hex()
    )
    assert messages.decrypt(bytes.fromhex(theirs), recipient) == (message, sender.public_key)


@some
@given(st.binary(min_size=1, max_size=60), st.integers(0, 2**33), st.sampled_from(["SHA-1", "SHA-256", "SHA-512"]))
def test_totp(node: Peer, secret: bytes, time: int, algorithm: totp.Algorithm) -> None:
    theirs = node.call("totp", secret=secret.hex(), digits=6, algorithm=algorithm, period=30, timestamp=time * 1000)
    assert theirs.zfill(6) == totp.generate(secret, time, digits=6, algorithm=algorithm)


@some
@given(keys, st.integers(2, 4), st.integers(0, 2))
def test_backup_shares(node: Peer, python: Peer, key: PrivateKey, threshold: int, spare: int) -> None:
    total = threshold + spare
    ours = shamir.to_backup_shares(key, threshold, total)
    for peer in (node, python):
        assert peer.call("from_shares", shares=ours[:threshold]) == key.to_hex()
        theirs = peer.call("shares", root=key.to_hex(), threshold=threshold, total=total)
        assert shamir.from_backup_shares(theirs[-threshold:]) == key


@some
@given(st.sampled_from([16, 20, 24, 28, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size)))
def test_phrases_and_hierarchical_keys(node: Peer, entropy: bytes) -> None:
    phrase = bip39.from_entropy(entropy)
    assert node.call("phrase", entropy=entropy.hex()) == phrase
    seed = bip39.to_seed(phrase, "a passphrase")
    assert node.call("seed", phrase=phrase, passphrase="a passphrase") == seed.hex()
    path = "m/44'/236'/0'/1/7"
    ours = ExtendedKey.from_seed(seed).derive(path)
    assert node.call("extended", seed=seed.hex(), path=path) == {"xprv": str(ours), "xpub": str(ours.to_public())}
    theirs = node.call("extended_public", xpub=str(ours.to_public()), path="m/3/4")
    assert theirs == str(ours.to_public().derive("m/3/4"))
    assert isinstance(ours.public_key, PublicKey)
