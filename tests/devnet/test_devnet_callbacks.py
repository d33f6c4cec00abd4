"""Status updates are delivered to a real receiver (spec/arc.md §1.7)."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from sdk.core.merkle_path import MerklePath
from sdk.devnet.arc.settings import ArcSettings
from sdk.devnet.server import DevnetServer
from support.devnet_rig import coin, spend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sdk.core.transaction import Transaction

QUICK = ArcSettings(callback_retry_delay=0.01, callback_batch_interval=0.05, callback_retries=3)


@dataclass
class Inbox:
    """What arrived, in order; ``refusals`` requests are answered 500 first."""

    refusals: int = 0
    url: str = ""
    arrived: asyncio.Queue[tuple[Any, Any]] = field(default_factory=asyncio.Queue)
    refused: int = 0

    async def take(self, request: web.Request) -> web.Response:
        if self.refused < self.refusals:
            self.refused += 1
            return web.Response(status=500)
        await self.arrived.put((await request.json(), request.headers.copy()))
        return web.Response()

    async def next(self) -> tuple[Any, Any]:
        async with asyncio.timeout(10):
            return await self.arrived.get()


@asynccontextmanager
async def inbox(refusals: int = 0) -> AsyncIterator[Inbox]:
    box = Inbox(refusals)
    app = web.Application()
    app.add_routes([web.post("/arc", box.take)])
    async with TestServer(app) as server:
        box.url = str(server.make_url("/arc"))
        yield box


@pytest.fixture
async def server() -> AsyncIterator[DevnetServer]:
    async with DevnetServer(arc=QUICK) as running:
        yield running


async def submit(server: DevnetServer, transaction: Transaction, **headers: str) -> dict[str, Any]:
    given = {f"X-{name}": value for name, value in headers.items()}
    body = json.dumps({"rawTx": transaction.to_hex()})
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{server.urls.arc}/v1/tx", data=body, headers={"Content-Type": "application/json", **given}
        ) as answer,
    ):
        assert answer.status == 200
        return dict(await answer.json())


async def test_mined_stale_and_mined_again_are_told_with_proof_and_token(server: DevnetServer) -> None:
    async with inbox() as box:
        transaction = spend([coin(server.devnet)], [9_000])
        await submit(server, transaction, CallbackUrl=box.url, CallbackToken="sesame")
        server.devnet.mine()
        told, headers = await box.next()
        assert headers["Authorization"] == "Bearer sesame"
        assert headers["Content-Type"] == "application/json; charset=UTF-8"
        assert (told["txid"], told["txStatus"], told["blockHash"], told["blockHeight"]) == (
            transaction.txid(),
            "MINED",
            server.devnet.tip.hash,
            server.devnet.height,
        )
        path = MerklePath.from_hex(told["merklePath"])
        assert path.compute_root(transaction.txid()) == server.devnet.tip.block.header.merkle_root
        assert "extraInfo" not in told, "what is empty is left out"
        server.devnet.reorg(1)
        stale, _ = await box.next()
        assert (stale["txStatus"], "merklePath" in stale) == ("MINED_IN_STALE_BLOCK", False)
        server.devnet.mine()
        again, _ = await box.next()
        assert (again["txStatus"], again["blockHash"]) == ("MINED", server.devnet.tip.hash)


async def test_only_who_asks_for_everything_hears_of_what_is_not_final(server: DevnetServer) -> None:
    async with inbox() as full, inbox() as final:
        transaction = spend([coin(server.devnet)], [9_000])
        await submit(server, transaction, CallbackUrl=full.url, FullStatusUpdates="true")
        assert (await full.next())[0]["txStatus"] == "SEEN_ON_NETWORK"
        await submit(server, transaction, CallbackUrl=final.url)
        server.devnet.mine()
        assert (await full.next())[0]["txStatus"] == "MINED"
        assert (await final.next())[0]["txStatus"] == "MINED"
        assert final.arrived.empty()


async def test_a_rejection_is_told_with_the_rival(server: DevnetServer) -> None:
    async with inbox() as box:
        source = coin(server.devnet)
        loser, winner = spend([source], [9_000]), spend([source], [8_000])
        await submit(server, loser, CallbackUrl=box.url)
        server.devnet.reorg(1, transactions=[*server.devnet.tip.block.transactions[1:], winner])
        told, _ = await box.next()
        assert (told["txid"], told["txStatus"]) == (loser.txid(), "REJECTED")
        assert told["competingTxs"] == [winner.txid()]


async def test_batches(server: DevnetServer) -> None:
    async with inbox() as box:
        ours = [spend([coin(server.devnet)], [9_000 - n]) for n in range(3)]
        for each in ours:
            await submit(server, each, CallbackUrl=box.url, CallbackBatch="true")
        server.devnet.mine()
        told, _ = await box.next()
        assert told["count"] == 3
        assert {each["txid"] for each in told["callbacks"]} == {each.txid() for each in ours}
        assert {each["txStatus"] for each in told["callbacks"]} == {"MINED"}


async def test_a_receiver_that_stumbles_is_told_again(server: DevnetServer) -> None:
    async with inbox(refusals=2) as box:
        await submit(server, spend([coin(server.devnet)], [9_000]), CallbackUrl=box.url)
        server.devnet.mine()
        assert (await box.next())[0]["txStatus"] == "MINED"
        assert box.refused == 2


async def test_a_receiver_that_is_not_there_hinders_nobody(server: DevnetServer) -> None:
    async with inbox() as box:
        nowhere = f"http://127.0.0.1:{unused_port()}/arc"
        first, second = (spend([coin(server.devnet)], [9_000 - n]) for n in range(2))
        await submit(server, first, CallbackUrl=nowhere)
        await submit(server, second, CallbackUrl=box.url)
        server.devnet.mine()
        assert (await box.next())[0]["txid"] == second.txid()


async def test_an_operator_may_refuse_receivers() -> None:
    settings = ArcSettings(refused_callback_urls=("http://localhost",))
    async with DevnetServer(arc=settings) as server, aiohttp.ClientSession() as session:
        headers = {"Content-Type": "text/plain", "X-CallbackUrl": "http://localhost:1/"}
        async with session.post(f"{server.urls.arc}/v1/tx", data="00", headers=headers) as answer:
            assert answer.status == 400
            assert "callback URL not acceptable" in (await answer.json())["extraInfo"]
