"""A wallet that really pays, used by an application on the other side of each substrate."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from sdk.core.beef import Beef
from sdk.core.errors import InsufficientFunds, InvalidParameter, InvalidSignature, NotImplementedByPeer
from sdk.core.wallet_wire import BY_METHOD
from sdk.service.http_app import running
from sdk.wallet.substrates import (
    Place,
    WalletClient,
    WalletWireProcessor,
    WalletWireTransceiver,
    wallet_app,
)
from support.wallet_rig import WalletRig, pay
from support.wire_samples import ARGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sdk.wallet.substrates import (
        RemoteWallet,
    )


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[WalletRig]:
    rig = await WalletRig.open(tmp_path)
    yield rig
    await rig.close()


@pytest.fixture(params=["memory", "json", "wire"])
async def remote(rig: WalletRig, request: pytest.FixtureRequest) -> AsyncIterator[RemoteWallet]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield WalletWireTransceiver(WalletWireProcessor(rig.wallet).transmit, "app.example")
            return
        server = await stack.enter_async_context(running(wallet_app(rig.wallet)))
        places = [Place(server.url, request.param)]
        yield await stack.enter_async_context(WalletClient("app.example", places))


async def test_a_payment_from_afar_is_signed_sent_and_listed(rig: WalletRig, remote: RemoteWallet) -> None:
    await rig.fund(50_000)
    result = await remote.create_action(
        {
            "description": "paid from afar",
            "outputs": [pay(1000, basket="kept", tags=["red"])],
            "labels": ["afar"],
            "options": {"acceptDelayedBroadcast": False},
        }
    )
    assert result.txid in rig.network.mempool
    assert result.tx is not None
    await rig.check(Beef.from_bytes(result.tx), str(result.txid))
    actions = await remote.list_actions({"labels": ["afar"], "includeOutputs": True, "includeInputs": True})
    assert actions == await rig.wallet.list_actions({"labels": ["afar"], "includeOutputs": True, "includeInputs": True})
    assert actions.actions[0].txid == result.txid
    assert actions.actions[0].satoshis < 0
    outputs = await remote.list_outputs({"basket": "kept", "include": "entire transactions", "includeTags": True})
    assert [(each.satoshis, each.tags) for each in outputs.outputs] == [(1000, ("red",))]


async def test_a_draft_is_signed_and_another_aborted_from_afar(rig: WalletRig, remote: RemoteWallet) -> None:
    await rig.fund(50_000, 50_000)
    draft = {"description": "to be signed", "outputs": [pay(1000)], "options": {"signAndProcess": False}}
    first, second = await remote.create_action(draft), await remote.create_action(draft)
    assert first.signable_transaction is not None
    assert second.signable_transaction is not None
    signed = await remote.sign_action({"spends": {}, "reference": first.signable_transaction.reference})
    assert signed.txid
    assert (await remote.abort_action({"reference": second.signable_transaction.reference})).aborted


async def test_an_unsigned_action_is_listed(rig: WalletRig, remote: RemoteWallet) -> None:
    await rig.fund(50_000)
    await remote.create_action(
        {
            "description": "to be signed",
            "outputs": [pay(1000)],
            "labels": ["draft"],
            "options": {"signAndProcess": False},
        }
    )
    listed = await remote.list_actions({"labels": ["draft"], "includeLabels": True})
    assert [(each.status, each.labels) for each in listed.actions] == [("unsigned", ("draft",))]
    assert listed == await rig.wallet.list_actions({"labels": ["draft"], "includeLabels": True})


async def test_r74_a_page_says_how_long_the_whole_list_is(rig: WalletRig, remote: RemoteWallet) -> None:
    await rig.fund(50_000)
    outputs = [pay(1000 + each, basket="kept") for each in range(5)]
    await remote.create_action({"description": "five outputs", "outputs": outputs})
    page = await remote.list_outputs({"basket": "kept", "limit": 2, "offset": 1})
    assert (page.total_outputs, len(page.outputs)) == (5, 2)


async def test_refusals_keep_their_kind(rig: WalletRig, remote: RemoteWallet) -> None:
    with pytest.raises(InsufficientFunds) as poor:
        await remote.create_action({"description": "too much", "outputs": [pay(1000)]})
    assert poor.value.more_satoshis_needed > 0
    with pytest.raises(InvalidParameter) as unknown:
        await remote.abort_action({"reference": "dW5rbm93bg=="})
    assert unknown.value.parameter == "reference"


async def test_keys_work_from_afar(rig: WalletRig, remote: RemoteWallet) -> None:
    key = {"protocolID": [1, "tests of the wire"], "keyID": "1", "counterparty": "self"}
    assert (await remote.get_public_key({"identityKey": True})).public_key == rig.wallet.identity_key
    secret = await remote.encrypt({**key, "plaintext": b"hello"})
    assert (await remote.decrypt({**key, "ciphertext": secret.ciphertext})).plaintext == b"hello"
    mac = await remote.create_hmac({**key, "data": b"hello"})
    assert (await remote.verify_hmac({**key, "data": b"hello", "hmac": mac.hmac})).valid
    signed = await remote.create_signature({**key, "data": b"hello"})
    assert (await remote.verify_signature({**key, "data": b"hello", "signature": signed.signature})).valid
    with pytest.raises(InvalidSignature):
        await remote.verify_signature({**key, "data": b"hullo", "signature": signed.signature})


async def test_what_this_release_lacks_is_unsupported(rig: WalletRig, remote: RemoteWallet) -> None:
    lacking = [call for method, call in BY_METHOD.items() if not hasattr(rig.wallet, method)]
    for call in lacking:
        with pytest.raises(NotImplementedByPeer, match=call.name):
            await getattr(remote, call.method)(ARGS[call.name][0])
    assert (await remote.is_authenticated()).authenticated
    assert (await remote.get_network()) == await rig.wallet.get_network()
    assert (await remote.get_height()).height == rig.network.height
