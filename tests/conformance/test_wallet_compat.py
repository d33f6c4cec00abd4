"""The published vectors for older formats: ECIES, Bitcoin signed messages, BIP-276."""

from __future__ import annotations

from typing import Any

import pytest

from sdk.core.encodings import hash256
from sdk.core.errors import DecryptionFailed, ParseError
from sdk.wallet.keys import PrivateKey, PublicKey, curve
from sdk.wallet.keys.compat import bsm, ecies
from sdk.wallet.keys.compat.bip276 import Bip276
from sdk.wallet.keys.signature import CompactSignature, decode_der
from support.corpus import cases, present


@pytest.mark.parametrize("vector", cases("brc", "sdk", "crypto", "ecies.json"))
def test_ecies(vector: dict[str, Any] | None) -> None:
    vector = present(vector)
    given, expected = vector["input"], vector["expected"]
    if given.get("no_key"):
        symmetric_without_a_key(given, expected)
        return
    recipient = PrivateKey.from_hex(given["recipient_private_key"])
    if "tampered_ciphertext_hex" in given:
        assert expected["throws"] is True
        with pytest.raises(DecryptionFailed):
            ecies.electrum_decrypt(bytes.fromhex(given["tampered_ciphertext_hex"]), recipient)
        return
    sealed = bytes.fromhex(given.get("ciphertext_hex") or expected["ciphertext_hex"])
    opened = ecies.electrum_decrypt(sealed, recipient)
    assert len(opened) == expected.get("decrypted_message_length_bytes", len(opened))
    assert opened.hex() == expected.get("decrypted_message", given.get("message"))
    if "sender_private_key" in given:
        sender, message = PrivateKey.from_hex(given["sender_private_key"]), bytes.fromhex(given["message"])
        assert sender.public_key.to_hex() == given["sender_public_key"]
        assert ecies.electrum_encrypt(message, recipient.public_key, sender) == sealed


def symmetric_without_a_key(given: dict[str, Any], expected: dict[str, Any]) -> None:
    alice, bob = (PrivateKey.from_hex(given[f"{name}_private_key"]) for name in ("alice", "bob"))
    message = bytes.fromhex(given["message"])
    sealed = ecies.electrum_encrypt(message, bob.public_key, alice, with_key=False)
    assert expected["ciphertext_symmetric"] is True
    assert sealed == ecies.electrum_encrypt(message, alice.public_key, bob, with_key=False)
    assert ecies.electrum_decrypt(sealed, bob, alice.public_key).decode() == expected["decrypted_message_utf8"]
    assert ecies.electrum_decrypt(sealed, alice, bob.public_key).decode() == expected["decrypted_message_utf8"]


@pytest.mark.parametrize("vector", cases("brc", "sdk", "compat", "bsm.json"))
def test_signed_messages(vector: dict[str, Any] | None) -> None:
    vector = present(vector)
    given, expected = vector["input"], vector["expected"]
    message = bytes.fromhex(given["message_hex"])
    checked = 0
    if "magic_hash_hex" in expected or "magic_hash_hex" in given:
        assert bsm.magic_hash(message).hex() == expected.get("magic_hash_hex", given.get("magic_hash_hex"))
        checked += 1
    if "base64_compact_sig" in expected:
        key = PrivateKey.from_wif(given["privkey_wif"])
        assert bsm.sign(message, key) == expected["base64_compact_sig"]
        assert bsm.verify(message, expected["base64_compact_sig"], key.public_key)
        assert bsm.verify(message, expected["base64_compact_sig"], key.public_key.address())
        checked += 1
    if "der_hex" in given and "valid" in expected:
        r, s = decode_der(bytes.fromhex(given["der_hex"]))
        compact = r.to_bytes(32, "big") + s.to_bytes(32, "big")
        point = PublicKey.from_hex(given["pubkey_hex"]).point
        assert curve.verify_compact(point, compact, bsm.magic_hash(message)) is expected["valid"]
        checked += 1
    if "recovery_factor" in expected:
        signature = bytes.fromhex(given["compact_sig_hex"])
        assert CompactSignature.from_bytes(signature).recovery == expected["recovery_factor"]
        assert bsm.recover(message, signature).to_hex() == expected["recovered_pubkey_hex"]
        checked += 1
    assert checked


@pytest.mark.parametrize("vector", cases("brc", "regressions", "bip276-hex-decode.json"))
def test_bip276(vector: dict[str, Any] | None) -> None:
    vector = present(vector)
    given, expected = vector["input"], vector["expected"]
    if given["operation"] == "DecodeBIP276":
        found = Bip276.parse(given["bip276_string"])
        assert found == (
            bytes.fromhex(expected["data_hex"]),
            expected["prefix"],
            expected["network"],
            expected["version"],
        )
        assert str(found) == given["bip276_string"]
        return
    made = Bip276(bytes.fromhex(given["data_hex"]), given["prefix"], given["network"], given["version"])
    back = Bip276.parse(str(made))
    assert (back.network, back.version, back.data.hex()) == (
        expected["round_trip_network"],
        expected["round_trip_version"],
        expected["round_trip_data_hex"],
    )


def test_bip276_checksum() -> None:
    letters = "bitcoin-script:ff01737472696e679a17d8e7"
    assert Bip276.parse(letters) == (b"string", "bitcoin-script", 255, 1)
    assert str(Bip276.parse(letters)) == letters
    good = str(Bip276(b"data"))
    assert good.endswith(hash256(good[:-8].encode())[:4].hex())
    with pytest.raises(ParseError, match="checksum"):
        Bip276.parse(good[:-1] + ("0" if good[-1] != "0" else "1"))
