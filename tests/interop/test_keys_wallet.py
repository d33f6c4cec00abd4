"""Keys and the BRC-100 crypto calls, against @bsv/sdk and bsv-sdk on random values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from sdk.core.errors import InvalidSignature, SdkError
from sdk.wallet.keys import KeyDeriver, PrivateKey, ProtoWallet, curve
from sdk.wallet.keys.derivation import derive_private_child, derive_public_child
from sdk.wallet.keys.linkage import verify_linkage
from sdk.wallet.keys.signature import decode_der, encode_der
from support.peers import Peer, PeerError

if TYPE_CHECKING:
    from collections.abc import Iterator

some = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
keys = st.integers(1, curve.ORDER - 1).map(PrivateKey.from_int)
names = st.from_regex(r"[a-z0-9]{5,12}( [a-z0-9]{1,9}){0,2}", fullmatch=True).filter(
    lambda name: not name.endswith(" protocol")
)
protocols = st.tuples(st.integers(0, 2), names)
key_ids = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
payloads = st.binary(min_size=1, max_size=100)  # @bsv/sdk does not open an encrypted nothing (docs/differences.md)


@pytest.fixture(scope="module")
def node() -> Iterator[Peer]:
    with Peer.node("keys_wallet") as peer:
        yield peer


@pytest.fixture(scope="module")
def python() -> Iterator[Peer]:
    with Peer.python("keys_wallet") as peer:
        yield peer


@some
@given(keys)
def test_forms_of_a_key(node: Peer, python: Peer, key: PrivateKey) -> None:
    ours = {"wif": key.to_wif(), "address": key.public_key.address(), "public_key": key.public_key.to_hex()}
    assert python.call("key_forms", root=key.to_hex()) == ours
    both = {**ours, "wif_test": key.to_wif("test"), "address_test": key.public_key.address("test")}
    assert node.call("key", root=key.to_hex()) == both


@some
@given(keys, keys, st.text(st.characters(codec="utf-8"), max_size=40))
def test_derivation(node: Peer, python: Peer, key: PrivateKey, other: PrivateKey, invoice: str) -> None:
    request: dict[str, Any] = {"root": key.to_hex(), "counterparty": other.public_key.to_hex(), "invoice": invoice}
    for peer in (node, python):
        assert peer.call("derive_private", **request) == derive_private_child(key, other.public_key, invoice).to_hex()
        assert peer.call("derive_public", **request) == derive_public_child(key, other.public_key, invoice).to_hex()


def named(protocol: tuple[int, str], key_id: str, counterparty: str) -> dict[str, Any]:
    return {"protocolID": list(protocol), "keyID": key_id, "counterparty": counterparty}


def counterparties(other: PrivateKey) -> tuple[str, ...]:
    return "self", "anyone", other.public_key.to_hex()


async def ours(root: PrivateKey, method: str, args: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = (await getattr(ProtoWallet(root), method)(args)).to_wire()
    return result


@some
@given(keys, keys, protocols, key_ids, payloads)
async def test_what_is_deterministic_is_the_same(
    node: Peer, python: Peer, key: PrivateKey, other: PrivateKey, protocol: tuple[int, str], key_id: str, data: bytes
) -> None:
    for counterparty in counterparties(other):
        args = named(protocol, key_id, counterparty)
        for for_self in (False, True):
            expected = await ours(key, "get_public_key", {**args, "forSelf": for_self})
            request: dict[str, Any] = {"root": key.to_hex(), "args": {**args, "forSelf": for_self}}
            assert node.call("wallet", method="getPublicKey", **request) == expected
            assert python.call("wallet", method="get_public_key", **request)["publicKey"] == expected["publicKey"]
        request = {"root": key.to_hex(), "args": {**args, "data": list(data)}}
        made = await ours(key, "create_hmac", request["args"])
        assert node.call("wallet", method="createHmac", **request) == made
        signed = await ours(key, "create_signature", request["args"])
        assert node.call("wallet", method="createSignature", **request) == signed


@some
@given(keys, keys, protocols, key_ids, payloads)
async def test_each_reads_what_the_other_wrote(
    node: Peer, key: PrivateKey, other: PrivateKey, protocol: tuple[int, str], key_id: str, data: bytes
) -> None:
    mine, theirs = named(protocol, key_id, other.public_key.to_hex()), named(protocol, key_id, key.public_key.to_hex())
    sealed = await ours(key, "encrypt", {**mine, "plaintext": data})
    opened = node.call("wallet", root=other.to_hex(), method="decrypt", args={**theirs, **sealed})
    assert bytes(opened["plaintext"]) == data
    sealed = node.call("wallet", root=other.to_hex(), method="encrypt", args={**theirs, "plaintext": list(data)})
    assert bytes((await ours(key, "decrypt", {**mine, **sealed}))["plaintext"]) == data

    signed = await ours(key, "create_signature", {**mine, "data": data})
    verify = {**theirs, "data": list(data), **signed}
    assert node.call("wallet", root=other.to_hex(), method="verifySignature", args=verify) == {"valid": True}
    signed = node.call("wallet", root=other.to_hex(), method="createSignature", args={**theirs, "data": list(data)})
    assert await ours(key, "verify_signature", {**mine, "data": data, **signed}) == {"valid": True}

    made = node.call("wallet", root=other.to_hex(), method="createHmac", args={**theirs, "data": list(data)})
    assert await ours(key, "verify_hmac", {**mine, "data": data, **made}) == {"valid": True}


async def test_an_hmac_key_that_begins_with_zeros(node: Peer) -> None:
    """The reference drops leading zero bytes of the HMAC key, but not of the encryption key."""
    root = PrivateKey.from_int(9)
    deriver = KeyDeriver(root)
    key_id = next(
        text
        for text in map(str, range(100_000))
        if deriver.derive_symmetric_key((1, "zeros"), text, "self").to_bytes()[0] == 0
    )
    args = {**named((1, "zeros"), key_id, "self"), "data": [1, 2, 3]}
    assert node.call("wallet", root=root.to_hex(), method="createHmac", args=args) == await ours(
        root, "create_hmac", args
    )
    sealed = await ours(root, "encrypt", {**named((1, "zeros"), key_id, "self"), "plaintext": b"text"})
    opened = node.call(
        "wallet", root=root.to_hex(), method="decrypt", args={**named((1, "zeros"), key_id, "self"), **sealed}
    )
    assert bytes(opened["plaintext"]) == b"text"


@some
@given(keys, keys, keys, protocols, key_ids)
async def test_linkage(
    node: Peer, key: PrivateKey, other: PrivateKey, verifier: PrivateKey, protocol: tuple[int, str], key_id: str
) -> None:
    assume(key != other)
    request = {"counterparty": other.public_key.to_hex(), "verifier": verifier.public_key.to_hex()}
    revealed = await ours(key, "reveal_counterparty_key_linkage", request)
    name = named((2, "counterparty linkage revelation"), revealed["revelationTime"], key.public_key.to_hex())
    opened = {
        member: bytes(
            node.call(
                "wallet", root=verifier.to_hex(), method="decrypt", args={**name, "ciphertext": revealed[member]}
            )["plaintext"]
        ).hex()
        for member in ("encryptedLinkage", "encryptedLinkageProof")
    }
    assert node.call(
        "linkage_proof",
        prover=key.public_key.to_hex(),
        counterparty=other.public_key.to_hex(),
        linkage=opened["encryptedLinkage"],
        proof=opened["encryptedLinkageProof"],
    )
    specific = {**request, "protocolID": list(protocol), "keyID": key_id}
    theirs = node.call("wallet", root=key.to_hex(), method="revealSpecificKeyLinkage", args=specific)
    mine = await ours(key, "reveal_specific_key_linkage", specific)
    name = named((2, f"specific linkage revelation {protocol[0]} {protocol[1]}"), key_id, key.public_key.to_hex())
    for member in ("encryptedLinkage", "encryptedLinkageProof"):
        plain = [await ours(verifier, "decrypt", {**name, "ciphertext": each[member]}) for each in (mine, theirs)]
        assert plain[0] == plain[1]


async def test_their_linkage_proof_holds_here(node: Peer) -> None:
    for number in range(1, 40):  # their proofs are now and then a byte short
        key, other, verifier = (PrivateKey.from_int(number + each) for each in (100, 200, 300))
        request = {"counterparty": other.public_key.to_hex(), "verifier": verifier.public_key.to_hex()}
        revealed = node.call("wallet", root=key.to_hex(), method="revealCounterpartyKeyLinkage", args=request)
        name = named((2, "counterparty linkage revelation"), revealed["revelationTime"], key.public_key.to_hex())
        plain = [
            bytes((await ours(verifier, "decrypt", {**name, "ciphertext": revealed[member]}))["plaintext"])
            for member in ("encryptedLinkage", "encryptedLinkageProof")
        ]
        assert verify_linkage(key.public_key, other.public_key, plain[0], plain[1])


@pytest.mark.parametrize(
    ("protocol", "key_id", "counterparty"),
    [
        ((3, "wallet"), "1", "self"),
        ((1, "abcd"), "1", "self"),
        ((1, "a" * 401), "1", "self"),
        ((1, "two  spaces"), "1", "self"),
        ((1, "dash-ed"), "1", "self"),
        ((1, "my protocol"), "1", "self"),
        ((1, "wallet"), "", "self"),
        ((1, "wallet"), "k" * 801, "self"),
        ((1, "wallet"), "1", "02" + "00" * 32),
        ((1, "wallet"), "1", "nobody"),
        ((1, " Wallet "), "1", "self"),
        ((2, "specific linkage revelation 2 " + "a" * 400), "k" * 800, "anyone"),
    ],
)
async def test_both_refuse_the_same_names(
    node: Peer, protocol: tuple[int, str], key_id: str, counterparty: str
) -> None:
    args = named(protocol, key_id, counterparty)
    try:
        mine: object = await ours(PrivateKey.from_int(3), "get_public_key", args)
    except SdkError:
        mine = None
    try:
        theirs = node.call("wallet", root=PrivateKey.from_int(3).to_hex(), method="getPublicKey", args=args)
    except PeerError:
        theirs = None
    assert mine == theirs


async def test_a_high_s_is_valid_there_and_not_here(node: Peer, python: Peer) -> None:
    """A difference on purpose (docs/differences.md): one signature has one form."""
    root = PrivateKey.from_int(5)
    r, s = decode_der(await ours_signature(root))
    args = {**named((2, "tests"), "1", "self"), "data": list(b"text"), "forSelf": True}
    high = {**args, "signature": list(encode_der(r, curve.ORDER - s))}
    assert node.call("wallet", root=root.to_hex(), method="verifySignature", args=high) == {"valid": True}
    with pytest.raises(InvalidSignature):
        await ours(root, "verify_signature", high)
    low = {**args, "signature": list(encode_der(r, s))}
    assert python.call("wallet", root=root.to_hex(), method="verify_signature", args=low)["valid"] is True


async def ours_signature(root: PrivateKey) -> bytes:
    args = {**named((2, "tests"), "1", "self"), "data": b"text"}
    return bytes((await ours(root, "create_signature", args))["signature"])
