"""The privileged key manager: one fetch for a reason, kept for a while, then gone."""

from __future__ import annotations

import asyncio

import pytest

from sdk.wallet.keys import PrivateKey, PrivilegedKeyManager, ProtoWallet

ROOT = PrivateKey.from_int(909)
NAMED = {"protocolID": [2, "privileged tests"], "keyID": "1", "privileged": True, "privilegedReason": "a test"}


class Person:
    """Gives the key when asked, and remembers why."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.refuses = False

    async def __call__(self, reason: str) -> PrivateKey:
        self.reasons.append(reason)
        await asyncio.sleep(0)
        if self.refuses:
            raise PermissionError(reason)
        return ROOT


async def test_every_operation_is_that_of_the_privileged_key() -> None:
    person = Person()
    manager, plain = PrivilegedKeyManager(person), ProtoWallet(ROOT)
    other = ProtoWallet(PrivateKey.from_int(1010))
    assert await manager.get_public_key(NAMED) == await plain.get_public_key(NAMED)
    sealed = await manager.encrypt({**NAMED, "plaintext": b"text"})
    assert (await plain.decrypt({**NAMED, "ciphertext": sealed.ciphertext})).plaintext == b"text"
    assert (await manager.decrypt({**NAMED, "ciphertext": sealed.ciphertext})).plaintext == b"text"
    made = await manager.create_hmac({**NAMED, "data": b"text"})
    assert made == await plain.create_hmac({**NAMED, "data": b"text"})
    assert (await manager.verify_hmac({**NAMED, "data": b"text", "hmac": made.hmac})).valid
    signed = await manager.create_signature({**NAMED, "data": b"text", "counterparty": "self"})
    assert (await manager.verify_signature({**NAMED, "data": b"text", "signature": signed.signature})).valid
    linked = {"counterparty": other.identity_key, "verifier": other.identity_key, "privilegedReason": "a test"}
    assert (await manager.reveal_counterparty_key_linkage(linked)).prover == plain.identity_key
    assert (await manager.reveal_specific_key_linkage({**linked, **NAMED})).prover == plain.identity_key
    assert person.reasons == ["a test"]
    manager.destroy()


async def test_concurrent_calls_ask_once() -> None:
    person = Person()
    manager = PrivilegedKeyManager(person)
    await asyncio.gather(*(manager.get_public_key(NAMED) for _ in range(10)))
    assert person.reasons == ["a test"]
    manager.destroy()


async def test_the_key_is_let_go_after_its_time_or_at_once() -> None:
    person = Person()
    manager = PrivilegedKeyManager(person, retention=0)
    await manager.get_public_key(NAMED)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await manager.get_public_key(NAMED)
    assert len(person.reasons) == 2
    manager.destroy()
    manager.destroy()
    await manager.get_public_key(NAMED)
    assert len(person.reasons) == 3
    manager.destroy()


async def test_a_refusal_comes_through_and_is_asked_again() -> None:
    person = Person()
    manager = PrivilegedKeyManager(person)
    person.refuses = True
    with pytest.raises(PermissionError, match="a test"):
        await manager.encrypt({**NAMED, "plaintext": b""})
    person.refuses = False
    assert (await manager.encrypt({**NAMED, "plaintext": b""})).ciphertext
    assert len(person.reasons) == 2
    manager.destroy()
