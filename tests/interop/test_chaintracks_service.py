"""Our client asks the reference's ``ChaintracksService``, which runs from the npm package on a real port, and has got
its old headers from the folder that our server offers."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sdk.chaintracks.client import ChaintracksClient, ChaintracksTracker, HeadersUpdate, ReorgUpdate
from sdk.chaintracks.consensus.fields import header_json
from sdk.core.errors import ServiceUnavailable
from sdk.core.header import BlockHeader
from support.header_rig import grown, raw
from support.header_server import header_server
from support.peers import Peer, PeerError
from support.requirements import vectors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from support.header_server import HeaderServer

BULK, LIVE = 350, 52
"""Real headers from the first on. The reference finds only those of its live part by hash."""
PATIENCE = 60.0


def real_headers() -> list[BlockHeader]:
    index = json.loads(vectors("headers", "cdnTest402", "mainNetBlockHeaders.json").read_text())
    data = b"".join(vectors("headers", "cdnTest402", each["fileName"]).read_bytes() for each in index["files"])
    return [BlockHeader.from_bytes(data[at : at + 80]) for at in range(0, (BULK + LIVE) * 80, 80)]


def objects(headers: Sequence[BlockHeader], first: int) -> list[dict[str, Any]]:
    return [header_json(each.to_bytes(), first + at) for at, each in enumerate(headers)]


class Service:
    """The reference's, at ``url``."""

    def __init__(self, peer: Peer, url: str) -> None:
        self._peer, self.url = peer, url

    async def feed(self, headers: Sequence[BlockHeader], first: int) -> None:
        """As a live source would."""
        await asyncio.to_thread(self._peer.call, "feed", headers=objects(headers, first))


@asynccontextmanager
async def reference(
    storage: str, folder: Path, headers: list[BlockHeader]
) -> AsyncIterator[tuple[Service, HeaderServer]]:
    """It, and ours."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Peer.node("chaintracks_service") as peer:
        async with header_server(folder, network="main", headers=headers[:BULK]) as ours:
            given = {"cdn": f"{ours.url}/blockheaders", "headers": objects(headers, 0), "threshold": LIVE}
            await asyncio.to_thread(peer.call, "start", patience=120, storage=storage, port=port, **given)
            yield Service(peer, f"http://127.0.0.1:{port}"), ours
            await asyncio.to_thread(peer.call, "stop")


async def until_tip(client: ChaintracksClient, header: BlockHeader) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await client.tip())[1] != header:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("storage", ["nodb", "sqlite"])
async def test_our_client_asks_the_references_service_everything(storage: str, tmp_path: Path) -> None:
    headers = real_headers()
    top = len(headers) - 1
    async with reference(storage, tmp_path, headers) as (service, _), ChaintracksClient(service.url) as client:
        await until_tip(client, headers[-1])
        assert await client.chain() == "main"
        info = await client.info()
        assert (info["chain"], info["heightLive"]) == ("main", top)
        assert info["heightBulk"] >= BULK - 1
        assert await client.current_height() == top
        assert await client.tip() == (top, headers[-1])
        assert await client.is_synchronized() is True
        for height in (0, 1, BULK - 1, BULK + 5, top):
            assert await client.header_at(height) == headers[height]
            assert await client.is_valid_root_for_height(headers[height].merkle_root, height)
            assert not await client.is_valid_root_for_height("ab" * 32, height)
        assert await client.header_at(top + 1) is None
        with pytest.raises(ServiceUnavailable):
            await client.is_valid_root_for_height(headers[0].merkle_root, top + 1)
        assert await client.header_for(headers[top - 3].hash()) == (top - 3, headers[top - 3])
        assert await client.header_for("ab" * 32) is None
        assert await client.headers(0, 20) == headers[:20]
        assert await client.headers(0, 1000) == headers
        assert await client.headers(top - 1, 10) == headers[-2:]
        for each in grown(headers, 2)[-2:]:
            await client.add_header(each)
            await until_tip(client, each)
        fork = grown(headers, 4, salt="fork")
        await service.feed(fork[-4:], len(headers))
        await until_tip(client, fork[-1])
        assert await client.headers(top - 2, 20) == fork[top - 2 :]
        async with ChaintracksTracker(service.url) as tracker:
            assert await tracker.is_valid_root_for_height(headers[7].merkle_root, 7)
            assert await tracker.is_valid_root_for_height(fork[-2].merkle_root, top + 3)
            assert not await tracker.is_valid_root_for_height(headers[6].merkle_root, 7)


@pytest.mark.parametrize("storage", ["nodb", "sqlite"])
async def test_our_client_subscribes_to_the_references_service_which_has_no_events(
    storage: str, tmp_path: Path
) -> None:
    """It is looked at. Its client refuses subscriptions; ours tells of every block and of a reorganisation."""
    headers = real_headers()
    top = len(headers) - 1
    async with (
        reference(storage, tmp_path, headers) as (service, _),
        ChaintracksClient(service.url, poll=0.05) as client,
    ):
        await until_tip(client, headers[-1])
        stream = client.header_updates(cursor=f"7-{headers[top - 2].hash()}")
        before = await anext(stream)
        assert isinstance(before, HeadersUpdate)
        assert (before.first, before.headers, before.removed) == (top - 1, tuple(headers[-2:]), 0)
        assert stream.polling
        reorgs = client.reorg_updates(cursor=before.cursor)
        reorg = asyncio.create_task(anext(reorgs))
        chain = grown(headers, 2)
        for each in chain[-2:]:
            await client.add_header(each)
            update = await anext(stream)
            assert isinstance(update, HeadersUpdate)
            assert (update.headers, update.removed) == ((each,), 0)
        async with asyncio.timeout(PATIENCE):
            while reorgs.cursor != update.cursor:  # noqa: ASYNC110 - it looks for itself
                await asyncio.sleep(0.01)
        short = grown(headers, 1, salt="short")
        await service.feed(short[-1:], top + 1)  # of less work
        fork = grown(headers, 4, salt="fork")
        await service.feed(fork[-4:], top + 1)
        seen: list[HeadersUpdate] = []
        while not seen or seen[-1].tip != fork[-1]:
            update = await anext(stream)
            assert isinstance(update, HeadersUpdate)
            seen.append(update)
        assert sum(each.removed for each in seen) == 2
        assert seen[0].first == top + 1
        told = await reorg
        assert isinstance(told, ReorgUpdate)
        assert [header for _, header in told.deactivated] == chain[:-3:-1]


INNER = {"constructor", "getJson", "getJsonOrUndefined", "postJsonVoid"}
UNSUPPORTED = {"subscribeHeaders", "subscribeReorgs", "unsubscribe"}
"""The reference's client has no subscriptions: it refuses these itself."""


