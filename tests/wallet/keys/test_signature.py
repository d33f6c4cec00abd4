"""DER, compact and recoverable signatures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.errors import ParseError
from sdk.wallet.keys import PrivateKey, PublicKey, curve
from sdk.wallet.keys.hashes import sha256
from sdk.wallet.keys.signature import CompactSignature, decode_der, encode_der, is_strict_der

numbers = st.integers(0, 2**256 - 1)
KEY = PrivateKey.from_int(77)


@given(numbers, numbers)
def test_der_round_trips(r: int, s: int) -> None:
    assert decode_der(encode_der(r, s)) == (r, s)


@given(st.binary(max_size=80))
def test_what_decodes_encodes_to_the_same_bytes(data: bytes) -> None:
    try:
        r, s = decode_der(data)
    except ParseError:
        return
    assert encode_der(r, s) == data or max(r, s) >= 2**256


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3006020101",
        "300602010102010102",
        "3106020101020101",
        "3007020101020101",
        "3006030101020101",
        "3006020181020101",
        "3006020101020181",
        "300702020001020101",
        "300702010102020001",
        "3005020002010101",
        "3006020101020201",
        "300602020101020101",
    ],
)
def test_lax_encodings_are_refused(text: str) -> None:
    assert not is_strict_der(bytes.fromhex(text))


@given(st.integers(1, curve.ORDER - 1), st.binary(min_size=32, max_size=32))
def test_the_public_key_is_recovered(secret: int, digest: bytes) -> None:
    key = PrivateKey.from_int(secret)
    r_and_s, recovery = key.sign_recoverable(digest)
    compact = CompactSignature(r_and_s, recovery)
    assert CompactSignature.from_bytes(compact.to_bytes()) == compact
    assert compact.to_der() == key.sign(digest)
    assert PublicKey.from_point(curve.recover(r_and_s, recovery, digest)) == key.public_key
    assert curve.verify_compact(key.public_key.point, r_and_s, digest)


def test_malformed_compact_signatures() -> None:
    for data in (bytes(64), bytes(66), bytes([26]) + bytes(64), bytes([35]) + bytes(64)):
        with pytest.raises(ParseError):
            CompactSignature.from_bytes(data)
    with pytest.raises(ValueError, match="recovery"):
        CompactSignature(bytes(64), 4).to_bytes()
    for r_and_s, recovery in ((bytes(64), 0), (b"\xff" * 64, 0), (bytes(63), 0), (bytes(64), 5)):
        with pytest.raises(ValueError):  # noqa: PT011 (three causes, three texts)
            curve.recover(r_and_s, recovery, bytes(32))


def test_verify_compact_takes_any_s_and_no_nonsense() -> None:
    digest = sha256(b"text")
    r, s = decode_der(KEY.sign(digest))
    high = r.to_bytes(32, "big") + (curve.ORDER - s).to_bytes(32, "big")
    assert curve.verify_compact(KEY.public_key.point, high, digest)
    assert not curve.verify_compact(KEY.public_key.point, bytes(64), digest)
    assert not curve.verify_compact(KEY.public_key.point, b"\xff" * 64, digest)
    assert not curve.verify_compact(KEY.public_key.point, high[:-1], digest)
    assert not curve.verify_compact(KEY.public_key.point, high, digest[:-1])


@pytest.mark.parametrize("nonce", [1, 1358, curve.ORDER - 1])
def test_a_given_nonce_is_used(nonce: int) -> None:
    digest = sha256(b"text")
    signature = curve.sign_with_nonce(KEY.to_bytes(), digest, nonce.to_bytes(32, "big"))
    assert KEY.public_key.verify(signature, digest)
    point = curve.serialize_point(curve.public_point(nonce.to_bytes(32, "big")))
    assert decode_der(signature)[0] == int.from_bytes(point[1:], "big")


@pytest.mark.parametrize("nonce", [0, curve.ORDER, 2**256 - 1])
def test_nonces_out_of_range_are_refused(nonce: int) -> None:
    with pytest.raises(ValueError, match="nonce"):
        curve.sign_with_nonce(KEY.to_bytes(), bytes(32), nonce.to_bytes(32, "big"))


def test_primitives_refuse_what_is_no_scalar() -> None:
    zero, point = bytes(32), KEY.public_key.point
    for act in (
        lambda: curve.public_point(zero),
        lambda: curve.shared_point(zero, point),
        lambda: curve.sign(zero, zero),
        lambda: curve.sign_recoverable(zero, zero),
        lambda: curve.multiply_public(point, zero),
        lambda: curve.multiply_scalars(zero, zero),
        lambda: curve.sign_with_nonce(zero, zero, KEY.to_bytes()),
    ):
        with pytest.raises(ValueError, match="scalar"):
            act()
    for act in (lambda: curve.sign(KEY.to_bytes(), b""), lambda: curve.sign_recoverable(KEY.to_bytes(), b"")):
        with pytest.raises(ValueError, match="32 bytes"):
            act()
