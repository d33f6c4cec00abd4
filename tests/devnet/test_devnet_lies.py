"""Lies on demand: what the devnet then says, and that a wallet's services do not believe what they can check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from pydantic import ValidationError

from sdk.core.errors import ServiceUnavailable
from sdk.core.merkle_path import MerklePath
from sdk.core.transaction import OutPoint
from sdk.devnet.chain.scripts import script_hash
from sdk.devnet.faults import Fault, FaultKind
from sdk.devnet.lies import ENDPOINTS, Lie, invented
from sdk.devnet.server import DevnetServer
from sdk.wallet.services.composition import build_services
from sdk.wallet.services.ports import Classification, ProofState, TxState, UtxoState
from sdk.wallet.settings import WalletSettings
from support.devnet_rig import ANYONE, coin, extended, spend, with_ancestry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sdk.core.transaction import Transaction
    from sdk.devnet.devnet import Devnet
    from sdk.wallet.services.ports import PostResult
    from sdk.wallet.services.services import Services


@pytest.fixture
async def server() -> AsyncIterator[DevnetServer]:
    async with DevnetServer() as running:
        yield running


@pytest.fixture
def devnet(server: DevnetServer) -> Devnet:
    return server.devnet


@pytest.fixture
async def services(server: DevnetServer) -> AsyncIterator[Services]:
    built = build_services(WalletSettings.load(environ=server.urls.wallet_settings()))
    assert built is not None
    yield built
    await built.close()


def told(devnet: Devnet, lie: Lie, endpoint: str = "*") -> None:
    devnet.faults.add(Fault(endpoint=endpoint, kind=FaultKind.LIE, lie=lie))


def mined(devnet: Devnet) -> Transaction:
    transaction = spend([coin(devnet)], [9_000])
    devnet.submit(transaction)
    devnet.mine()
    return transaction


async def ask(server: DevnetServer, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, server.urls.base + path, json=body) as answer,
    ):
        text = await answer.text()
        return answer.status, text if answer.content_type == "text/plain" else await answer.json()


async def submit(server: DevnetServer, transaction: Transaction) -> Any:
    return (await ask(server, "POST", "/v1/tx", {"rawTx": transaction.to_hex()}))[1]


# what is said


async def test_a_forgotten_transaction_is_thanked_for_and_lost(server: DevnetServer, devnet: Devnet) -> None:
    told(devnet, Lie.FORGOTTEN)
    transaction = spend([coin(devnet)], [9_000])
    payload = extended(transaction, devnet.chain.transactions[transaction.inputs[0].outpoint.txid].outputs[0])
    beef = with_ancestry(devnet, transaction).to_bytes()
    for form in (transaction.to_bytes(), payload, beef):
        status, answer = await ask(server, "POST", "/v1/tx", {"rawTx": form.hex()})
        assert (status, answer["txid"], answer["txStatus"]) == (200, transaction.txid(), "SEEN_ON_NETWORK")
    woc = await ask(server, "POST", "/v1/bsv/mock/tx/raw", {"txhex": transaction.to_hex()})
    assert woc == (200, transaction.txid())
    assert devnet.chain.mempool.entries == {}
    assert (await ask(server, "GET", f"/v1/tx/{transaction.txid()}"))[0] == 404
    assert (await ask(server, "POST", "/v1/tx", {"rawTx": "00"}))[0] == 400
    assert (await ask(server, "POST", "/v1/bsv/mock/tx/raw", ["00"]))[0] == 400


@pytest.mark.parametrize(
    ("lie", "word", "rivals"),
    [
        (Lie.REJECTED, "REJECTED", 0),
        (Lie.DOUBLE_SPEND, "DOUBLE_SPEND_ATTEMPTED", 0),
        (Lie.INVENTED_RIVAL, "DOUBLE_SPEND_ATTEMPTED", 1),
    ],
)
async def test_words_against_what_was_accepted(
    server: DevnetServer, devnet: Devnet, lie: Lie, word: str, rivals: int
) -> None:
    told(devnet, lie, "arc.submit")
    transaction = spend([coin(devnet)], [9_000])
    answer = await submit(server, transaction)
    assert (answer["txid"], answer["txStatus"], len(answer["competingTxs"] or ())) == (transaction.txid(), word, rivals)
    assert transaction.txid() in devnet.chain.mempool
    honest = (await ask(server, "GET", f"/v1/tx/{transaction.txid()}"))[1]
    assert honest["txStatus"] == "SEEN_ON_NETWORK"


async def test_a_lie_passes_over_what_it_is_not_for(server: DevnetServer, devnet: Devnet) -> None:
    told(devnet, Lie.HIGHER_TIP)
    transaction = spend([coin(devnet)], [9_000])
    assert (await submit(server, transaction))["txStatus"] == "SEEN_ON_NETWORK"
    info = (await ask(server, "GET", "/v1/bsv/mock/chain/info"))[1]
    assert (info["blocks"], info["headers"]) == (devnet.height + 1000, devnet.height + 1000)


async def test_a_refusal_is_not_made_better(server: DevnetServer, devnet: Devnet) -> None:
    told(devnet, Lie.OTHER_TXID)
    transaction = spend([OutPoint("ab" * 32, 0)], [9_000])
    status, answer = await ask(server, "POST", "/v1/tx", {"rawTx": transaction.to_hex()})
    assert (status, answer["txid"]) == (460, transaction.txid())


async def test_proofs_are_well_formed_and_wrong(server: DevnetServer, devnet: Devnet) -> None:
    transaction = spend([coin(devnet)], [9_000])
    await submit(server, transaction)
    devnet.mine()
    txid, tip = transaction.txid(), devnet.tip
    true = MerklePath.from_hex((await ask(server, "GET", f"/v1/tx/{txid}"))[1]["merklePath"])
    told(devnet, Lie.FORGED_PROOF)
    forged = MerklePath.from_hex((await ask(server, "GET", f"/v1/tx/{txid}"))[1]["merklePath"])
    assert forged.block_height == true.block_height
    assert forged.compute_root(txid) != true.compute_root(txid) == tip.block.header.merkle_root
    (tsc,) = (await ask(server, "GET", f"/v1/bsv/mock/tx/{txid}/proof/tsc"))[1]
    assert MerklePath.from_tsc(tip.height, txid, tsc["index"], tsc["nodes"]) == forged
    devnet.faults.clear()
    told(devnet, Lie.OTHER_BLOCK)
    moved = (await ask(server, "GET", f"/v1/tx/{txid}"))[1]
    assert (moved["blockHeight"], moved["blockHash"]) == (tip.height - 1, tip.block.header.previous_hash)
    (tsc,) = (await ask(server, "GET", f"/v1/bsv/mock/tx/{txid}/proof/tsc"))[1]
    assert tsc["target"] == tip.block.header.previous_hash


def test_every_lie_has_its_place_and_fits_only_there() -> None:
    assert set(ENDPOINTS) == set(Lie)
    for lie, endpoints in ENDPOINTS.items():
        assert all(Fault(endpoint=each, kind=FaultKind.LIE, lie=lie).concerns(each) for each in endpoints)
        assert not Fault(kind=FaultKind.LIE, lie=lie).concerns("arc.policy")
        with pytest.raises(ValidationError, match=r"told at"):
            Fault(endpoint="arc.policy", kind=FaultKind.LIE, lie=lie)


# what is believed


async def posted(services: Services, devnet: Devnet) -> tuple[str, list[PostResult]]:
    transaction = spend([coin(devnet)], [9_000])
    return transaction.txid(), await services.post_beef(with_ancestry(devnet, transaction), [transaction.txid()])


async def test_r16_an_answer_about_another_transaction_is_no_success(services: Services, devnet: Devnet) -> None:
    told(devnet, Lie.OTHER_TXID)
    for endpoint in ("arc.status", "whatsonchain.statuses"):
        told(devnet, Lie.UNKNOWN, endpoint)
    _, (arc, whatsonchain) = await posted(services, devnet)
    assert arc.classification is Classification.SERVICE_ERROR
    assert whatsonchain.classification is Classification.ALREADY_KNOWN, "ARC took it, and only said something else"


async def test_r2_proofs_that_lead_nowhere_are_not_proofs(services: Services, devnet: Devnet) -> None:
    txid, _ = await posted(services, devnet)
    devnet.mine()
    assert (await services.get_merkle_path(txid)).state is ProofState.FOUND
    for lie in (Lie.FORGED_PROOF, Lie.OTHER_BLOCK):
        devnet.faults.clear()
        told(devnet, lie)
        assert (await services.get_merkle_path(txid)).state is ProofState.UNAVAILABLE


async def test_mined_without_a_proof_proves_nothing(services: Services, devnet: Devnet) -> None:
    transaction = spend([coin(devnet)], [9_000])
    devnet.submit(transaction)
    told(devnet, Lie.MINED)
    assert (await services.get_merkle_path(transaction.txid())).state is ProofState.NOT_FOUND


async def test_other_bytes_are_not_the_transaction(services: Services, devnet: Devnet) -> None:
    transaction = mined(devnet)
    told(devnet, Lie.OTHER_BYTES)
    with pytest.raises(ServiceUnavailable, match=r"sent transaction"):
        await services.get_raw_tx(transaction.txid())


async def test_r28_a_coin_is_not_spent_because_a_list_is_empty(services: Services, devnet: Devnet) -> None:
    outpoint = coin(devnet)
    told(devnet, Lie.SPENT)
    told(devnet, Lie.UNKNOWN, "whatsonchain.statuses")
    assert (await services.get_utxo_status(outpoint, ANYONE)).state is UtxoState.UNAVAILABLE


async def test_a_service_that_forgets_is_found_out_by_asking_another(services: Services, devnet: Devnet) -> None:
    told(devnet, Lie.FORGOTTEN)
    txid, results = await posted(services, devnet)
    assert results[0].accepted, "nothing in the answer gives it away"
    assert txid not in devnet.chain.mempool
    assert (await services.get_statuses([txid]))[txid].state is TxState.UNKNOWN


def test_what_is_invented_is_nobodys(devnet: Devnet) -> None:
    assert invented(devnet.tip.hash) not in devnet.chain.nodes
    assert script_hash(ANYONE) != invented(script_hash(ANYONE))
