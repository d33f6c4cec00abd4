"""``FakeNetwork`` behind a real socket, so that a process that is killed leaves it as it was."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sdk.core.beef import Beef
from sdk.core.errors import InvalidParameter
from sdk.core.header import BlockHeader
from sdk.core.merkle_path import MerklePath
from sdk.core.script import Script
from sdk.core.transaction import OutPoint
from sdk.service.http_client import HttpClient
from sdk.wallet.services.ports import (
    Classification,
    PostResult,
    ProofResult,
    ProofState,
    TxState,
    TxStatus,
    UtxoState,
    UtxoStatus,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.fake_network import FakeNetwork


def network_app(network: FakeNetwork) -> web.Application:
    async def call(request: web.Request) -> web.Response:
        given = await request.json()
        return web.json_response(await _answer(network, given.pop("method"), given))

    app = web.Application(client_max_size=2**24)
    app.add_routes([web.post("/", call)])
    return app


async def _answer(network: FakeNetwork, method: str, given: dict[str, Any]) -> Any:
    if method == "mine":
        if network.mempool:
            network.mine()
        return None
    if method == "post_beef":
        return [asdict(each) for each in await network.post_beef(Beef.from_hex(given["beef"]), given["txids"])]
    if method == "get_merkle_path":
        found = await network.get_merkle_path(given["txid"])
        return {
            "state": found.state,
            "path": found.path and found.path.to_hex(),
            "header": found.header and found.header.to_hex(),
        }
    if method == "get_statuses":
        return [asdict(each) for each in (await network.get_statuses(given["txids"])).values()]
    if method == "get_utxo_status":
        return (await network.get_utxo_status(OutPoint.from_string(given["outpoint"]), Script(b""))).state
    if method == "get_raw_tx":
        raw = await network.get_raw_tx(given["txid"])
        return raw and raw.hex()
    if method == "get_height":
        return network.height
    if method == "get_header_for_height":
        return (
            (await network.get_header_for_height(given["height"])).to_hex()
            if given["height"] <= network.height
            else None
        )
    if method == "is_valid_root_for_height":
        return await network.is_valid_root_for_height(given["root"], given["height"])
    raise ValueError(method)


class HttpNetwork:
    """The client: satisfies ``WalletServices`` over the HTTP client that every service uses."""

    def __init__(self, url: str) -> None:
        self._http = HttpClient(url, service="network")

    @property
    def chain_tracker(self) -> HttpNetwork:
        return self

    async def close(self) -> None:
        await self._http.close()

    async def call(self, method: str, **given: Any) -> Any:
        return await self._http.post_json("/", {"method": method, **given})

    async def post_beef(self, beef: Beef, txids: Sequence[str]) -> list[PostResult]:
        answers = await self.call("post_beef", beef=beef.to_hex(), txids=list(txids))
        return [
            PostResult(
                **{
                    **each,
                    "classification": Classification(each["classification"]),
                    "competing_txids": tuple(each["competing_txids"]),
                }
            )
            for each in answers
        ]

    async def get_merkle_path(self, txid: str) -> ProofResult:
        found = await self.call("get_merkle_path", txid=txid)
        return ProofResult(
            ProofState(found["state"]),
            txid,
            "node",
            MerklePath.from_hex(found["path"]) if found["path"] else None,
            BlockHeader.from_hex(found["header"]) if found["header"] else None,
        )

    async def get_statuses(self, txids: Sequence[str]) -> dict[str, TxStatus]:
        answers = await self.call("get_statuses", txids=list(txids))
        return {each["txid"]: TxStatus(**{**each, "state": TxState(each["state"])}) for each in answers}

    async def get_utxo_status(self, outpoint: OutPoint, locking_script: Script) -> UtxoStatus:
        return UtxoStatus(outpoint, UtxoState(await self.call("get_utxo_status", outpoint=str(outpoint))), "node")

    async def get_raw_tx(self, txid: str) -> bytes | None:
        raw = await self.call("get_raw_tx", txid=txid)
        return None if raw is None else bytes.fromhex(raw)

    async def get_height(self) -> int:
        return int(await self.call("get_height"))

    async def get_header_for_height(self, height: int) -> BlockHeader:
        header = await self.call("get_header_for_height", height=height)
        if header is None:
            raise InvalidParameter("height", "at most that of the tip")
        return BlockHeader.from_hex(header)

    async def get_header_for_hash(self, block_hash: str) -> tuple[int, BlockHeader] | None:
        raise AssertionError("not asked for")

    async def is_valid_root_for_height(self, root: str, height: int) -> bool:
        return bool(await self.call("is_valid_root_for_height", root=root, height=height))

    async def current_height(self) -> int:
        return await self.get_height()
