"""All 28 calls between our wire and @bsv/sdk's, in both directions, and its HTTP substrates against our server."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from sdk.core.errors import InsufficientFunds, InvalidParameter, NotImplementedByPeer, RemoteWalletError
from sdk.core.wallet_wire import BY_NAME, Call, Request, read_request, write_request
from sdk.service.http_app import running
from sdk.wallet.substrates import WalletWireProcessor, WalletWireTransceiver, wallet_app
from support.peers import Peer
from support.wire_samples import ARGS, RESULTS
from support.wire_wallet import ScriptedWallet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sdk.core.errors import SdkError

ARGUMENTS = [(BY_NAME[name], members) for name, samples in ARGS.items() for members in samples]
ANSWERS = [(BY_NAME[name], at) for name, samples in RESULTS.items() for at in range(len(samples))]


@pytest.fixture(scope="module")
def node() -> Iterator[Peer]:
    with Peer.node("wire_calls") as peer:
        yield peer


def name_of(value: Any) -> str | None:
    return value.name if isinstance(value, Call) else None


@pytest.mark.parametrize(("call", "members"), ARGUMENTS, ids=name_of)
def test_its_transceiver_and_ours_write_the_same_request(node: Peer, call: Call, members: dict[str, Any]) -> None:
    frame = bytes.fromhex(node.call("write", method=call.name, args=members, originator="app.example"))
    request = Request(call, call.args.of(members), "app.example")
    assert read_request(frame) == request
    assert write_request(request) == frame


@pytest.mark.parametrize(("call", "members"), ARGUMENTS, ids=name_of)
def test_its_processor_reads_what_our_transceiver_asks(node: Peer, call: Call, members: dict[str, Any]) -> None:
    async def transmit(frame: bytes) -> bytes:
        said.update(node.call("process", frame=frame.hex(), answer=RESULTS[call.name][0]))
        return bytes.fromhex(said["frame"])

    said: dict[str, Any] = {}
    result = asyncio.run(getattr(WalletWireTransceiver(transmit, "app.example"), call.method)(members))
    assert result == call.result.of(RESULTS[call.name][0])
    assert said["asked"]["method"] == call.name
    assert said["asked"].get("originator") == "app.example"
    assert call.args.of(said["asked"].get("args") or {}) == call.args.of(members)


@pytest.mark.parametrize(("call", "at"), ANSWERS, ids=name_of)
def test_our_transceiver_reads_what_its_processor_answers(node: Peer, call: Call, at: int) -> None:
    members = RESULTS[call.name][at]
    request = write_request(Request(call, call.args.of(ARGS[call.name][0])))
    frame = bytes.fromhex(node.call("process", frame=request.hex(), answer=members)["frame"])
    result = call.result.of(members)
    assert call.read_result(frame) == result
    if not written_otherwise(call, at):
        assert call.write_result(result) == frame


def written_otherwise(call: Call, at: int) -> bool:
    """Where its transceiver cannot read what its processor writes (a verifier), and where the universal vectors have
    another form (a single certificate without keyring ends the frame).
    """
    return call.name == "listCertificates" and at in (0, 2)


@pytest.mark.parametrize(("call", "at"), ANSWERS, ids=name_of)
def test_its_transceiver_reads_what_our_processor_answers(node: Peer, call: Call, at: int) -> None:
    wallet = ScriptedWallet()
    wallet.answer = at
    members = ARGS[call.name][0]
    frame = bytes.fromhex(node.call("write", method=call.name, args=members, originator="app.example"))
    answer = asyncio.run(WalletWireProcessor(wallet).transmit(frame))
    told = node.call("read", method=call.name, args=members, frame=answer.hex())
    assert same(call, told["result"], RESULTS[call.name][at])
    assert wallet.asked == [(call.name, call.args.of(members), "app.example")]


def same(call: Call, told: dict[str, Any], members: dict[str, Any]) -> bool:
    """Its transceiver gives byte arrays where BRC-100 has base64, and empty objects for keyrings that are absent."""
    for each in told.get("certificates", ()):
        if "publiclyRevealedKeyring" in each:
            each["publiclyRevealedKeyring"] = dict(members["certificates"][0]["publiclyRevealedKeyring"])
        if each.get("keyring") == {}:
            del each["keyring"]
    return bool(call.result.of(told) == call.result.of(members))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidParameter("basket", "known"), 6),
        (InsufficientFunds(2000, 500), 7),
        (NotImplementedByPeer(), 2),
        (RemoteWalletError("WERR_ODD", "odd"), 1),
    ],
)
def test_its_transceiver_reads_our_errors(node: Peer, error: SdkError, code: int) -> None:
    wallet = ScriptedWallet()
    wallet.error = error
    answer = asyncio.run(WalletWireProcessor(wallet).transmit(bytes.fromhex("1900")))
    failed = node.call("read", method="getHeight", args={}, frame=answer.hex())["failed"]
    assert (failed["code"], failed["message"]) == (code, str(error))


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"code": 6, "message": "The basket parameter must be known"}, InvalidParameter),
        ({"code": 7, "message": str(InsufficientFunds(2000, 500))}, InsufficientFunds),
        ({"code": 2, "message": "no"}, NotImplementedByPeer),
        ({"message": "odd"}, RemoteWalletError),
    ],
)
def test_our_transceiver_reads_its_errors(node: Peer, told: dict[str, Any], kind: type[SdkError]) -> None:
    frame = bytes.fromhex(node.call("process", frame="1900", error=told)["frame"])
    with pytest.raises(kind) as caught:
        BY_NAME["getHeight"].read_result(frame)
    assert str(caught.value) == told["message"]


# over HTTP


@pytest.mark.parametrize("speaks", ["json", "wire"])
async def test_its_http_substrates_make_every_call_on_our_server(node: Peer, speaks: str) -> None:
    wallet = ScriptedWallet()
    async with running(wallet_app(wallet)) as server:
        for call, members in ARGUMENTS:
            told = await asyncio.to_thread(
                node.call,
                "http",
                url=server.url,
                speaks=speaks,
                method=call.name,
                args=members,
                originator="app.example",
            )
            assert same(call, told["result"], json.loads(json.dumps(RESULTS[call.name][0]))), call.name
            assert wallet.asked.pop() == (call.name, call.args.of(members), "app.example")


async def test_its_json_substrate_rebuilds_our_errors(node: Peer) -> None:
    wallet = ScriptedWallet()
    async with running(wallet_app(wallet)) as server:

        async def failed(error: Exception) -> Any:
            wallet.error = error
            told = await asyncio.to_thread(
                node.call, "http", url=server.url, speaks="json", method="getHeight", args={}, originator="app.example"
            )
            return told["failed"]

        parameter = await failed(InvalidParameter("basket", "known"))
        assert (parameter["code"], parameter["parameter"]) == (6, "basket")
        funds = await failed(InsufficientFunds(2000, 500))
        assert (funds["code"], funds["totalSatoshisNeeded"], funds["moreSatoshisNeeded"]) == (7, 2000, 500)
        other = await failed(NotImplementedByPeer())
        assert json.loads(other["message"])["message"] == "Not implemented."
