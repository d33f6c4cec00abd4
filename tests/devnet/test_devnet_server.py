"""The devnet over real sockets, as its users meet it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sdk.core.beef import Beef
from sdk.core.errors import ConfigurationError, ServiceRejected
from sdk.devnet.devnet import Devnet
from sdk.devnet.errors import DevnetError
from sdk.devnet.server import DevnetServer
from sdk.service.http_client import HttpClient
from sdk.wallet.keys.address import Address
from sdk.wallet.script.templates import p2pkh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sdk.devnet.chain.chain import Change

LOCK = "76a914" + "11" * 20 + "88ac"


@pytest.fixture
async def server() -> AsyncIterator[DevnetServer]:
    async with DevnetServer() as running:
        yield running


@pytest.fixture
async def http(server: DevnetServer) -> AsyncIterator[HttpClient]:
    client = HttpClient(server.urls.base, service="devnet")
    yield client
    await client.close()


async def test_the_faucet_pays_with_a_beef_that_ends_in_a_mined_ancestor(
    server: DevnetServer, http: HttpClient
) -> None:
    paid = await http.post_json("/faucet", {"lockingScript": LOCK, "satoshis": 50_000})
    beef = Beef.from_atomic(bytes.fromhex(paid["tx"]))
    transaction = beef.transaction(paid["txid"])
    assert transaction is not None
    output = transaction.outputs[paid["outputIndex"]]
    assert (output.satoshis, output.locking_script.to_hex()) == (50_000, LOCK)
    assert beef.path_for(paid["txid"]) is None, "it waits to be mined"
    assert beef.validity().valid
    assert beef.roots()
    for height, root in beef.roots().items():
        assert server.devnet.header_at(height).merkle_root == root


async def test_the_faucet_pays_to_an_address(http: HttpClient) -> None:
    address = Address("test", bytes(range(20)))
    paid = await http.post_json("/faucet", {"address": str(address), "satoshis": 7})
    transaction = Beef.from_atomic(bytes.fromhex(paid["tx"])).transaction(paid["txid"])
    assert transaction is not None
    assert p2pkh.decode(transaction.outputs[paid["outputIndex"]].locking_script) == bytes(range(20))


async def test_mine_reorg_and_status(http: HttpClient) -> None:
    before = await http.get_json("/status")
    assert (before["chain"], before["mempool"]["transactions"]) == ("mock", 0)
    await http.post_json("/faucet", {"lockingScript": LOCK, "satoshis": 1_000})
    assert (await http.get_json("/status"))["mempool"]["transactions"] == 1
    mined = await http.post_json("/mine", {"blocks": 2})
    assert (mined["height"], len(mined["blocks"])) == (before["height"] + 2, 2)
    assert mined["mempool"]["transactions"] == 0
    moved = await http.post_json("/reorg", {"depth": 2})
    assert moved["height"] == before["height"] + 3
    assert not set(moved["blocks"]) & set(mined["blocks"])
    assert moved["mempool"]["transactions"] == 1, "what was removed waits again"
    again = await http.post_json("/reorg", {"depth": 1, "remine": True})
    assert again["mempool"]["transactions"] == 0
    assert again["tip"] == again["blocks"][-1]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/faucet", {"lockingScript": LOCK, "satoshis": -1}, "satoshis"),
        ("/faucet", {"lockingScript": LOCK, "satoshis": 2**60}, "satoshis"),
        ("/faucet", {"lockingScript": LOCK, "satoshis": "many"}, "satoshis"),
        ("/faucet", {"lockingScript": LOCK, "satoshis": 2_000_000_000_000_000}, "ask for less"),
        ("/faucet", {"lockingScript": "zz", "satoshis": 1}, "hex"),
        ("/faucet", {"satoshis": 1}, "lockingScript (hex) or an address"),
        ("/faucet", {"satoshis": 1, "address": str(Address("main", bytes(20)))}, "test network"),
        ("/faucet", {"satoshis": 1, "address": "mq"}, "address"),
        ("/faucet", {"satoshis": 1, "address": "m" * 101}, "address"),
        ("/faucet", {"satoshis": 1, "address": "mq", "lockingScript": LOCK}, "address"),
        ("/faucet", [], "object"),
        ("/mine", {"blocks": 10_001}, "blocks"),
        ("/reorg", {"depth": 0}, "depth"),
        ("/reorg", {"depth": 9_999}, "depth"),
        ("/faults", {"kind": "flood"}, "kind"),
        ("/faults", {"kind": "lie"}, "only then"),
        ("/faults", {"kind": "drop", "lie": "spent"}, "only then"),
        ("/faults", {"kind": "lie", "lie": "white"}, "lie"),
        ("/faults", {"kind": "lie", "lie": "spent", "endpoint": "arc.*"}, "whatsonchain.unspent"),
    ],
)
async def test_a_request_that_cannot_be_met_says_why_and_changes_nothing(
    http: HttpClient, path: str, body: object, words: str
) -> None:
    before = await http.get_json("/status")
    with pytest.raises(ServiceRejected) as caught:
        await http.post_json(path, body)
    assert caught.value.status == 400
    assert words in str(caught.value)
    assert await http.get_json("/status") == before


async def test_it_mines_by_itself_when_told_to() -> None:
    devnet = Devnet()
    mined = asyncio.Event()

    def note(change: Change) -> None:
        if change.connected:
            mined.set()

    devnet.subscribe(note)
    before = devnet.height
    async with DevnetServer(devnet, mine_every=0.01):
        await asyncio.wait_for(mined.wait(), 10)
    assert devnet.height > before


async def test_a_taken_port_and_a_second_start_are_refused(server: DevnetServer) -> None:
    other = DevnetServer()
    with pytest.raises(ConfigurationError, match="is taken"):
        await other.start(port=int(server.urls.base.rsplit(":", 1)[1]))
    with pytest.raises(DevnetError, match="does not run"):
        _ = other.urls
    with pytest.raises(DevnetError, match="runs already"):
        await server.start()
    await other.stop()
