"""What a wallet puts on ARC's wire, seen in front of a devnet that judges it: the parents decide the format."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from sdk.core.beef import Beef
from sdk.core.transaction import Transaction
from sdk.devnet.devnet import Devnet
from sdk.devnet.server import DevnetServer, DevnetUrls
from sdk.service.http_app import running
from sdk.wallet import open_wallet
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.monitoring import open_backend
from sdk.wallet.script.templates import brc29
from sdk.wallet.settings import WalletSettings
from support.wallet_rig import pay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp.typedefs import Handler

    from sdk.wallet.wallet import Wallet

ALICE, FAUCET = PrivateKey.from_int(7), PrivateKey.from_int(9)


@dataclass
class Wire:
    """``submitted`` holds the bytes that ARC was sent, in order."""

    devnet: Devnet
    urls: DevnetUrls
    submitted: list[bytes] = field(default_factory=list)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with AsyncExitStack() as stack:
        devnet = Devnet()
        app = await DevnetServer(devnet).open_app(stack)
        submitted: list[bytes] = []

        @web.middleware
        async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path == "/v1/tx":
                submitted.append(bytes.fromhex((await request.json())["rawTx"]))
            return await handler(request)

        app.middlewares.append(record)
        server = await stack.enter_async_context(running(app, drain=1.0))
        yield Wire(devnet, DevnetUrls.of(server.url), submitted)


def settings_for(folder: Path, wire: Wire) -> WalletSettings:
    database = f"sqlite:///{folder / 'alice.sqlite'}"
    return WalletSettings.load(environ={**wire.urls.wallet_settings(), "SDK_WALLET_DATABASE": database})


async def fund(wallet: Wallet, devnet: Devnet) -> None:
    lock = brc29.lock(KeyDeriver(FAUCET), wallet.identity_key, "cHJl", "c3Vm")
    sender = FAUCET.public_key.to_hex()
    remittance = {"derivationPrefix": "cHJl", "derivationSuffix": "c3Vm", "senderIdentityKey": sender}
    outputs = [{"outputIndex": 0, "protocol": "wallet payment", "paymentRemittance": remittance}]
    args = {"tx": devnet.fund(lock, 50_000, mine=True).beef, "description": "funding", "outputs": outputs}
    assert (await wallet.internalize_action(args)).accepted


async def test_extended_format_on_mined_parents_and_beef_on_others(tmp_path: Path, wire: Wire) -> None:
    settings = settings_for(tmp_path, wire)
    async with open_wallet(root_key=ALICE, settings=settings, background="external") as alice:
        await fund(alice, wire.devnet)
        at_once: dict[str, Any] = {"acceptDelayedBroadcast": False}
        first = await alice.create_action({"description": "first", "outputs": [pay(1000)], "options": at_once})
        (sent,) = wire.submitted
        extended = Transaction.from_extended(sent)
        assert extended.txid() == first.txid
        assert [each.source_output.satoshis for each in extended.inputs if each.source_output] == [50_000]

        second = await alice.create_action({"description": "second", "outputs": [pay(1000)]})
        assert len(wire.submitted) == 1, "a delayed send waits for a monitor"
        backend = await open_backend(settings)
        try:
            await backend.send_waiting(min_age=timedelta(0), limit=100)
        finally:
            await backend.close()
        _, sent = wire.submitted
        beef = Beef.from_bytes(sent)
        assert [txid for txid in beef.txids() if beef.path_for(txid) is None] == [first.txid, second.txid]
        assert {first.txid, second.txid} == set(wire.devnet.chain.mempool.entries)
