"""WhatsOnChain's wire as wallets and header services use it (spec/arc.md §3), and faults on demand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from sdk.core.header import BlockHeader
from sdk.core.merkle_path import MerklePath
from sdk.core.transaction import OutPoint
from sdk.devnet.chain.scripts import script_hash
from sdk.devnet.faults import Fault, FaultKind
from sdk.devnet.server import DevnetServer
from sdk.devnet.whatsonchain import routes
from support.devnet_rig import ANYONE, NOBODY, coin, spend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sdk.devnet.devnet import Devnet

KEY = script_hash(ANYONE)


@dataclass
class Answer:
    status: int
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class WhatsOnChain:
    def __init__(self, server: DevnetServer, session: aiohttp.ClientSession) -> None:
        self.devnet: Devnet = server.devnet
        self.base = server.urls.whatsonchain
        self._session = session

    async def get(self, path: str) -> Answer:
        url = path if path.startswith("http") else self.base + path
        async with self._session.get(url) as answer:
            return Answer(answer.status, await answer.read())

    async def post(self, path: str, body: object) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self._session.post(self.base + path, data=data) as answer:
            return Answer(answer.status, await answer.read())


@pytest.fixture
async def woc() -> AsyncIterator[WhatsOnChain]:
    async with DevnetServer() as server, aiohttp.ClientSession() as session:
        yield WhatsOnChain(server, session)


# blocks


async def test_chain_info(woc: WhatsOnChain) -> None:
    info = (await woc.get("/chain/info")).json
    tip = woc.devnet.tip
    assert (info["chain"], info["blocks"], info["bestblockhash"]) == ("mock", woc.devnet.height, tip.hash)
    assert int(info["chainwork"], 16) == tip.chain_work
    assert (await woc.get("/../nonet/chain/info")).status == 404


async def test_a_header_by_height_and_by_hash_is_what_was_mined(woc: WhatsOnChain) -> None:
    for height in (0, 1, woc.devnet.height):
        node = woc.devnet.chain.node_at(height)
        by_height = (await woc.get(f"/block/{height}/header")).json
        assert (await woc.get(f"/block/{node.hash}/header")).json == by_height
        again = BlockHeader(
            by_height["version"],
            by_height["previousblockhash"] or "0" * 64,
            by_height["merkleroot"],
            by_height["time"],
            int(by_height["bits"], 16),
            by_height["nonce"],
        )
        assert again.hash() == by_height["hash"] == node.hash
        assert by_height["confirmations"] == woc.devnet.height - height + 1
    assert by_height["nextblockhash"] == ""


async def test_a_stale_block_is_known_but_has_no_confirmations(woc: WhatsOnChain) -> None:
    stale = woc.devnet.tip.hash
    woc.devnet.reorg(1)
    assert (await woc.get(f"/block/{stale}/header")).json["confirmations"] == -1


@pytest.mark.parametrize("name", ["9999999", "ab" * 32, "-1", "tip", "٣", "9" * 5000])
async def test_a_block_that_is_not_there_is_404(woc: WhatsOnChain, name: str) -> None:
    assert (await woc.get(f"/block/{name}/header")).status == 404


async def test_recent_headers_come_newest_first(woc: WhatsOnChain) -> None:
    heights = [each["height"] for each in (await woc.get("/block/headers")).json]
    assert heights == list(range(woc.devnet.height, woc.devnet.height - 10, -1))


async def test_the_header_files_together_are_the_chain(woc: WhatsOnChain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "HEADERS_PER_FILE", 40)
    files = (await woc.get("/block/headers/resources")).json["files"]
    assert [each.rsplit("/", 1)[1] for each in files] == ["0_39_headers.bin", "40_79_headers.bin", "latest"]
    data = b"".join([(await woc.get(each)).body for each in files])
    headers = [BlockHeader.from_bytes(data[at : at + 80]) for at in range(0, len(data), 80)]
    assert headers == [node.block.header for node in woc.devnet.chain.active]
    for name in ("0_40_headers.bin", "90_999_headers.bin", "9_1_headers.bin", "other"):
        assert (await woc.get(f"/block/headers/{name}")).status == 404


# transactions


async def test_a_transaction_from_broadcast_to_proof(woc: WhatsOnChain) -> None:
    transaction = spend([coin(woc.devnet)], [9_000])
    txid = transaction.txid()
    unknown = [{"txid": txid, "error": "unknown"}]
    assert (await woc.post("/txs/status", {"txids": [txid]})).json == unknown
    assert (await woc.get(f"/tx/{txid}/hex")).status == 404
    assert (await woc.get(f"/tx/{txid}/proof/tsc")).status == 404
    assert (await woc.post("/tx/raw", {"txhex": transaction.to_hex()})).json == txid
    assert (await woc.post("/txs/status", {"txids": [txid]})).json == [{"txid": txid}]
    assert (await woc.get(f"/tx/{txid}/hex")).text == transaction.to_hex()
    assert (await woc.get(f"/tx/{txid}/proof/tsc")).json is None
    woc.devnet.mine(2)
    node = woc.devnet.chain.block_of(txid)
    assert node is not None
    (status,) = (await woc.post("/txs/status", {"txids": [txid]})).json
    assert (status["blockhash"], status["blockheight"], status["confirmations"]) == (node.hash, node.height, 2)
    (proof,) = (await woc.get(f"/tx/{txid}/proof/tsc")).json
    assert (proof["txOrId"], proof["target"]) == (txid, node.hash)
    path = MerklePath.from_tsc(node.height, txid, proof["index"], proof["nodes"])
    assert path.compute_root(txid) == node.block.header.merkle_root
    woc.devnet.reorg(2)
    assert (await woc.post("/txs/status", {"txids": [txid]})).json == [{"txid": txid}]


async def test_what_a_refused_broadcast_says(woc: WhatsOnChain) -> None:
    async def said(transaction: Any) -> str:
        answer = await woc.post("/tx/raw", {"txhex": transaction.to_hex()})
        assert answer.status == 400
        return answer.text.removeprefix("unexpected response code 500: ")

    source = coin(woc.devnet)
    first = spend([source], [9_000])
    woc.devnet.submit(first)
    assert await said(first) == "Transaction already in the mempool"
    assert await said(spend([source], [8_000])) == "258: txn-mempool-conflict"
    assert await said(spend([OutPoint("ab" * 32, 0)], [1])) == "Missing inputs"
    assert await said(spend([coin(woc.devnet)], [10_000])) == "66: mempool min fee not met"
    assert await said(spend([coin(woc.devnet)], [10_001])) == "16: bad-txns-in-belowout"
    assert await said(spend([coin(woc.devnet)], [0])) == "64: dust"
    late = spend([coin(woc.devnet)], [9_000], lock_time=woc.devnet.height + 50, sequence=0)
    assert await said(late) == "64: bad-txns-nonfinal"
    assert (await said(spend([coin(woc.devnet, lock=NOBODY)], [9_000]))).startswith("16: mandatory-script")
    woc.devnet.mine()
    assert await said(first) == "257: txn-already-known"
    assert await said(spend([source], [8_000])) == "Missing inputs"
    assert len(woc.devnet.chain.orphans) == 0


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tx/raw", b""),
        ("/tx/raw", b"[" * 100_000),
        ("/tx/raw", []),
        ("/tx/raw", {"txhex": 5}),
        ("/tx/raw", {"txhex": "zz"}),
        ("/tx/raw", {"txhex": "01000000ffffffffffffffffff"}),
        ("/txs/status", {}),
        ("/txs/status", {"txids": []}),
        ("/txs/status", {"txids": ["ab" * 32] * 21}),
        ("/txs/status", {"txids": ["ab"]}),
        ("/txs/status", {"txids": [5]}),
    ],
)
async def test_malformed_requests_are_400(woc: WhatsOnChain, path: str, body: object) -> None:
    assert (await woc.post(path, body)).status == 400


# scripts


async def test_unspent_outputs_of_a_script(woc: WhatsOnChain) -> None:
    async def unspent() -> dict[str, dict[str, Any]]:
        answer = (await woc.get(f"/script/{KEY}/unspent/all")).json
        assert (answer["script"], answer["error"]) == (KEY, "")
        return {f"{each['tx_hash']}.{each['tx_pos']}": each for each in answer["result"]}

    assert await unspent() == {}
    source = coin(woc.devnet)
    mined = (await unspent())[str(source)]
    assert (mined["value"], mined["height"], mined["isSpentInMempoolTx"]) == (10_000, woc.devnet.height, False)
    assert mined["status"] == "confirmed"
    child = spend([source], [9_000])
    woc.devnet.submit(child)
    found = await unspent()
    assert found[str(source)]["isSpentInMempoolTx"] is True
    assert found[f"{child.txid()}.0"]["status"] == "unconfirmed"
    woc.devnet.mine()
    assert set(await unspent()) == {f"{child.txid()}.0"}


async def test_history_of_a_script_page_by_page(woc: WhatsOnChain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "HISTORY_PAGE", 2)
    confirmed, waiting = f"/script/{KEY}/confirmed/history", f"/script/{KEY}/unconfirmed/history"
    assert (await woc.get(confirmed)).status == 404, "nothing yet"
    sources = [coin(woc.devnet) for _ in range(3)]
    transaction = spend(sources[:1], [9_000])
    woc.devnet.submit(transaction)
    assert (await woc.get(waiting)).json["result"] == [{"tx_hash": transaction.txid()}]
    woc.devnet.mine()
    assert (await woc.get(waiting)).status == 404
    first = (await woc.get(confirmed)).json
    second = (await woc.get(f"{confirmed}?token={first['nextPageToken']}")).json
    listed = first["result"] + second["result"]
    assert [each["tx_hash"] for each in listed] == [*(each.txid for each in sources), transaction.txid()]
    assert "nextPageToken" not in second
    assert (await woc.get(f"{confirmed}?token=x")).status == 400
    assert (await woc.get("/script/ab/confirmed/history")).status == 400


async def test_exchange_rate(woc: WhatsOnChain) -> None:
    answer = (await woc.get("/exchangerate")).json
    assert answer["currency"] == "USD"
    assert answer["rate"] > 0


# faults


async def test_faults_hit_what_they_name_as_often_as_they_say(woc: WhatsOnChain) -> None:
    faults = woc.devnet.faults
    faults.add(
        Fault(endpoint="whatsonchain.chain_info", kind=FaultKind.ERROR, times=1, skip=1, status=429, body="slow")
    )
    seen = [(await woc.get("/chain/info")).status for _ in range(3)]
    assert seen == [200, 429, 200]
    assert faults.armed() == ()
    faults.add(Fault(endpoint="arc.*", kind=FaultKind.ERROR))
    assert (await woc.get("/chain/info")).status == 200


@pytest.mark.parametrize(
    ("kind", "taken"), [(FaultKind.DROP, False), (FaultKind.DROP_ANSWER, True), (FaultKind.TRUNCATE, True)]
)
async def test_a_broken_connection_may_or_may_not_have_been_heard(
    woc: WhatsOnChain, kind: FaultKind, taken: bool
) -> None:
    transaction = spend([coin(woc.devnet)], [9_000])
    woc.devnet.faults.add(Fault(endpoint="whatsonchain.broadcast", kind=kind, times=1))
    with pytest.raises(aiohttp.ClientError):
        await woc.post("/tx/raw", {"txhex": transaction.to_hex()})
    assert (transaction.txid() in woc.devnet.chain.mempool) is taken


async def test_an_error_after_the_work_was_done(woc: WhatsOnChain) -> None:
    transaction = spend([coin(woc.devnet)], [9_000])
    woc.devnet.faults.add(Fault(kind=FaultKind.ERROR_ANSWER, times=1))
    assert (await woc.post("/tx/raw", {"txhex": transaction.to_hex()})).status == 503
    assert transaction.txid() in woc.devnet.chain.mempool


async def test_faults_over_http_never_hit_their_own_endpoint(woc: WhatsOnChain) -> None:
    root = woc.base.removesuffix("/v1/bsv/mock")
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{root}/faults", json={"kind": "delay", "seconds": 0.01}) as answer:
            (armed,) = (await answer.json())["faults"]
            assert (armed["endpoint"], armed["kind"]) == ("*", "delay")
        assert (await woc.get("/chain/info")).status == 200
        async with session.delete(f"{root}/faults") as answer:
            assert (await answer.json())["faults"] == []
