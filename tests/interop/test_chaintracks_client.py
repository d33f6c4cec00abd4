"""The reference's ``ChaintracksServiceClient`` calls every v1 endpoint of our server."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from sdk.chaintracks.engine import Chaintracks
from sdk.chaintracks.server import ChaintracksServer
from sdk.chaintracks.sources.whatsonchain import WhatsOnChainSource
from sdk.service.database import Database
from support.header_rig import HeaderNetwork, mined
from support.peers import Peer, PeerError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from pathlib import Path

    Call = Callable[..., Coroutine[Any, Any, Any]]


@pytest.fixture(scope="module")
def node() -> Iterator[Peer]:
    with Peer.node("chaintracks_client") as peer:
        peer.call("get", url="data:,", patience=120)  # the toolbox is slow to load
        yield peer


@pytest.fixture
async def served(node: Peer, tmp_path: Path) -> AsyncIterator[tuple[HeaderNetwork, str, Call]]:
    network = HeaderNetwork()
    network.mine(30)
    async with AsyncExitStack() as stack:
        source = await stack.enter_async_context(network.served())
        database = await stack.enter_async_context(await Database.open(f"sqlite:///{tmp_path}/headers.sqlite"))
        tracks = await Chaintracks.open("mock", database, [WhatsOnChainSource(source)], interval=3600)
        server = ChaintracksServer(tracks)
        url = await server.start()
        stack.push_async_callback(server.stop)
        await tracks.sync()

        async def call(method: str, *args: Any) -> Any:
            return await asyncio.to_thread(node.call, "call", url=url, method=method, args=args)

        yield network, url, call


async def test_the_references_client_reads_every_endpoint(served: tuple[HeaderNetwork, str, Call]) -> None:
    network, _, call = served
    tip, third = network.chain[-1], network.chain[3]
    assert await call("getPresentHeight") == await call("currentHeight") == 30
    assert await call("isListening") is True
    assert await call("isSynchronized") is True
    assert await call("findChainTipHash") == tip.hash()
    found = await call("findChainTipHeader")
    assert (found["hash"], found["height"], found["previousHash"]) == (tip.hash(), 30, tip.previous_hash)
    found = await call("findHeaderForHeight", 3)
    assert found == await call("findHeaderForBlockHash", third.hash())
    assert {"version", "previousHash", "merkleRoot", "time", "bits", "nonce", "height", "hash"} < set(found)
    assert (found["hash"], found["merkleRoot"], found["nonce"]) == (third.hash(), third.merkle_root, third.nonce)
    assert await call("findHeaderForHeight", 31) is None
    assert await call("findHeaderForBlockHash", "ab" * 32) is None
    assert await call("isValidRootForHeight", third.merkle_root, 3) is True
    assert await call("isValidRootForHeight", third.merkle_root, 4) is False
    assert await call("getHeaders", 28, 10) == "".join(each.to_hex() for each in network.chain[28:])
    info = await call("getInfo")
    assert (info["chain"], info["heightLive"]) == ("mock", 30)


async def test_the_references_client_adds_headers_that_hold_and_is_refused_others(
    served: tuple[HeaderNetwork, str, Call],
) -> None:
    network, _, call = served
    header = mined(network.chain[-1])
    body = {
        "version": header.version,
        "previousHash": header.previous_hash,
        "merkleRoot": header.merkle_root,
        "time": header.time,
        "bits": header.bits,
        "nonce": header.nonce,
    }
    with pytest.raises(PeerError):
        await call("addHeader", {**body, "bits": 0x1D00FFFF})
    assert await call("getPresentHeight") == 30
    await call("addHeader", body)
    assert await call("findChainTipHash") == header.hash()


async def test_the_references_chain_tracker_works_on_this_server(
    node: Peer, served: tuple[HeaderNetwork, str, Call]
) -> None:
    network, url, _ = served
    root = network.chain[9].merkle_root
    found = await asyncio.to_thread(node.call, "tracker", url=url, root=root, height=9)
    assert found == {"valid": True, "height": 30}


async def test_the_references_client_sees_errors_as_errors(node: Peer, served: tuple[HeaderNetwork, str, Call]) -> None:
    _, url, call = served
    with pytest.raises(PeerError, match="ERR_PARSE"):
        await call("findHeaderForHeight", "NaN")
    found = await asyncio.to_thread(node.call, "get", url=url)
    assert found == {"status": 200, "text": "Chaintracks mockNet Block Header Service"}
