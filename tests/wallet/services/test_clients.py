"""ARC, WhatsOnChain and header clients against real servers that answer oddly (spec/robustness.md R10-R16, R49)."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import pytest
from aiohttp import web

from sdk.core.beef import Beef
from sdk.core.errors import ServiceUnavailable
from sdk.core.header import BlockHeader
from sdk.core.merkle_path import MerklePath
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.service.http_client import HttpClient, HttpPolicy
from sdk.wallet.services.arc import ArcClient
from sdk.wallet.services.headers import HeaderServiceClient
from sdk.wallet.services.ports import Classification as C
from sdk.wallet.services.ports import ProofState, TxState, UtxoState
from sdk.wallet.services.services import Services
from sdk.wallet.services.whatsonchain import WhatsOnChainClient
from support.odd_servers import always, cut_short, endless, serving, silent

LOCK = Script.from_hex("51")
QUICK = HttpPolicy(timeout=2, connect_timeout=1, max_response=200_000, attempts=2, backoff=0.01, max_wait=0.05)


def transaction(*outpoints: OutPoint, satoshis: int = 1000, outputs: int = 2) -> Transaction:
    inputs = [TransactionInput(each, Script.from_hex("51")) for each in outpoints]
    return Transaction(1, inputs, [TransactionOutput(satoshis, LOCK)] * outputs, 0)


PARENT = transaction(OutPoint("11" * 32, 0))
CHILD = transaction(OutPoint(PARENT.txid(), 0), satoshis=500)
GRANDCHILD = transaction(OutPoint(CHILD.txid(), 0), OutPoint(CHILD.txid(), 1), satoshis=400)
TXIDS = [PARENT.txid(), "22" * 32, "33" * 32, "44" * 32]
PATH = MerklePath.from_block(7, TXIDS, [PARENT.txid()])
HEADER = BlockHeader(1, "00" * 32, PATH.compute_root(), 1_700_000_000, 0x207FFFFF, 5)


def proven_beef() -> Beef:
    beef = Beef()
    beef.merge_path(PATH)
    beef.merge_transaction(PARENT)
    beef.merge_transaction(CHILD)
    beef.merge_transaction(GRANDCHILD)
    return beef


def arc(url: str, **options: Any) -> ArcClient:
    return ArcClient(url, http=HttpClient(url, service="arc", policy=QUICK), **options)


def woc(url: str) -> WhatsOnChainClient:
    return WhatsOnChainClient(
        url, min_interval=0, dependent_wait=0, http=HttpClient(url, service="whatsonchain", policy=QUICK)
    )


def headers_at(url: str, **options: Any) -> HeaderServiceClient:
    return HeaderServiceClient(url, http=HttpClient(url, service="headers", policy=QUICK), **options)


def html() -> web.Response:
    return web.Response(status=502, text="<html><h1>Bad gateway</h1></html>", content_type="text/html")


def broken_json() -> web.Response:
    return web.Response(text='{"txid": "', content_type="application/json")


def redirect() -> web.Response:
    return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"})


def quota() -> web.Response:
    return web.json_response({"status": 429}, status=429, headers={"Retry-After": "7"})


def seen(txid: str, word: str = "SEEN_ON_NETWORK") -> web.Response:
    return web.json_response({"txid": txid, "txStatus": word, "status": 200, "title": "OK"})


ODD = {
    "an HTML error page": always(html),
    "cut JSON": always(broken_json),
    "a hang-up": cut_short,
    "an endless body": endless,
    "a redirect": always(redirect),
    "a quota": always(quota),
    "another txid": always(lambda: seen("ff" * 32)),
    "an empty body": always(lambda: web.Response(text="")),
    "an array": always(lambda: web.json_response([])),
    "success without a word": always(lambda: web.json_response({"txid": CHILD.txid(), "status": 200})),
}


@pytest.mark.parametrize("name", ODD)
async def test_r10_an_odd_answer_from_arc_is_no_verdict(name: str) -> None:
    async with serving(ODD[name]) as server:
        client = arc(server.url)
        try:
            (result,) = await client.post_beef(proven_beef(), [CHILD.txid()])
            (status,) = (await client.get_statuses([CHILD.txid()])).values()
            proof = await client.get_merkle_path(CHILD.txid())
        finally:
            await client.close()
    assert result.classification is C.SERVICE_ERROR
    assert status.state is TxState.UNAVAILABLE
    assert proof.state is ProofState.UNAVAILABLE
    if name == "a quota":
        assert result.retry_after == 7


@pytest.mark.parametrize("name", ODD)
async def test_r10_an_odd_answer_from_whatsonchain_is_no_verdict(name: str) -> None:
    async with serving(ODD[name]) as server:
        client = woc(server.url)
        try:
            (result,) = await client.post_beef(proven_beef(), [CHILD.txid()])
            (status,) = (await client.get_statuses([CHILD.txid()])).values()
            proof = await client.get_merkle_path(CHILD.txid())
            utxo = await client.get_utxo_status(OutPoint(CHILD.txid(), 0), LOCK)
            with pytest.raises(ServiceUnavailable):
                await client.get_raw_tx(CHILD.txid())
            with pytest.raises(ServiceUnavailable):
                await client.find_header_for_height(7)
            with pytest.raises(ServiceUnavailable):
                await client.get_height()
        finally:
            await client.close()
    assert result.classification is C.SERVICE_ERROR
    assert status.state is TxState.UNAVAILABLE
    assert proof.state in (ProofState.UNAVAILABLE, ProofState.NOT_FOUND)
    assert (proof.state is ProofState.NOT_FOUND) == (name == "an array")
    assert utxo.state is UtxoState.UNAVAILABLE


@pytest.mark.parametrize("name", ODD)
async def test_r52_an_odd_answer_from_a_header_service_is_no_mismatch(name: str) -> None:
    async with serving(ODD[name]) as server:
        client = headers_at(server.url)
        try:
            with pytest.raises(ServiceUnavailable):
                await client.is_valid_root_for_height(HEADER.merkle_root, 7)
            with pytest.raises(ServiceUnavailable):
                await client.current_height()
        finally:
            await client.close()


async def test_a_silent_service_costs_no_more_than_its_timeout() -> None:
    async with serving(silent) as server:
        client = WhatsOnChainClient(
            server.url,
            min_interval=0,
            http=HttpClient(server.url, service="whatsonchain", policy=HttpPolicy(timeout=0.2, attempts=1)),
        )
        async with asyncio.timeout(5):
            (result,) = await client.post_beef(proven_beef(), [CHILD.txid()])
        await client.close()
    assert result.classification is C.SERVICE_ERROR


async def test_an_absent_service_is_no_verdict() -> None:
    client = arc("http://127.0.0.1:9")
    (result,) = await client.post_beef(proven_beef(), [CHILD.txid()])
    await client.close()
    assert result.classification is C.SERVICE_ERROR
    assert "cannot be reached" in result.detail


async def test_r15_extended_format_only_when_every_parent_is_mined() -> None:
    async with serving(always(lambda: web.Response(status=500))) as server:
        client = arc(server.url, api_key="k", deployment_id="d", callback_url="http://cb/", callback_token="t")
        await client.post_beef(proven_beef(), [CHILD.txid()])
        await client.post_beef(proven_beef(), [GRANDCHILD.txid()])
        await client.close()
    first, second = (json.loads(each.body)["rawTx"] for each in server.seen)
    extended = Transaction.from_extended(bytes.fromhex(first))
    assert extended.txid() == CHILD.txid()
    assert second.startswith("0100beef")
    assert Beef.from_hex(second).txids() == [PARENT.txid(), CHILD.txid(), GRANDCHILD.txid()]
    sent = server.seen[0].headers
    assert (sent["Authorization"], sent["XDeployment-ID"]) == ("Bearer k", "d")
    assert (sent["X-CallbackUrl"], sent["X-CallbackToken"]) == ("http://cb/", "t")


async def test_r16_an_answer_about_the_first_of_a_beef_is_followed_by_a_question() -> None:
    async def answer(request: web.Request) -> web.Response:
        return seen(CHILD.txid()) if request.method == "POST" else seen(GRANDCHILD.txid(), "ACCEPTED_BY_NETWORK")

    async with serving(answer) as server:
        client = arc(server.url)
        (result,) = await client.post_beef(proven_beef(), [GRANDCHILD.txid()])
        await client.close()
    assert (result.classification, result.raw_status) == (C.SUCCESS, "ACCEPTED_BY_NETWORK")
    assert [each.method for each in server.seen] == ["POST", "GET"]


async def test_parents_missing_at_the_service_are_sent_along() -> None:
    async def answer(request: web.Request) -> web.Response:
        if "beef" in json.loads(await request.text())["rawTx"][:8]:
            return seen(CHILD.txid())
        return web.json_response({"status": 460, "title": "Not extended format", "txid": CHILD.txid()}, status=460)

    async with serving(answer) as server:
        client = arc(server.url)
        (result,) = await client.post_beef(proven_beef(), [CHILD.txid()])
        await client.close()
    assert result.accepted
    assert len(server.seen) == 2


async def test_a_child_is_not_sent_after_its_parent_was_refused() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"status": 461, "title": "Malformed transaction", "txid": CHILD.txid()}, status=461)

    async with serving(answer) as server:
        client = arc(server.url)
        first, second = await client.post_beef(proven_beef(), [CHILD.txid(), GRANDCHILD.txid()])
        await client.close()
    assert (first.classification, second.classification) == (C.INVALID, C.ORPHAN)
    assert len(server.seen) == 1


async def test_txid_only_ancestors_are_never_sent_to_arc() -> None:
    beef = Beef()
    beef.merge_txid_only(CHILD.txid())
    beef.merge_transaction(GRANDCHILD)
    async with serving(always(lambda: seen(GRANDCHILD.txid()))) as server:
        client = arc(server.url)
        (result,) = await client.post_beef(beef, [GRANDCHILD.txid()])
        await client.close()
    assert (result.classification, result.raw_status) == (C.SERVICE_ERROR, "not sent")
    assert server.seen == []


def woc_header(header: BlockHeader, height: int) -> dict[str, Any]:
    return {
        "hash": header.hash(), "height": height, "version": header.version, "merkleroot": header.merkle_root,
        "time": header.time, "nonce": header.nonce, "bits": f"{header.bits:08x}",
        "previousblockhash": header.previous_hash, "confirmations": 3,
    }  # fmt: skip


def tsc(**members: Any) -> dict[str, Any]:
    index, nodes = PATH.to_tsc(PARENT.txid())
    return {"index": index, "txOrId": PARENT.txid(), "target": HEADER.hash(), "nodes": nodes, **members}


def woc_chain(proof: Any, header: dict[str, Any] | None = None) -> Any:
    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/proof/tsc"):
            return web.json_response(proof)
        return web.json_response(header or woc_header(HEADER, 7))

    return answer


@pytest.mark.parametrize("wrap", [lambda proof: [proof], lambda proof: proof])
async def test_a_tsc_proof_becomes_a_path_that_leads_to_its_header(wrap: Any) -> None:
    async with serving(woc_chain(wrap(tsc()))) as server:
        client = woc(server.url)
        result = await client.get_merkle_path(PARENT.txid())
        await client.close()
    assert (result.state, result.path, result.header) == (ProofState.FOUND, PATH, HEADER)


@pytest.mark.parametrize(
    "proof",
    [
        tsc(index=1),
        tsc(nodes=["55" * 32, "66" * 32]),
        tsc(nodes=[]),
        tsc(txOrId=CHILD.txid()),
        tsc(txOrId="zz"),
        tsc(target="aa" * 32),
        tsc(index=-1),
        tsc(index="0"),
        tsc(nodes=5),
        {"index": 0},
        5,
    ],
)
async def test_r49_a_proof_that_does_not_hold_is_no_proof(proof: Any) -> None:
    async with serving(woc_chain([proof])) as server:
        client = woc(server.url)
        result = await client.get_merkle_path(PARENT.txid())
        await client.close()
    assert result.state is ProofState.UNAVAILABLE


async def test_a_stale_block_does_not_hide_the_good_proof() -> None:
    async with serving(woc_chain([tsc(target="aa" * 32), tsc()])) as server:
        client = woc(server.url)
        result = await client.get_merkle_path(PARENT.txid())
        await client.close()
    assert result.state is ProofState.FOUND


@pytest.mark.parametrize(("document", "status"), [(None, 200), ([], 200), (None, 404)])
async def test_no_proof_yet_is_not_an_error(document: Any, status: int) -> None:
    async with serving(always(lambda: web.json_response(document, status=status))) as server:
        client = woc(server.url)
        result = await client.get_merkle_path(PARENT.txid())
        await client.close()
    assert result.state is ProofState.NOT_FOUND


async def test_a_header_whose_hash_is_not_its_own_is_refused() -> None:
    lying = {**woc_header(HEADER, 7), "nonce": 6}
    async with serving(woc_chain([tsc()], lying)) as server:
        client = woc(server.url)
        with pytest.raises(ServiceUnavailable, match="hash"):
            await client.find_header_for_height(7)
        assert (await client.get_merkle_path(PARENT.txid())).state is ProofState.UNAVAILABLE
        await client.close()


async def test_raw_transactions_must_hash_to_their_txid() -> None:
    async with serving(always(lambda: web.Response(text=CHILD.to_hex()))) as server:
        client = woc(server.url)
        assert await client.get_raw_tx(CHILD.txid()) == CHILD.to_bytes()
        with pytest.raises(ServiceUnavailable, match="sent transaction"):
            await client.get_raw_tx(PARENT.txid())
        await client.close()
    async with serving(always(lambda: web.Response(status=404))) as server:
        client = woc(server.url)
        assert await client.get_raw_tx(CHILD.txid()) is None
        await client.close()


async def test_statuses_go_in_batches_and_what_is_left_out_is_not_unknown() -> None:
    async def answer(request: web.Request) -> web.Response:
        asked = json.loads(await request.text())["txids"]
        assert len(asked) <= 20
        known = [{"txid": asked[0], "confirmations": 3, "blockhash": "x"}, {"txid": asked[1]}]
        return web.json_response(
            [*known, {"txid": asked[2], "error": "unknown"}, {"txid": asked[3], "error": "busy"}, 5]
        )

    txids = [f"{number:064x}" for number in range(25)]
    async with serving(answer) as server:
        client = woc(server.url)
        found = await client.get_statuses(txids)
        await client.close()
    assert [found[each].state for each in txids[:5]] == [
        TxState.MINED, TxState.KNOWN, TxState.UNKNOWN, TxState.UNAVAILABLE, TxState.UNAVAILABLE,
    ]  # fmt: skip
    assert len(found) == 25
    assert len(server.seen) == 2


def unspent_answer(listed: list[Any], known: bool = True, **members: Any) -> Any:
    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/txs/status"):
            return web.json_response([{"txid": CHILD.txid()} if known else {"txid": CHILD.txid(), "error": "unknown"}])
        digest = hashlib.sha256(LOCK.to_bytes()).digest()[::-1].hex()
        return web.json_response({"script": digest, "result": listed, "error": "", **members})

    return answer


OURS = {"tx_hash": CHILD.txid(), "tx_pos": 0, "value": 500, "height": 7, "isSpentInMempoolTx": False}


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (unspent_answer([OURS]), UtxoState.UNSPENT),
        (unspent_answer([{**OURS, "isSpentInMempoolTx": True}]), UtxoState.SPENT),
        (unspent_answer([{**OURS, "tx_pos": 1}]), UtxoState.SPENT),
        (unspent_answer([]), UtxoState.SPENT),
        (unspent_answer([], known=False), UtxoState.UNAVAILABLE),
        (unspent_answer([OURS], script="aa" * 32), UtxoState.UNAVAILABLE),
        (unspent_answer([OURS], error="busy"), UtxoState.UNAVAILABLE),
        (unspent_answer([], nextPageToken="x"), UtxoState.UNAVAILABLE),
        (unspent_answer([5]), UtxoState.UNAVAILABLE),
    ],
)
async def test_r28_unknown_is_neither_spent_nor_unspent(answer: Any, state: UtxoState) -> None:
    async with serving(answer) as server:
        client = woc(server.url)
        status = await client.get_utxo_status(OutPoint(CHILD.txid(), 0), LOCK)
        await client.close()
    assert status.state is state


def header_service(chain: dict[int, BlockHeader], tip: int) -> Any:
    def value(request: web.Request) -> Any:
        if request.path == "/getPresentHeight":
            return tip
        if request.path == "/findHeaderHexForBlockHash":
            found = [(h, each) for h, each in chain.items() if each.hash() == request.query["hash"]]
        else:
            height = int(request.query["height"])
            found = [(height, chain[height])] if height in chain else []
        return members(*found[0]) if found else None

    async def answer(request: web.Request) -> web.Response:
        found = value(request)
        return web.json_response({"status": "success", **({} if found is None else {"value": found})})

    return answer


def members(height: int, header: BlockHeader) -> dict[str, Any]:
    return {
        "version": header.version, "previousHash": header.previous_hash, "merkleRoot": header.merkle_root,
        "time": header.time, "bits": header.bits, "nonce": header.nonce, "height": height, "hash": header.hash(),
    }  # fmt: skip


OTHER = BlockHeader(1, "00" * 32, "77" * 32, 1_700_000_001, 0x207FFFFF, 6)


async def test_header_service_answers_are_verdicts_only_below_its_tip() -> None:
    async with serving(header_service({7: HEADER}, 7)) as server:
        client = headers_at(server.url)
        assert await client.is_valid_root_for_height(HEADER.merkle_root, 7)
        assert not await client.is_valid_root_for_height("77" * 32, 7)
        assert await client.current_height() == 7
        assert await client.find_header_for_hash(HEADER.hash()) == (7, HEADER)
        assert await client.find_header_for_hash("aa" * 32) is None
        with pytest.raises(ServiceUnavailable, match="height 8"):
            await client.is_valid_root_for_height(HEADER.merkle_root, 8)
        await client.close()


async def test_a_reorganised_block_is_not_remembered_but_a_deep_one_is() -> None:
    chain = {7: HEADER, 200: HEADER}
    async with serving(header_service(chain, 205)) as server:
        client = headers_at(server.url)
        assert await client.is_valid_root_for_height(HEADER.merkle_root, 200)
        assert await client.is_valid_root_for_height(HEADER.merkle_root, 7)
        chain[200] = OTHER
        asked = len(server.seen)
        assert not await client.is_valid_root_for_height(HEADER.merkle_root, 200)
        assert len(server.seen) == asked + 1
        assert await client.is_valid_root_for_height(HEADER.merkle_root, 7)
        assert len(server.seen) == asked + 1
        await client.close()


async def test_the_memory_of_roots_is_bounded() -> None:
    chain = dict.fromkeys(range(50), HEADER)
    async with serving(header_service(chain, 1000)) as server:
        client = headers_at(server.url, max_roots=10)
        for height in range(50):
            assert await client.is_valid_root_for_height(HEADER.merkle_root, height)
        asked = len(server.seen)
        assert await client.is_valid_root_for_height(HEADER.merkle_root, 49)
        assert len(server.seen) == asked
        assert await client.is_valid_root_for_height(HEADER.merkle_root, 0)
        assert len(server.seen) == asked + 1
        await client.close()


async def test_a_stale_block_known_by_hash_is_not_on_the_best_chain() -> None:
    async def answer(request: web.Request) -> web.Response:
        header = OTHER if request.path == "/findHeaderHexForBlockHash" else HEADER
        return web.json_response({"status": "success", "value": members(7, header)})

    async with serving(answer) as server:
        client = headers_at(server.url)
        assert await client.find_header_for_hash(OTHER.hash()) is None
        await client.close()


async def test_r14_one_service_after_the_other_until_one_accepts() -> None:
    async with (
        serving(always(html)) as first,
        serving(always(lambda: seen(CHILD.txid()))) as second,
        serving(always(lambda: seen(CHILD.txid()))) as third,
        serving(header_service({7: HEADER}, 7)) as chain,
    ):
        services = Services(
            [arc(first.url, name="one"), arc(second.url, name="two"), arc(third.url, name="three")],
            headers_at(chain.url),
        )
        results = await services.post_beef(proven_beef(), [CHILD.txid()])
        history = services.history.to_wire()["services"]["postBeef"]["historyByProvider"]
        await services.close()
    assert [(each.provider, each.accepted) for each in results] == [("one", False), ("two", True)]
    assert third.seen == []
    assert [history[name]["totalCounts"]["success"] for name in ("one", "two")] == [0, 1]


async def test_r14_a_verdict_about_the_bytes_is_not_asked_about_again() -> None:
    def malformed() -> web.Response:
        return web.json_response({"status": 461, "title": "Malformed", "txid": CHILD.txid()}, status=461)

    def fee() -> web.Response:
        return web.json_response({"status": 465, "title": "Fee too low", "txid": CHILD.txid()}, status=465)

    for answer, asked in ((malformed, 0), (fee, 1)):
        async with (
            serving(always(answer)) as first,
            serving(always(lambda: seen(CHILD.txid()))) as second,
            serving(header_service({}, 7)) as chain,
        ):
            services = Services([arc(first.url), arc(second.url)], headers_at(chain.url))
            await services.post_beef(proven_beef(), [CHILD.txid()])
            await services.close()
        assert len(second.seen) == asked


async def test_r49_the_next_provider_proves_what_the_first_got_wrong() -> None:
    async def lying_arc(_request: web.Request) -> web.Response:
        bump = MerklePath.from_block(7, [PARENT.txid(), "99" * 32], [PARENT.txid()]).to_hex()
        return web.json_response({"txid": PARENT.txid(), "txStatus": "MINED", "merklePath": bump, "blockHeight": 7})

    async with (
        serving(lying_arc) as first,
        serving(woc_chain([tsc()])) as second,
        serving(header_service({7: HEADER}, 7)) as chain,
    ):
        services = Services([arc(first.url), woc(second.url)], headers_at(chain.url))
        result = await services.get_merkle_path(PARENT.txid())
        await services.close()
    assert (result.state, result.provider, result.header) == (ProofState.FOUND, "whatsonchain", HEADER)


async def test_r52_without_headers_no_proof_is_believed_and_none_refused() -> None:
    async with serving(woc_chain([tsc()])) as proofs, serving(always(html)) as chain:
        services = Services([woc(proofs.url)], headers_at(chain.url))
        result = await services.get_merkle_path(PARENT.txid())
        await services.close()
    assert result.state is ProofState.UNAVAILABLE


async def test_unknown_to_arc_is_not_unknown_to_the_network() -> None:
    def not_found() -> web.Response:
        return web.json_response({"status": 404, "title": "Not found"}, status=404)

    async def unknown(_request: web.Request) -> web.Response:
        return web.json_response([{"txid": CHILD.txid(), "error": "unknown"}])

    async with (
        serving(always(not_found)) as first,
        serving(unknown) as second,
        serving(always(html)) as down,
        serving(always(lambda: seen(CHILD.txid()))) as holder,
    ):
        cases = [
            ([arc(first.url)], TxState.UNAVAILABLE),
            ([arc(first.url), woc(down.url)], TxState.UNAVAILABLE),
            ([arc(first.url), woc(second.url)], TxState.UNKNOWN),
            ([arc(holder.url), woc(second.url)], TxState.KNOWN),
        ]
        for providers, state in cases:
            services = Services(providers, headers_at(down.url))  # type: ignore[arg-type]
            statuses = await services.get_statuses([CHILD.txid()])
            await services.close()
            assert statuses[CHILD.txid()].state is state
