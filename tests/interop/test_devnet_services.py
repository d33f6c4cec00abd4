"""@bsv/sdk's own clients of ARC and WhatsOnChain, with a devnet for their service."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from sdk.core.script import Script
from sdk.core.transaction import Transaction
from sdk.devnet.server import DevnetServer
from support.devnet_rig import ANYONE
from support.peers import Peer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

KEY = f"{4242:064x}"


@pytest.fixture(scope="module")
def node() -> Iterator[Peer]:
    with Peer.node("devnet_services") as peer:
        yield peer


@pytest.fixture
async def server() -> AsyncIterator[DevnetServer]:
    async with DevnetServer() as running:
        yield running


async def ask(node: Peer, op: str, **request: Any) -> Any:
    """In a thread: the devnet answers from this event loop."""
    return await asyncio.to_thread(node.call, op, **request)


async def funded(node: Peer, server: DevnetServer, *, mine: bool = False) -> dict[str, Any]:
    lock = Script.from_hex(await ask(node, "lock", key=KEY))
    funding = server.devnet.fund(lock, 50_000, mine=mine)
    return {"beef": funding.beef.hex(), "vout": funding.output_index, "key": KEY, "lock": ANYONE.to_hex()}


@pytest.mark.parametrize("mined", [True, False])
async def test_the_broadcaster_pays_and_the_tracker_verifies(node: Peer, server: DevnetServer, mined: bool) -> None:
    request = await funded(node, server, mine=mined)
    urls = server.urls
    paid = await ask(node, "pay", arc=urls.arc, headers=urls.whatsonchain, satoshis=10_000, **request)
    assert paid["verified"] is True
    assert paid["answer"]["status"] == "success"
    assert paid["answer"]["txid"] == paid["txid"]
    entry = server.devnet.chain.mempool.entries[paid["txid"]]
    assert entry.transaction == Transaction.from_hex(paid["hex"])
    server.devnet.mine()
    async with aiohttp.ClientSession() as session, session.get(f"{urls.arc}/v1/tx/{paid['txid']}") as answer:
        path = (await answer.json())["merklePath"]
    assert await ask(node, "proves", headers=urls.whatsonchain, path=path, txid=paid["txid"]) is True
    beef = server.devnet.beef(paid["txid"]).to_hex()
    assert await ask(node, "beefIsValid", headers=urls.whatsonchain, beef=beef) is True
    assert await ask(node, "height", headers=urls.whatsonchain) == server.devnet.height
    server.devnet.reorg(1)
    assert await ask(node, "proves", headers=urls.whatsonchain, path=path, txid=paid["txid"]) is False


async def test_the_broadcaster_reads_refusals(node: Peer, server: DevnetServer) -> None:
    request = await funded(node, server)
    urls = server.urls
    first = await ask(node, "pay", arc=urls.arc, headers=urls.whatsonchain, satoshis=10_000, **request)
    second = await ask(node, "pay", arc=urls.arc, headers=urls.whatsonchain, satoshis=11_000, **request)
    assert (second["answer"]["status"], second["answer"]["code"]) == ("error", "DOUBLE_SPEND_ATTEMPTED")
    assert second["answer"]["more"]["competingTxs"] == [first["txid"]]
    unpaid = {**await funded(node, server), "lock": "00"}
    failed = await ask(node, "pay", arc=urls.arc, headers=urls.whatsonchain, satoshis=50_000, **unpaid)
    assert (failed["answer"]["status"], failed["answer"]["code"]) == ("error", "465")
    assert failed["answer"]["description"] == "Fees are insufficient"


async def test_many_at_once(node: Peer, server: DevnetServer) -> None:
    payments = [{**await funded(node, server), "satoshis": 1_000 * n} for n in (1, 2, 3)]
    sent = await ask(node, "payTogether", arc=server.urls.arc, payments=payments)
    assert {each["txid"] for each in sent["answers"]} == {each["txid"] for each in sent["txs"]}
    assert {each["txStatus"] for each in sent["answers"]} == {"SEEN_ON_NETWORK"}


async def test_the_other_broadcaster(node: Peer, server: DevnetServer) -> None:
    request = await funded(node, server)
    paid = await ask(node, "payByWhatsOnChain", url=server.urls.whatsonchain, satoshis=10_000, **request)
    assert paid["answer"] == {"status": "success", "txid": paid["txid"], "message": "broadcast successful"}
    rival = await ask(node, "payByWhatsOnChain", url=server.urls.whatsonchain, satoshis=11_000, **request)
    assert rival["answer"]["status"] == "error"
    assert rival["answer"]["description"] == "unexpected response code 500: 258: txn-mempool-conflict"
