"""``FakeNetwork`` behind the wires of ARC, WhatsOnChain (spec/arc.md) and a header service (wallet-stack.md)."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.test_utils import TestServer

from sdk.core.beef import Beef
from sdk.core.merkle_path import MerklePath
from sdk.core.transaction import OutPoint, Transaction
from sdk.wallet.services.ports import Classification

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sdk.core.header import BlockHeader
    from support.fake_network import FakeNetwork

_WORDS = {Classification.SUCCESS: "SEEN_ON_NETWORK", Classification.ALREADY_KNOWN: "SEEN_ON_NETWORK"}


class Wires:
    """``received`` lists the first bytes of what ARC was sent."""

    def __init__(self, network: FakeNetwork) -> None:
        self.network = network
        self.received: list[str] = []

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**26)
        app.add_routes(
            [
                web.post("/arc/v1/tx", self.submit),
                web.get("/arc/v1/tx/{txid}", self.status),
                web.post("/woc/tx/raw", self.raw),
                web.post("/woc/txs/status", self.statuses),
                web.get("/woc/tx/{txid}/hex", self.hex),
                web.get("/woc/tx/{txid}/proof/tsc", self.proof),
                web.get("/woc/script/{hash}/unspent/all", self.unspent),
                web.get("/woc/block/{name}/header", self.block),
                web.get("/woc/chain/info", self.info),
                web.get("/headers/getPresentHeight", self.height),
                web.get("/headers/findHeaderHexForHeight", self.header_for_height),
                web.get("/headers/findHeaderHexForBlockHash", self.header_for_hash),
            ]
        )
        return app

    # ARC

    async def submit(self, request: web.Request) -> web.Response:
        raw = bytes.fromhex((await request.json())["rawTx"])
        self.received.append(raw[:10].hex())
        if raw[2:4] == b"\xbe\xef":
            beef = Beef.from_bytes(raw)
            subjects = [txid for txid in beef.txids() if beef.path_for(txid) is None]
        else:
            extended = Transaction.from_extended(raw)
            beef, subjects = Beef(), [extended.txid()]
            beef.merge_transaction(Transaction.from_bytes(extended.to_bytes()))
        results = await self.network.post_beef(beef, subjects)
        first = results[0]  # of a BEEF it reports the first one only
        word = _WORDS.get(first.classification, "DOUBLE_SPEND_ATTEMPTED")
        members = {"competingTxs": list(first.competing_txids), "extraInfo": "", "status": 200, "title": "OK"}
        return web.json_response({"txid": first.txid, "txStatus": word, **members})

    async def status(self, request: web.Request) -> web.Response:
        txid = request.match_info["txid"]
        height = self.network.block_of(txid)
        if height is not None:
            header, txids = self.network.chain[height]
            path = MerklePath.from_block(height, txids, [txid]).to_hex()
            mined = {"merklePath": path, "blockHash": header.hash(), "blockHeight": height}
            return web.json_response({"txid": txid, "txStatus": "MINED", **mined})
        if txid in self.network.mempool:
            return web.json_response({"txid": txid, "txStatus": "SEEN_ON_NETWORK"})
        return web.json_response({"title": "Not found", "status": 404, "txid": txid}, status=404)

    # WhatsOnChain

    async def raw(self, request: web.Request) -> web.Response:
        transaction = Transaction.from_hex((await request.json())["txhex"])
        beef = Beef()
        beef.merge_transaction(transaction)
        (result,) = await self.network.post_beef(beef, [transaction.txid()])
        if result.classification is Classification.SUCCESS:
            return web.json_response(transaction.txid())
        known = result.classification is Classification.ALREADY_KNOWN
        reason = "Transaction already in the mempool" if known else "258: txn-mempool-conflict"
        return web.Response(status=400, text=f"unexpected response code 500: {reason}")

    async def statuses(self, request: web.Request) -> web.Response:
        answers: list[dict[str, Any]] = []
        for txid in (await request.json())["txids"]:
            height = self.network.block_of(txid)
            if height is not None:
                answers.append({"txid": txid, "confirmations": self.network.height - height + 1})
            elif txid in self.network.mempool:
                answers.append({"txid": txid})
            else:
                answers.append({"txid": txid, "error": "unknown"})
        return web.json_response(answers)

    async def hex(self, request: web.Request) -> web.Response:
        raw = await self.network.get_raw_tx(request.match_info["txid"])
        return web.Response(status=404) if raw is None else web.Response(text=raw.hex())

    async def proof(self, request: web.Request) -> web.Response:
        txid = request.match_info["txid"]
        height = self.network.block_of(txid)
        if height is None:
            return web.json_response(None)
        header, txids = self.network.chain[height]
        index, nodes = MerklePath.from_block(height, txids, [txid]).to_tsc(txid)
        return web.json_response([{"index": index, "txOrId": txid, "target": header.hash(), "nodes": nodes}])

    async def unspent(self, request: web.Request) -> web.Response:
        wanted = request.match_info["hash"]
        found = [
            {"tx_hash": txid, "tx_pos": vout, "value": each.satoshis, "height": 1, "isSpentInMempoolTx": False}
            for txid, transaction in self.network.known.items()
            for vout, each in enumerate(transaction.outputs)
            if hashlib.sha256(each.locking_script.data).digest()[::-1].hex() == wanted
            and self.network.spender_of(OutPoint(txid, vout)) is None
        ]
        return web.json_response({"script": wanted, "result": found, "error": ""})

    async def block(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        for height, (header, _) in enumerate(self.network.chain):
            if name in (str(height), header.hash()):
                return web.json_response(_members(height, header, "previousblockhash", "merkleroot"))
        return web.Response(status=404)

    async def info(self, _request: web.Request) -> web.Response:
        return web.json_response({"chain": "mock", "blocks": self.network.height})

    # headers

    async def height(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "success", "value": self.network.height})

    async def header_for_height(self, request: web.Request) -> web.Response:
        height = int(request.query["height"])
        if height > self.network.height:
            return web.json_response({"status": "success"})
        value = _members(height, self.network.chain[height][0], "previousHash", "merkleRoot")
        return web.json_response({"status": "success", "value": value})

    async def header_for_hash(self, request: web.Request) -> web.Response:
        found = await self.network.get_header_for_hash(request.query["hash"])
        value = {} if found is None else {"value": _members(*found, "previousHash", "merkleRoot")}
        return web.json_response({"status": "success", **value})


def _members(height: int, header: BlockHeader, previous: str, root: str) -> dict[str, Any]:
    return {
        "version": header.version,
        previous: header.previous_hash,
        root: header.merkle_root,
        "time": header.time,
        "bits": header.bits,
        "nonce": header.nonce,
        "height": height,
        "hash": header.hash(),
    }


@asynccontextmanager
async def wires(network: FakeNetwork) -> AsyncIterator[tuple[Wires, dict[str, str]]]:
    """The wires, and the settings that point a wallet at them."""
    wired = Wires(network)
    async with TestServer(wired.app()) as server:
        base = str(server.make_url("")).rstrip("/")
        yield (
            wired,
            {
                "SDK_WALLET_CHAIN": "mock",
                "SDK_WALLET_ARC_URL": f"{base}/arc",
                "SDK_WALLET_WHATSONCHAIN_URL": f"{base}/woc",
                "SDK_WALLET_WHATSONCHAIN_MIN_INTERVAL": "0",
                "SDK_WALLET_WHATSONCHAIN_DEPENDENT_WAIT": "0",
                "SDK_WALLET_HEADERS_URL": f"{base}/headers",
            },
        )
