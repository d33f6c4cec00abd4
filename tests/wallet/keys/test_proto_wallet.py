"""BRC-100 calls 8 to 16 and the operations beneath."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.errors import (
    DecryptionFailed,
    InvalidHmac,
    InvalidOperation,
    InvalidParameter,
    InvalidSignature,
    WalletError,
)
from sdk.wallet.keys import ANYONE, KeyDeriver, PrivateKey, ProtoWallet, SymmetricKey, operations
from sdk.wallet.keys.hashes import sha256
from sdk.wallet.keys.linkage import PROOF_SIZE, prove_linkage, verify_linkage

ALICE, BOB, CAROL = (ProtoWallet(PrivateKey.from_int(number)) for number in (101, 202, 303))
PROTOCOL = [2, "tests of wallets"]


def key(counterparty: str | None = None) -> dict[str, object]:
    given: dict[str, object] = {"protocolID": PROTOCOL, "keyID": "1"}
    return {**given, "counterparty": counterparty} if counterparty else given


async def test_what_one_encrypts_the_other_reads() -> None:
    sealed = await ALICE.encrypt({**key(BOB.identity_key), "plaintext": [1, 2, 3]})
    opened = await BOB.decrypt({**key(ALICE.identity_key), "ciphertext": sealed.ciphertext})
    assert opened.plaintext == b"\1\2\3"
    with pytest.raises(DecryptionFailed):
        await CAROL.decrypt({**key(ALICE.identity_key), "ciphertext": sealed.ciphertext})


async def test_each_encryption_has_an_iv_of_its_own() -> None:
    sealed = {(await ALICE.encrypt({**key(), "plaintext": b"same"})).ciphertext for _ in range(20)}
    assert len({each[:32] for each in sealed}) == 20


@given(st.binary(max_size=200), st.integers(0, 10_000))
def test_altered_ciphertext_is_refused(plaintext: bytes, position: int) -> None:
    secret = SymmetricKey(sha256(b"key"))
    sealed = secret.encrypt(plaintext)
    assert secret.decrypt(sealed) == plaintext
    index = position % len(sealed)
    with pytest.raises(DecryptionFailed):
        secret.decrypt(sealed[:index] + bytes((sealed[index] ^ 1,)) + sealed[index + 1 :])


@pytest.mark.parametrize("size", [0, 31, 47])
def test_short_ciphertext_is_refused(size: int) -> None:
    with pytest.raises(DecryptionFailed, match="at least 48"):
        SymmetricKey(sha256(b"key")).decrypt(bytes(size))


def test_symmetric_keys_have_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SymmetricKey(b"short")


async def test_hmac() -> None:
    made = await ALICE.create_hmac({**key(BOB.identity_key), "data": b"text"})
    request = {**key(ALICE.identity_key), "data": b"text", "hmac": made.hmac}
    assert (await BOB.verify_hmac(request)).to_wire() == {"valid": True}
    for wrong in (made.hmac[:-1], made.hmac + b"\0", bytes(32), b""):
        with pytest.raises(InvalidHmac) as error:
            await BOB.verify_hmac({**request, "hmac": wrong})
        assert error.value.to_wire() == {
            "isError": True,
            "name": "ERR_INVALID_HMAC",
            "message": error.value.message,
            "code": 3,
        }


async def test_signatures_for_anyone_self_and_one_another() -> None:
    public = await ALICE.create_signature({**key(), "data": b"text"})
    everyone = ProtoWallet(ANYONE)
    await everyone.verify_signature({**key(ALICE.identity_key), "data": b"text", "signature": public.signature})

    private = await ALICE.create_signature({**key(BOB.identity_key), "data": b"text"})
    request = {**key(ALICE.identity_key), "data": b"text", "signature": private.signature}
    assert (await BOB.verify_signature(request)).valid is True
    await ALICE.verify_signature({**request, **key(BOB.identity_key), "forSelf": True})
    with pytest.raises(InvalidSignature) as error:
        await CAROL.verify_signature(request)
    assert error.value.to_wire()["code"] == 4


async def test_a_digest_may_be_signed_directly() -> None:
    signed = await ALICE.create_signature({**key(BOB.identity_key), "hashToDirectlySign": list(sha256(b"text"))})
    request = {**key(ALICE.identity_key), "signature": signed.signature}
    await BOB.verify_signature({**request, "data": b"text"})
    await BOB.verify_signature({**request, "hashToDirectlyVerify": sha256(b"text")})


async def test_a_high_s_is_no_signature() -> None:
    from sdk.wallet.keys import curve
    from sdk.wallet.keys.signature import decode_der, encode_der

    signed = await ALICE.create_signature({**key(BOB.identity_key), "data": b"text"})
    r, s = decode_der(signed.signature)
    high = encode_der(r, curve.ORDER - s)
    with pytest.raises(InvalidSignature):
        await BOB.verify_signature({**key(ALICE.identity_key), "data": b"text", "signature": high})


async def test_either_data_or_digest() -> None:
    with pytest.raises(InvalidParameter, match="data"):
        await ALICE.create_signature(key())
    with pytest.raises(InvalidParameter, match="hashToDirectlySign"):
        await ALICE.create_signature({**key(), "data": b"", "hashToDirectlySign": bytes(32)})
    with pytest.raises(InvalidParameter, match="hashToDirectlyVerify"):
        await ALICE.verify_signature({**key(), "signature": b"", "hashToDirectlyVerify": bytes(31)})
    with pytest.raises(InvalidParameter, match="hashToDirectlySign"):
        operations.create_signature(ALICE.key_deriver, protocol_id=(2, "tests"), key_id="1", digest=bytes(33))


async def test_get_public_key() -> None:
    assert (await ALICE.get_public_key({"identityKey": True})).public_key == ALICE.identity_key
    default = await ALICE.get_public_key(key())
    assert default == await ALICE.get_public_key(key("self"))
    theirs = await ALICE.get_public_key(key(BOB.identity_key))
    assert theirs == await BOB.get_public_key({**key(ALICE.identity_key), "forSelf": True})
    for missing in ("protocolID", "keyID"):
        with pytest.raises(WalletError, match=missing):
            await ALICE.get_public_key({name: value for name, value in key().items() if name != missing})


async def test_results_are_json() -> None:
    sealed = await ALICE.encrypt({**key(), "plaintext": b"text"})
    assert json.loads(json.dumps(sealed.to_wire()))["ciphertext"] == list(sealed.ciphertext)


async def test_counterparty_linkage_is_revealed_with_a_proof() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678_900, UTC)
    prover = ProtoWallet(PrivateKey.from_int(101), clock=lambda: moment)
    revealed = await prover.reveal_counterparty_key_linkage(
        {"counterparty": BOB.identity_key, "verifier": CAROL.identity_key}
    )
    assert revealed.revelation_time == "2026-01-02T03:04:05.678Z"
    assert revealed.prover == prover.identity_key
    name = {"protocolID": [2, "counterparty linkage revelation"], "keyID": revealed.revelation_time}
    name["counterparty"] = prover.identity_key
    linkage = (await CAROL.decrypt({**name, "ciphertext": revealed.encrypted_linkage})).plaintext
    proof = (await CAROL.decrypt({**name, "ciphertext": revealed.encrypted_linkage_proof})).plaintext
    assert linkage == BOB.key_deriver.root_key.shared_secret(prover.key_deriver.public_key)
    assert verify_linkage(prover.key_deriver.public_key, BOB.key_deriver.public_key, linkage, proof)
    with pytest.raises(DecryptionFailed):
        await BOB.decrypt({**name, "ciphertext": revealed.encrypted_linkage})


async def test_linkage_with_oneself_is_refused() -> None:
    with pytest.raises(InvalidOperation):
        await ALICE.reveal_counterparty_key_linkage(
            {"counterparty": ALICE.identity_key, "verifier": CAROL.identity_key}
        )
    with pytest.raises(InvalidParameter):
        await ALICE.reveal_counterparty_key_linkage({"counterparty": "self", "verifier": CAROL.identity_key})


async def test_specific_linkage_opens_that_key_and_no_other() -> None:
    revealed = await ALICE.reveal_specific_key_linkage({**key(BOB.identity_key), "verifier": CAROL.identity_key})
    name = {"protocolID": [2, "specific linkage revelation 2 tests of wallets"], "keyID": "1"}
    name["counterparty"] = ALICE.identity_key
    linkage = (await CAROL.decrypt({**name, "ciphertext": revealed.encrypted_linkage})).plaintext
    proof = (await CAROL.decrypt({**name, "ciphertext": revealed.encrypted_linkage_proof})).plaintext
    assert (revealed.proof_type, proof) == (0, b"\0")
    derived = ALICE.key_deriver.derive_public_key((2, "tests of wallets"), "1", BOB.identity_key)
    assert BOB.key_deriver.public_key.add(linkage) == derived


@given(st.integers(1, 2**64), st.integers(1, 2**64), st.integers(0, PROOF_SIZE * 8 - 1))
def test_a_linkage_proof_holds_for_its_own_values_only(one: int, other: int, bit: int) -> None:
    prover, counterparty = PrivateKey.from_int(one), PrivateKey.from_int(other).public_key
    linkage = prover.shared_secret(counterparty)
    proof = prove_linkage(prover, counterparty, linkage)
    assert len(proof) == PROOF_SIZE
    assert verify_linkage(prover.public_key, counterparty, linkage, proof)
    altered = bytearray(proof)
    altered[bit // 8] ^= 1 << bit % 8
    assert not verify_linkage(prover.public_key, counterparty, linkage, bytes(altered))
    stranger = PrivateKey.from_int(one + 1).public_key
    assert not verify_linkage(stranger, counterparty, linkage, proof)
    assert not verify_linkage(prover.public_key, counterparty, stranger.to_bytes(), proof)


def test_malformed_linkage_proofs_are_false() -> None:
    prover, counterparty = PrivateKey.from_int(5), PrivateKey.from_int(7).public_key
    linkage = prover.shared_secret(counterparty)
    for proof in (b"", bytes(98), bytes(66), bytes(99), linkage * 3):
        assert not verify_linkage(prover.public_key, counterparty, linkage, proof)
    assert not verify_linkage(prover.public_key, counterparty, bytes(33), prove_linkage(prover, counterparty, linkage))


def test_the_hmac_key_is_a_number_without_leading_zeros() -> None:
    """The reference writes the key as the shortest big-endian number; one key in 256 begins with a zero byte."""
    import hmac

    deriver = KeyDeriver(PrivateKey.from_int(9))
    key_id = next(
        text
        for text in map(str, range(100_000))
        if deriver.derive_symmetric_key((1, "zeros"), text, "self").to_bytes()[0] == 0
    )
    secret = deriver.derive_symmetric_key((1, "zeros"), key_id, "self").to_bytes()
    made = operations.create_hmac(deriver, b"text", protocol_id=(1, "zeros"), key_id=key_id)
    assert made == hmac.digest(secret.lstrip(b"\0"), b"text", "sha256")
