"""Scripts, signature hashes and templates, against @bsv/sdk and bsv-sdk on random values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sdk.core.encodings import hash256
from sdk.core.script import Script, push, push_number
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.script import CONSENSUS, ScriptError, SignatureHasher, sighash, verify_script
from sdk.wallet.script.limits import CONSENSUS_LIMITS
from sdk.wallet.script.templates import brc29, multisig, p2pk, p2pkh, pushdrop, rpuzzle
from sdk.wallet.script.templates.signing import Coin
from support.peers import Peer, PeerError

if TYPE_CHECKING:
    from collections.abc import Iterator

some = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
KEY = PrivateKey.from_int(4242)
SATOSHIS = 1_000
NOTHING = Script()


@pytest.fixture(scope="module")
def node() -> Iterator[Peer]:
    with Peer.node("script_spend") as peer:
        yield peer


@pytest.fixture(scope="module")
def python() -> Iterator[Peer]:
    with Peer.python("keys_wallet") as peer:
        yield peer


def spending(unlocking: Script = NOTHING, version: int = 1, satoshis: int = 1) -> Transaction:
    return Transaction(
        version,
        [
            TransactionInput(OutPoint("11" * 32, 0), unlocking),
            TransactionInput(OutPoint("22" * 32, 3), Script(), 5),
        ],
        [TransactionOutput(satoshis, Script(b"\x51")), TransactionOutput(2, Script(b"\x52"))],
        0,
    )


def opens(transaction: Transaction, locking: Script) -> bool:
    try:
        verify_script(
            transaction.inputs[0].unlocking_script,
            locking,
            transaction=transaction,
            input_index=0,
            satoshis=SATOSHIS,
            flags=CONSENSUS,
            limits=CONSENSUS_LIMITS,
        )
    except ScriptError:
        return False
    return True


def peer_opens(peer: Peer, transaction: Transaction, locking: Script) -> bool:
    try:
        return bool(peer.call("spend", raw=transaction.to_hex(), index=0, satoshis=SATOSHIS, locking=locking.to_hex()))
    except PeerError:
        return False


def coin(locking: Script, version: int = 1) -> Coin:
    return Coin(SignatureHasher(spending(version=version)), 0, SATOSHIS, locking)


def made() -> dict[str, tuple[Script, Any]]:
    """Locking scripts, and what makes their unlocking scripts."""
    deriver = KeyDeriver(KEY)
    keys = [KEY, PrivateKey.from_int(2), PrivateKey.from_int(3)]
    nonce = bytes(31) + b"\x09"
    locks: dict[str, tuple[Script, Any]] = {
        "p2pkh": (p2pkh.lock_to_key(KEY.public_key), lambda c, t: p2pkh.unlock(KEY, c, t)),
        "p2pk": (p2pk.lock(KEY.public_key), lambda c, t: p2pk.unlock(KEY, c, t)),
        "multisig": (multisig.lock(2, [each.public_key for each in keys]), lambda c, t: multisig.unlock(keys, c, t)),
        "brc29": (brc29.lock(deriver, "self", "a", "b"), lambda c, t: brc29.unlock(deriver, "self", "a", "b", c, t)),
        "rpuzzle": (
            rpuzzle.lock(rpuzzle.r_value(nonce, "HASH160"), "HASH160"),
            lambda c, t: rpuzzle.unlock(nonce, KEY, c, t),
        ),
    }
    for position in ("before", "after"):
        locks[f"pushdrop {position}"] = (
            pushdrop.lock([b"", b"\x07", b"token", bytes(300)], KEY.public_key, position),
            lambda c, t: pushdrop.unlock(KEY, c, t),
        )
    return locks


TYPES = [
    base | sighash.FORKID | modifier
    for base in (sighash.ALL, sighash.NONE, sighash.SINGLE)
    for modifier in (0, sighash.ANYONECANPAY)
]


@pytest.mark.parametrize("name", list(made()))
@pytest.mark.parametrize("version", [1, 2])
def test_what_we_sign_they_accept(node: Peer, python: Peer, name: str, version: int) -> None:
    locking, unlock = made()[name]
    for sighash_type in TYPES:
        unlocking = unlock(coin(locking, version), sighash_type)
        for peer in (node, python):
            assert peer_opens(peer, spending(unlocking, version), locking)
            if sighash_type & 3 != sighash.NONE:
                assert not peer_opens(peer, spending(unlocking, version, satoshis=9), locking)


@some
@given(st.sampled_from(TYPES), st.binary(max_size=50), st.integers(0, 2**50), st.integers(1, 2), st.integers(0, 1))
def test_preimages(node: Peer, sighash_type: int, code: bytes, satoshis: int, version: int, index: int) -> None:
    transaction = spending(version=version)
    theirs = node.call(
        "preimage",
        raw=transaction.to_hex(),
        index=index,
        satoshis=satoshis,
        code=Script(bytes(b for b in code if b > 0x4E)).to_hex(),
        type=sighash_type,
    )
    plain = bytes(b for b in code if b > 0x4E)
    ours = SignatureHasher(transaction).preimage(index, plain, satoshis, sighash_type)
    assert ours.hex() == theirs
    assert hash256(ours) == SignatureHasher(transaction).digest(index, plain, satoshis, sighash_type)


fields = st.lists(st.binary(max_size=300), min_size=1, max_size=5)


@some
@given(fields, st.sampled_from(["before", "after"]), st.booleans(), st.booleans())
def test_pushdrop(node: Peer, values: list[bytes], position: Any, for_self: bool, sign: bool) -> None:
    named: dict[str, Any] = {
        "key_id": "1",
        "counterparty": PrivateKey.from_int(7).public_key.to_hex(),
        "for_self": for_self,
    }
    ours = pushdrop.lock_with_keys(
        KeyDeriver(KEY),
        values,
        protocol_id=(2, "tokens"),
        include_signature=sign,
        position=position,
        **named,
    )
    if b"\0" not in values:  # which they write as the empty field (docs/differences.md)
        theirs = node.call(
            "pushdrop_lock",
            root=KEY.to_hex(),
            fields=[each.hex() for each in values],
            protocol=[2, "tokens"],
            sign=sign,
            position=position,
            **named,
        )
        assert theirs == ours.to_hex()
    token = pushdrop.decode(ours)
    read = node.call("pushdrop_decode", script=ours.to_hex(), position=position)
    assert read["key"] == token.locking_key.to_hex()
    # They read OP_0 as the field 00, and OP_16 as nothing.
    expected = [{b"": "00", b"\x10": ""}.get(each, each.hex()) for each in token.fields]
    assert read["fields"] == expected


def test_locks_of_other_templates(node: Peer) -> None:
    address = KEY.public_key.address()
    assert node.call("p2pkh_lock", address=address) == p2pkh.lock_to_address(address).to_hex()
    for name in ("raw", "SHA1", "SHA256", "HASH256", "RIPEMD160", "HASH160"):
        assert node.call("rpuzzle_lock", value="0102", type=name) == rpuzzle.lock(b"\x01\x02", name).to_hex()


# Numbers stay below 2^15: @bsv/sdk refuses shifts by 2^31 and more, and longer sizes only take time.
numbers = st.integers(-300, 300).map(push_number)
pushes = st.binary(max_size=2).map(push)
# Not OP_RETURN, signature checks and what no longer does anything: they have tests of their own.
opcodes = st.sampled_from(
    [bytes((code,)) for code in (*range(0x4F, 0x60), *range(0x61, 0x62), *range(0x63, 0x65), *range(0x67, 0x6A))]
    + [bytes((code,)) for code in range(0x6B, 0xAB) if code not in (0x89, 0x8A)]
)
programs = st.lists(st.one_of(numbers, pushes, opcodes), min_size=1, max_size=14).map(b"".join)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(programs)
@example(bytes.fromhex("5152535455567172"))
def test_random_programs_of_higher_versions(node: Peer, python: Peer, program: bytes) -> None:
    """Version 2, where both peers too leave out the rules against malleability."""
    transaction, locking = spending(Script(b"\x51\x52\x53"), 2), Script(program)
    ours = opens(transaction, locking)
    assert peer_opens(node, transaction, locking) == ours, locking.to_asm()
    assert peer_opens(python, transaction, locking) == ours, locking.to_asm()
