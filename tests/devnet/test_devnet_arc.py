"""ARC's wire: every accepted body, every answer, the ladder of statuses (spec/arc.md §1)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from sdk.core.beef import V1, V2
from sdk.core.merkle_path import MerklePath
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.devnet.arc.settings import ArcSettings
from sdk.devnet.server import DevnetServer
from support.devnet_rig import ANYONE, NOBODY, coin, extended, spend, with_ancestry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sdk.devnet.devnet import Devnet

JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}
BYTES = {"Content-Type": "application/octet-stream"}


class Arc:
    """A client that takes answers as they come."""

    def __init__(self, server: DevnetServer, session: aiohttp.ClientSession) -> None:
        self.devnet: Devnet = server.devnet
        self._session, self._base = session, server.urls.arc

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
        async with self._session.post(self._base + path, data=body, headers=headers) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        async with self._session.get(self._base + path, headers=headers) as answer:
            return answer.status, await answer.json()

    async def submit(self, payload: bytes | Transaction, **headers: str) -> tuple[int, Any]:
        data = payload.to_bytes() if isinstance(payload, Transaction) else payload
        given = {f"X-{name}": value for name, value in headers.items()}
        return await self.post("/v1/tx", json.dumps({"rawTx": data.hex()}).encode(), {**JSON, **given})

    async def status(self, txid: str) -> dict[str, Any]:
        code, answer = await self.get(f"/v1/tx/{txid}")
        assert code == 200
        assert answer["txid"] == txid
        return dict(answer)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def arc(session: aiohttp.ClientSession) -> AsyncIterator[Arc]:
    async with DevnetServer() as server:
        yield Arc(server, session)


def encoded(kind: str, data: bytes) -> tuple[bytes, dict[str, str]]:
    if kind == "text":
        return data.hex().encode(), TEXT
    return (data, BYTES) if kind == "bytes" else (json.dumps({"rawTx": data.hex()}).encode(), JSON)


@pytest.mark.parametrize("kind", ["text", "json", "bytes"])
@pytest.mark.parametrize("form", ["raw", "extended", "beef v1", "beef v2"])
async def test_every_accepted_body(arc: Arc, kind: str, form: str) -> None:
    transaction = spend([coin(arc.devnet)], [9_000])
    beef = with_ancestry(arc.devnet, transaction)
    data = {
        "raw": transaction.to_bytes(),
        "extended": extended(transaction, TransactionOutput(10_000, ANYONE)),
        "beef v1": beef.to_bytes(V1),
        "beef v2": beef.to_bytes(V2),
    }[form]
    code, answer = await arc.post("/v1/tx", *encoded(kind, data))
    assert (code, answer["txStatus"]) == (200, "SEEN_ON_NETWORK")
    assert set(answer) == {
        *("blockHash", "blockHeight", "competingTxs", "extraInfo", "merklePath"),
        *("status", "timestamp", "title", "txStatus", "txid"),
    }
    assert (answer["txid"], answer["status"], answer["title"]) == (transaction.txid(), 200, "OK")
    assert transaction.txid() in arc.devnet.chain.mempool


@pytest.mark.parametrize("kind", ["text", "json", "bytes"])
async def test_a_batch_answers_successes_first_and_failures_after(arc: Arc, kind: str) -> None:
    good = [spend([coin(arc.devnet)], [9_000 - n]) for n in range(2)]
    bad = spend([coin(arc.devnet)], [99_000])
    raw = [each.to_bytes() for each in (good[0], bad, good[1])]
    body, headers = {
        "text": (b"\n".join(each.hex().encode() for each in raw), TEXT),
        "json": (json.dumps([{"rawTx": each.hex()} for each in raw]).encode(), JSON),
        "bytes": (b"".join(raw), BYTES),
    }[kind]
    code, answers = await arc.post("/v1/txs", body, headers)
    assert code == 200
    assert [each["txid"] for each in answers] == [good[0].txid(), good[1].txid(), bad.txid()]
    assert [each["status"] for each in answers] == [200, 200, 462]


async def test_extended_ones_in_a_stream_end_where_they_end(arc: Arc) -> None:
    ours = [spend([coin(arc.devnet)], [9_000 - n]) for n in range(2)]
    stream = b"".join(extended(each, TransactionOutput(10_000, ANYONE)) for each in ours)
    code, answers = await arc.post("/v1/txs", stream, BYTES)
    assert (code, [each["txid"] for each in answers]) == (200, [each.txid() for each in ours])


async def test_all_unmined_transactions_of_a_beef_are_submitted(arc: Arc) -> None:
    parent = spend([coin(arc.devnet)], [9_000])
    child = spend([OutPoint(parent.txid(), 0)], [8_000])
    beef = with_ancestry(arc.devnet, parent, child)
    code, answer = await arc.submit(beef.to_bytes(V1))
    assert (code, answer["txid"]) == (200, parent.txid()), "it tells of the first only"
    assert (await arc.status(child.txid()))["txStatus"] == "SEEN_ON_NETWORK"


# refusals (§1.4)


def _paying(devnet: Devnet, amount: bytes) -> bytes:
    """A transaction whose only output has the eight bytes ``amount``."""
    transaction = spend([coin(devnet)], [1_000])
    return transaction.to_bytes().replace((1_000).to_bytes(8, "little"), amount)


def _beef_with_wrong_root(devnet: Devnet) -> bytes:
    beef = with_ancestry(devnet, spend([coin(devnet)], [9_000]))
    data = beef.to_bytes(V1)
    (height,) = beef.roots()
    assert height < 0xFD
    assert data[5] == height  # marker, one path, its height
    return data[:5] + bytes([height - 1]) + data[6:]


def _beef_without_ancestor(devnet: Devnet) -> bytes:
    parent = spend([coin(devnet)], [9_000])
    child = spend([OutPoint(parent.txid(), 0)], [8_000])
    beef = with_ancestry(devnet, spend([coin(devnet)], [9_000]))
    beef.merge_transaction(child)
    return beef.to_bytes(V1)


REFUSALS: dict[str, tuple[int, Any]] = {
    "parents are unknown": (460, lambda d: spend([OutPoint("ab" * 32, 0)], [1])),
    "script fails": (461, lambda d: spend([coin(d, lock=NOBODY)], [9_000])),
    "outputs above inputs": (462, lambda d: spend([coin(d)], [10_001])),
    "an input twice": (462, lambda d: spend([coin(d)] * 2, [9_000])),
    "a coinbase": (462, lambda d: d.tip.block.transactions[0]),
    "no outputs": (464, lambda d: Transaction(1, [TransactionInput(coin(d), Script(b"\x01" * 60))], [], 0)),
    "no inputs": (462, lambda d: Transaction(1, [], [TransactionOutput(1, Script(b"\x6a" + b"\x51" * 60))], 0)),
    "too small": (463, lambda d: spend([coin(d)], [9_000], lock=Script(b""))),
    "unlocks with more than pushes": (463, lambda d: spend([coin(d)], [9_000], unlock=b"\x61")),
    "money on a false return": (464, lambda d: spend([coin(d)], [9_000], lock=Script(b"\x00\x6a"))),
    "more money than there is": (462, lambda d: _paying(d, (2_100_000_000_000_001).to_bytes(8, "little"))),
    "less than no money": (464, lambda d: _paying(d, b"\xff" * 8)),
    "fee too low": (465, lambda d: spend([coin(d)], [10_000])),
    "a root of no block": (469, _beef_with_wrong_root),
    "an ancestor is missing": (475, _beef_without_ancestor),
    "a broken BEEF": (463, lambda d: b"\x01\x00\xbe\xef\xff\xff"),
    "not a transaction": (400, lambda d: b"\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
    "bytes after the end": (400, lambda d: spend([coin(d)], [9_000]).to_bytes() + b"\0"),
    "AtomicBEEF": (400, lambda d: d.fund(ANYONE, 5_000).beef),
}


@pytest.mark.parametrize("why", REFUSALS)
async def test_what_is_refused_says_why_and_leaves_no_trace(arc: Arc, why: str) -> None:
    wanted, make = REFUSALS[why]
    payload = make(arc.devnet)
    before = set(arc.devnet.chain.mempool.entries)
    code, problem = await arc.submit(payload)
    assert (code, problem["status"]) == (wanted, wanted)
    assert set(problem) == {"type", "title", "status", "detail", "instance", "txid", "extraInfo"}
    assert problem["type"] == f"https://bitcoin-sv.github.io/arc/#/errors?id=_{wanted}"
    if isinstance(payload, Transaction):
        assert problem["txid"] == payload.txid()
        assert (await arc.get(f"/v1/tx/{payload.txid()}"))[0] == 404
    assert set(arc.devnet.chain.mempool.entries) == before


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", JSON),
        (b"zz", TEXT),
        (b"\xff\xfe", TEXT),
        (b"{", JSON),
        (b"[]", JSON),
        (b'{"rawTx":5}', JSON),
        (b'{"rawTx":"abc"}', JSON),
        (b'{"rawTx":""}', JSON),
        (b"[" * 100_000, JSON),
        (b"0100", {"Content-Type": "image/png"}),
        (b"\x00", BYTES),
        (b"00", {**TEXT, "X-MaxTimeout": "31"}),
        (b"00", {**TEXT, "X-MaxTimeout": "soon"}),
        (b"00", {**TEXT, "X-WaitFor": "HAPPY"}),
        (b"00", {**TEXT, "X-SkipFeeValidation": "yes"}),
        (b"00", {**TEXT, "X-CallbackUrl": "mailto:me"}),
        (b"00", {**TEXT, "X-CallbackUrl": "http://[::1"}),
    ],
)
@pytest.mark.parametrize("path", ["/v1/tx", "/v1/txs"])
async def test_malformed_requests_are_400(arc: Arc, path: str, body: bytes, headers: dict[str, str]) -> None:
    code, problem = await arc.post(path, body, headers)
    assert (code, problem["status"], problem["title"]) == (400, 400, "Bad request")


async def test_too_large_a_body_and_too_large_a_batch_are_refused(session: aiohttp.ClientSession) -> None:
    async with DevnetServer(arc=ArcSettings(max_body=10_000, max_batch=2)) as server:
        arc = Arc(server, session)
        assert (await arc.post("/v1/tx", b"00" * 10_000, TEXT))[0] == 413
        three = b"\n".join(spend([coin(arc.devnet)], [n]).to_hex().encode() for n in (1, 2, 3))
        code, problem = await arc.post("/v1/txs", three, TEXT)
        assert (code, problem["extraInfo"]) == (400, "arc error 400: a batch has 1 to 2 transactions, not 3")


async def test_an_input_that_is_frozen(arc: Arc) -> None:
    frozen = coin(arc.devnet)
    arc.devnet.chain.frozen[frozen] = "policy"
    assert (await arc.submit(spend([frozen], [9_000])))[0] == 471
    arc.devnet.chain.frozen[frozen] = "consensus"
    assert (await arc.submit(spend([frozen], [9_000])))[0] == 472


# statuses (§1.5)


async def test_mined_then_stale_then_mined_again(arc: Arc) -> None:
    transaction = spend([coin(arc.devnet)], [9_000])
    txid = transaction.txid()
    await arc.submit(transaction)
    arc.devnet.mine()
    for _ in range(2):
        node = arc.devnet.chain.block_of(txid)
        assert node is not None
        mined = await arc.status(txid)
        assert (mined["txStatus"], mined["blockHash"], mined["blockHeight"]) == ("MINED", node.hash, node.height)
        path = MerklePath.from_hex(mined["merklePath"])
        assert (path.block_height, path.compute_root(txid)) == (node.height, node.block.header.merkle_root)
        arc.devnet.reorg(1)
        waiting = await arc.status(txid)
        assert (waiting["txStatus"], waiting["merklePath"], waiting["blockHash"]) == ("SEEN_ON_NETWORK", "", "")
        arc.devnet.mine()


async def test_a_double_spend_names_what_is_in_its_way(arc: Arc) -> None:
    source = coin(arc.devnet)
    first, second = spend([source], [9_000]), spend([source], [8_000])
    await arc.submit(first)
    code, answer = await arc.submit(second)
    assert (code, answer["txStatus"]) == (200, "DOUBLE_SPEND_ATTEMPTED"), "a refusal in a 200"
    assert answer["competingTxs"] == [first.txid()]
    arc.devnet.mine()
    code, answer = await arc.submit(spend([source], [7_000]))
    assert (code, answer["txStatus"], answer["competingTxs"]) == (200, "REJECTED", [first.txid()])


async def test_a_rival_that_is_mined_rejects_what_waited(arc: Arc) -> None:
    source = coin(arc.devnet)
    loser, winner = spend([source], [9_000]), spend([source], [8_000])
    child = spend([OutPoint(loser.txid(), 0)], [8_500])
    for each in (loser, child):
        assert (await arc.submit(each))[1]["txStatus"] == "SEEN_ON_NETWORK"
    arc.devnet.reorg(1, transactions=[*arc.devnet.tip.block.transactions[1:], winner])
    lost = await arc.status(loser.txid())
    assert (lost["txStatus"], lost["competingTxs"]) == ("REJECTED", [winner.txid()])
    assert (await arc.status(child.txid()))["txStatus"] == "REJECTED"


async def test_an_orphan_waits_for_its_parent(arc: Arc) -> None:
    parent = spend([coin(arc.devnet)], [9_000])
    child = spend([OutPoint(parent.txid(), 0)], [8_000])
    code, answer = await arc.submit(extended(child, TransactionOutput(9_000, ANYONE)), MaxTimeout="0")
    assert (code, answer["txStatus"]) == (200, "SEEN_IN_ORPHAN_MEMPOOL")
    await arc.submit(parent)
    assert (await arc.status(child.txid()))["txStatus"] == "SEEN_ON_NETWORK"
    arc.devnet.mine()
    assert (await arc.status(child.txid()))["txStatus"] == "MINED"


async def test_the_ladder_is_climbed_at_its_pace(session: aiohttp.ClientSession) -> None:
    async with DevnetServer(arc=ArcSettings(pace=0.01)) as server:
        arc = Arc(server, session)
        first, second = (spend([coin(arc.devnet)], [9_000 - n]) for n in range(2))
        _, queued = await arc.submit(first, WaitFor="QUEUED")
        assert queued["txStatus"] == "QUEUED"
        _, stored = await arc.submit(second, WaitFor="STORED")
        assert stored["txStatus"] in ("STORED", "ANNOUNCED_TO_NETWORK"), "as soon as it is there"
        _, seen = await arc.submit(first, WaitFor="SEEN_ON_NETWORK")
        assert seen["txStatus"] == "SEEN_ON_NETWORK"


async def test_waiting_ends_at_the_deadline_with_what_is_so(session: aiohttp.ClientSession) -> None:
    async with DevnetServer(arc=ArcSettings(pace=60)) as server:
        arc = Arc(server, session)
        async with asyncio.timeout(10):
            code, answer = await arc.submit(spend([coin(arc.devnet)], [9_000]), MaxTimeout="0")
        assert (code, answer["txStatus"]) == (200, "RECEIVED")


async def test_what_was_mined_before_is_announced_and_then_mined(arc: Arc) -> None:
    transaction = spend([coin(arc.devnet)], [9_000])
    arc.devnet.submit(transaction)
    arc.devnet.mine()
    code, answer = await arc.submit(transaction)
    assert (code, answer["txStatus"]) == (200, "ANNOUNCED_TO_NETWORK")
    code, answer = await arc.submit(transaction, WaitFor="MINED")
    assert answer["txStatus"] == "MINED"
    assert (await arc.status(transaction.txid()))["txStatus"] == "MINED"


async def test_submitting_again_changes_nothing(arc: Arc) -> None:
    transaction = spend([coin(arc.devnet)], [9_000])
    first = (await arc.submit(transaction))[1]
    again = (await arc.submit(transaction))[1]
    assert {**first, "timestamp": ""} == {**again, "timestamp": ""}
    assert len(arc.devnet.chain.mempool) == 1


# validation options, policy, health, authentication


async def test_skipped_checks_still_meet_the_node(arc: Arc) -> None:
    cheap = spend([coin(arc.devnet)], [10_000])
    code, answer = await arc.submit(cheap, SkipFeeValidation="true")
    assert (code, answer["txStatus"]) == (200, "REJECTED"), "the node asks for a fee too"
    broken = spend([coin(arc.devnet, lock=NOBODY)], [9_000])
    code, answer = await arc.submit(broken, SkipTxValidation="true")
    assert (code, answer["txStatus"]) == (200, "REJECTED")
    assert "script" in answer["extraInfo"]
    assert (await arc.submit(broken, SkipTxValidation="true", ForceValidation="true"))[0] == 461


async def test_policy_and_health(arc: Arc) -> None:
    code, answer = await arc.get("/v1/policy")
    assert (code, answer["policy"]["miningFee"]) == (200, {"satoshis": 1, "bytes": 1000})
    assert answer["policy"]["standardFormatSupported"] is True
    assert {"maxscriptsizepolicy", "maxtxsizepolicy", "maxtxsigopscountspolicy"} < set(answer["policy"])
    code, answer = await arc.get("/v1/health")
    assert (code, answer["healthy"], answer["reason"]) == (200, True, None)


@pytest.mark.parametrize("txid", ["ab" * 32, "zz" * 32, "ab", "%00"])
async def test_an_unknown_transaction_is_404(arc: Arc, txid: str) -> None:
    code, problem = await arc.get(f"/v1/tx/{txid}")
    assert (code, problem["title"]) == (404, "Not found")


async def test_a_key_is_asked_for_where_there_is_one(session: aiohttp.ClientSession) -> None:
    async with DevnetServer(arc=ArcSettings(api_key="secret")) as server:
        arc = Arc(server, session)
        assert (await arc.get("/v1/policy"))[0] == 401
        assert (await arc.get("/v1/policy", {"Authorization": "Bearer wrong"}))[0] == 401
        assert (await arc.get("/v1/policy", {"Authorization": "Bearer secret"}))[0] == 200
        assert (await arc.get("/v1/policy", {"Api-Key": "secret"}))[0] == 200


async def test_what_it_remembers_is_bounded(session: aiohttp.ClientSession) -> None:
    async with DevnetServer(arc=ArcSettings(max_records=2, max_receivers=1)) as server:
        arc = Arc(server, session)
        ours = [spend([coin(arc.devnet)], [9_000 - n]) for n in range(3)]
        for each in ours:
            assert (await arc.submit(each, CallbackUrl="http://127.0.0.1:9/a"))[0] == 200
        assert [(await arc.get(f"/v1/tx/{each.txid()}"))[0] for each in ours] == [404, 200, 200]
        code, problem = await arc.submit(ours[2], CallbackUrl="http://127.0.0.1:9/b")
        assert (code, problem["extraInfo"]) == (400, "arc error 400: 1 receivers are registered already")
