"""The published vectors for keys: brc100 crypto calls, BRC-29 derivation, sdk/keys."""

from __future__ import annotations

from typing import Any

import pytest

from sdk.core.errors import InvalidPublicKey, SdkError
from sdk.wallet.keys import Address, KeyDeriver, PrivateKey, ProtoWallet, PublicKey, curve
from sdk.wallet.keys.derivation import derive_private_child, derive_public_child
from sdk.wallet.keys.errors import InvalidPrivateKey
from support.corpus import cases, present, rows

# The corpus tells errors by the reference's English sentences; these words of ours carry the same cause.
CAUSES = {
    "Protocol names must be 5 characters or more": "5 to 400 characters",
    "Protocol names can only contain letters, numbers and spaces": "letters a to z, digits and single spaces",
    "Counterparty secrets cannot be revealed for counterparty=self.": "counterparty",
    "Invalid hex string": "counterparty",
    "Signature is not valid": "signature",
}


def arguments(vector: dict[str, Any]) -> tuple[ProtoWallet, dict[str, Any]]:
    given = dict(vector["input"]["args"])
    if isinstance(given.get("data"), str):
        given["data"] = given["data"].encode()
    return ProtoWallet(PrivateKey.from_hex(vector["input"]["root_key"])), given


def assert_refused(error: pytest.ExceptionInfo[SdkError], expected: dict[str, Any]) -> None:
    if "code" in expected:
        assert error.value.code == expected["code"]
    if "message" in expected:
        assert CAUSES[expected["message"]] in str(error.value)


async def run(vector: dict[str, Any], method: str) -> None:
    wallet, given = arguments(vector)
    expected = vector["expected"]
    if expected.get("error"):
        with pytest.raises(SdkError) as error:
            await getattr(wallet, method)(given)
        assert_refused(error, expected)
    else:
        assert (await getattr(wallet, method)(given)).to_wire() == expected


@pytest.mark.parametrize("vector", cases("brc", "wallet", "brc100", "getpublickey.json"))
async def test_get_public_key(vector: dict[str, Any] | None) -> None:
    await run(present(vector), "get_public_key")


@pytest.mark.parametrize("vector", cases("brc", "wallet", "brc29", "payment-derivation.json"))
async def test_brc29_payment_derivation(vector: dict[str, Any] | None) -> None:
    await run(present(vector), "get_public_key")


@pytest.mark.parametrize("vector", cases("brc", "wallet", "brc100", "createhmac.json"))
async def test_create_hmac(vector: dict[str, Any] | None) -> None:
    await run(present(vector), "create_hmac")


@pytest.mark.parametrize("vector", cases("brc", "wallet", "brc100", "verifyhmac.json"))
async def test_verify_hmac(vector: dict[str, Any] | None) -> None:
    await run(present(vector), "verify_hmac")


@pytest.mark.parametrize("vector", cases("brc", "wallet", "brc100", "createsignature.json"))
async def test_create_signature(vector: dict[str, Any] | None) -> None:
    await run(present(vector), "create_signature")


@pytest.mark.parametrize("vector", cases("brc", "wallet", "brc100", "verifysignature.json"))
async def test_verify_signature(vector: dict[str, Any] | None) -> None:
    await run(present(vector), "verify_signature")


@pytest.mark.parametrize("vector", cases("brc", "wallet", "brc100", "decrypt.json"))
async def test_decrypt(vector: dict[str, Any] | None) -> None:
    await run(present(vector), "decrypt")


@pytest.mark.parametrize("vector", cases("brc", "wallet", "brc100", "encrypt.json"))
async def test_encrypt(vector: dict[str, Any] | None) -> None:
    """The IV is random, so: the recorded ciphertext opens to the text, and so does ours."""
    vector = present(vector)
    wallet, given = arguments(vector)
    plaintext = given.pop("data")
    if vector["expected"].get("error"):
        with pytest.raises(SdkError) as error:
            await wallet.encrypt({**given, "plaintext": plaintext})
        assert_refused(error, vector["expected"])
        return
    ours = (await wallet.encrypt({**given, "plaintext": plaintext})).ciphertext
    assert len(ours) == len(plaintext) + 48
    assert (await wallet.decrypt({**given, "ciphertext": ours})).plaintext == plaintext
    recorded = vector["expected"]["ciphertext"]
    opened = (await wallet.decrypt({**given, "ciphertext": recorded})).plaintext
    # The recorder passed `data`, which encrypt does not know, so it encrypted nothing.
    assert opened in (plaintext, b"")


@pytest.mark.parametrize("vector", cases("brc", "wallet", "brc100", "revealcounterpartykeylinkage.json"))
async def test_reveal_counterparty_key_linkage(vector: dict[str, Any] | None) -> None:
    vector = present(vector)
    wallet, given = arguments(vector)
    with pytest.raises(SdkError) as error:
        await wallet.reveal_counterparty_key_linkage({**given, "verifier": wallet.identity_key})
    assert_refused(error, vector["expected"])


