"""``WalletClient`` looks in all places at once, over real sockets."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from sdk.core.errors import InvalidParameter, ServiceUnavailable
from sdk.service.http_app import running
from sdk.wallet.substrates import USUAL_PLACES, HttpWalletWire, Place, WalletClient, wallet_app
from support.wire_wallet import ScriptedWallet


class Silent:
    """Takes a call and never answers it."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def get_version(self, args: Any, originator: str | None) -> Any:
        self.asked.set()
        await asyncio.Event().wait()


async def serve(stack: AsyncExitStack, wallet: Any) -> str:
    return (await stack.enter_async_context(running(wallet_app(wallet), drain=0.01))).url


async def test_the_first_place_that_answers_is_taken_and_kept() -> None:
    async with AsyncExitStack() as stack:
        first, second = ScriptedWallet(), ScriptedWallet()
        places = [Place(await serve(stack, first)), Place(await serve(stack, second))]
        client = await stack.enter_async_context(WalletClient("app.example", places))
        await client.get_height()
        await client.get_network()
        assert [each[0] for each in first.asked] == ["getVersion", "getHeight", "getNetwork"]
        assert [each[0] for each in second.asked] in ([], ["getVersion"])


async def test_places_are_tried_side_by_side() -> None:
    """The silent place is asked and waited for while the good one answers."""
    async with AsyncExitStack() as stack:
        silent, good = Silent(), ScriptedWallet()
        places = [Place(await serve(stack, silent)), Place(await serve(stack, good), "wire")]
        client = await stack.enter_async_context(WalletClient("app.example", places, patience=0.5))
        connecting = asyncio.ensure_future(client.connect())
        await silent.asked.wait()
        await good.called.wait()
        assert not connecting.done()
        assert isinstance(await connecting, HttpWalletWire)
        assert (await client.get_height()).height == 850000


async def test_a_better_place_that_answers_does_not_wait_for_the_others() -> None:
    async with AsyncExitStack() as stack:
        good, silent = ScriptedWallet(), Silent()
        places = [Place(await serve(stack, good)), Place(await serve(stack, silent))]
        client = await stack.enter_async_context(WalletClient("app.example", places, patience=3600))
        assert (await client.get_version()).version == "wallet-brc100-1.0.0"


async def test_without_a_wallet_the_reasons_are_told_and_the_next_call_looks_again() -> None:
    async with AsyncExitStack() as stack:
        async with running(wallet_app(ScriptedWallet())) as gone:
            places = [Place(gone.url), Place(gone.url, "wire")]
        client = await stack.enter_async_context(WalletClient("app.example", places))
        for _ in range(2):
            with pytest.raises(ServiceUnavailable, match="no wallet answers here; start one") as caught:
                await client.get_version()
            assert str(caught.value).count(gone.url) == 2


async def test_calls_at_once_look_once() -> None:
    async with AsyncExitStack() as stack:
        wallet = ScriptedWallet()
        client = WalletClient("app.example", [Place(await serve(stack, wallet))])
        await stack.enter_async_context(client)
        await asyncio.gather(*[client.get_height() for _ in range(10)])
        assert [each[0] for each in wallet.asked].count("getVersion") == 1


async def test_arguments_are_checked_before_a_wallet_is_looked_for() -> None:
    client = WalletClient("app.example", [])
    with pytest.raises(InvalidParameter, match="description"):
        await client.create_action({"description": "abc"})


def test_the_usual_places() -> None:
    assert [(place.url, place.speaks) for place in USUAL_PLACES] == [
        ("https://localhost:2121", "json"),
        ("http://localhost:3321", "json"),
        ("http://localhost:3301", "wire"),
    ]