def calls(headers: Sequence[BlockHeader]) -> dict[str, list[list[Any]]]:
    top, added = len(headers) - 1, grown(headers, 1)[-1]
    body = {name: value for name, value in header_json(added.to_bytes(), 0).items() if name not in ("height", "hash")}
    return {
        "getChain": [[]],
        "isListening": [[]],
        "isSynchronized": [[]],
        "startListening": [[]],
        "listening": [[]],
        "getPresentHeight": [[]],
        "currentHeight": [[]],
        "findChainTipHash": [[]],
        "findChainTipHeader": [[]],
        "getInfo": [[]],
        "findHeaderForHeight": [[0], [7], [BULK - 1], [BULK + 3], [top], [top + 1]],
        "findHeaderForBlockHash": [[headers[top].hash()], [headers[top - 9].hash()], ["ab" * 32]],
        "isValidRootForHeight": [[headers[9].merkle_root, 9], [headers[9].merkle_root, 10], ["00" * 32, top + 1]],
        "getHeaders": [[0, 3], [BULK - 2, 6], [top, 10], [top + 1, 2], [5, 0]],
        "addHeader": [[body]],
    }


async def test_the_references_client_gets_the_same_of_its_own_service_and_of_ours(tmp_path: Path) -> None:
    """Every method there is. Members that name the software or count rows differ; ours may tell more of old blocks."""
    headers = real_headers()
    with Peer.node("chaintracks_client") as client:
        wanted = set(await asyncio.to_thread(client.call, "methods", patience=120)) - INNER
        assert set(calls(headers)) | UNSUPPORTED == wanted
        async with reference("sqlite", tmp_path, headers) as (service, ours), ChaintracksClient(service.url) as waiting:
            await until_tip(waiting, headers[-1])
            await ours.service.chain.extend(raw(headers[BULK:]))

            async def call(url: str, method: str, args: list[Any]) -> Any:
                return await asyncio.to_thread(client.call, "call", url=url, method=method, args=args)

            for method, given in calls(headers).items():
                for args in given:
                    if method == "addHeader":  # real difficulty cannot be met here, and only ours minds
                        await call(service.url, method, args)
                        with pytest.raises(PeerError):
                            await call(ours.url, method, args)
                        assert ours.service.chain.tip.height == len(headers) - 1
                        continue
                    if method == "isSynchronized":  # nobody confirms the tip of this server
                        assert await call(service.url, method, args) is True
                        continue
                    theirs, mine = await call(service.url, method, args), await call(ours.url, method, args)
                    assert shown(mine, theirs) == shown(theirs, mine), (method, args)
            for method in UNSUPPORTED:
                with pytest.raises(PeerError, match="not implemented"):
                    await call(ours.url, method, [])


def shown(value: Any, other: Any) -> Any:
    """What both have to agree on."""
    if not isinstance(value, dict):
        return value
    if "liveIngestors" in value:
        return {name: value[name] for name in ("chain", "heightLive", "packages")} | {"members": sorted(value)}
    rows = {"headerId", "previousHeaderId"}
    found = {name: value[name] for name in value if name in other and name not in rows}
    return found | {name: bool(found[name]) for name in ("isActive", "isChainTip") if name in found}


async def test_the_references_service_and_ours_are_asked_together(tmp_path: Path) -> None:
    """A quorum of both, and failover from one that is gone to the reference's."""
    headers = real_headers()
    async with (
        reference("nodb", tmp_path, headers) as (service, ours),
        ChaintracksClient([service.url, ours.url], quorum=2, chain="main") as both,
        ChaintracksClient(["http://127.0.0.1:9", service.url], chain="main") as spare,
    ):
        await until_tip(spare, headers[-1])
        assert await both.header_at(77) == headers[77]
        assert await both.headers(5, 30) == headers[5:35]
        assert await both.current_height() == BULK - 1  # as far as both are
        assert await both.tip() == (BULK - 1, headers[BULK - 1])
        with pytest.raises(ServiceUnavailable, match="1 of 2 servers agree"):
            await both.header_at(BULK + 1)