@pytest.mark.parametrize("vector", cases("brc", "wallet", "brc100", "revealspecifickeylinkage.json"))
async def test_reveal_specific_key_linkage(vector: dict[str, Any] | None) -> None:
    """The recorder named no verifier: its own key stood in (the default ``self``), and so it does here."""
    vector = present(vector)
    wallet, given = arguments(vector)
    expected = vector["expected"]
    request = {**given, "verifier": wallet.identity_key}
    if expected.get("error"):
        with pytest.raises(SdkError) as error:
            await wallet.reveal_specific_key_linkage(request)
        assert_refused(error, expected)
        return
    result = (await wallet.reveal_specific_key_linkage(request)).to_wire()
    assert {name: result[name] for name in ("prover", "counterparty", "protocolID", "keyID", "proofType")} == {
        name: expected[name] for name in ("prover", "counterparty", "protocolID", "keyID", "proofType")
    }
    level, name = given["protocolID"]
    key = {"protocolID": [2, f"specific linkage revelation {level} {name}"], "keyID": given["keyID"]}
    for member in ("encryptedLinkage", "encryptedLinkageProof"):
        ours = await wallet.decrypt({**key, "ciphertext": result[member]})
        recorded = await wallet.decrypt({**key, "ciphertext": expected[member]})
        assert ours == recorded


@pytest.mark.parametrize("vector", cases("brc", "sdk", "keys", "key-derivation.json"))
def test_key_derivation(vector: dict[str, Any] | None) -> None:
    run_key_vector(present(vector))


@pytest.mark.parametrize("vector", cases("brc", "sdk", "keys", "private-key.json"))
def test_private_key(vector: dict[str, Any] | None) -> None:
    run_key_vector(present(vector))


@pytest.mark.parametrize("vector", cases("brc", "sdk", "keys", "public-key.json"))
def test_public_key(vector: dict[str, Any] | None) -> None:
    run_key_vector(present(vector))


def run_key_vector(vector: dict[str, Any]) -> None:
    given, expected = vector["input"], vector["expected"]
    checked = False
    if "recipient_private_key_hex" in given:
        recipient = PrivateKey.from_hex(given["recipient_private_key_hex"])
        sender = PublicKey.from_hex(given["sender_public_key_hex"])
        child = derive_private_child(recipient, sender, given["invoice_number"])
        assert child.to_hex() == expected["derived_private_key_hex"]
        return
    if "sender_private_key_hex" in given:
        payer = PrivateKey.from_hex(given["sender_private_key_hex"])
        payee = PublicKey.from_hex(given["recipient_public_key_hex"])
        derived = derive_public_child(payer, payee, given["invoice_number"])
        assert derived.to_hex() == expected["derived_public_key_hex"]
        return
    if "constructor_arg" in given or given.get("operation") == "direct_constructor":
        text = given.get("constructor_arg") or given["pubkey_der_hex"]
        with pytest.raises(InvalidPublicKey):
            PublicKey(text)
        return
    if "pubkey_x" in given:
        x, y = given["pubkey_x"].to_bytes(32, "big"), given["pubkey_y"].to_bytes(32, "big")
        with pytest.raises(InvalidPublicKey):
            PublicKey.from_any_encoding(b"\x04" + x + y)
        return
    if "pubkey_der_hex" in given:
        assert PublicKey.from_hex(given["pubkey_der_hex"]).to_hex() == expected["pubkey_der_hex_roundtrip"]
        return
    key = PrivateKey.from_wif(given["wif"]) if "wif" in given else PrivateKey.from_hex(given["privkey_hex"])
    for name, value in (
        ("privkey_hex_roundtrip", key.to_hex()),
        ("privkey_hex", key.to_hex()),
        ("pubkey_hex", key.public_key.to_hex()),
        ("pubkey_der_hex", key.public_key.to_hex()),
        ("der_length_bytes", len(key.public_key.to_bytes())),
        ("pubkey_der_length_bytes", len(key.public_key.to_bytes())),
        ("pubkey_der_hex_length_chars", len(key.public_key.to_hex())),
    ):
        if name in expected:
            assert expected[name] == value
            checked = True
    assert checked


@pytest.mark.parametrize("vector", cases("brc", "regressions", "privatekey-modular-reduction.json", listed=True))
def test_out_of_range_scalars_are_refused(vector: dict[str, Any] | None) -> None:
    """The vectors that want reduction stand in the ledger; here they show that nothing is reduced."""
    scalar = present(vector)["input"]["scalar_hex"]
    if 0 < int(scalar, 16) < curve.ORDER:
        assert PrivateKey.from_hex(scalar).to_wif() == present(vector)["expected"]["wif"]
        return
    with pytest.raises(InvalidPrivateKey):
        PrivateKey.from_hex(scalar)


@pytest.mark.parametrize("name", ["alice", "bob", "charlie"])
def test_users(name: str) -> None:
    user = rows("universal", "user", f"{name}.json")
    key = PrivateKey.from_hex(user["private_key"])
    assert key.public_key.to_hex() == KeyDeriver(key).identity_key == user["public_key"]
    assert key.public_key.address() == user["address"]
    assert Address.parse(user["address"]).public_key_hash == key.public_key.hash160()
