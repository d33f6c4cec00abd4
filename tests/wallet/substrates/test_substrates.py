"""All 28 calls from a RemoteWallet to a wallet, over each substrate: in memory, and over real HTTP."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from sdk.core.errors import (
    InsufficientFunds,
    InternalError,
    InvalidHmac,
    InvalidParameter,
    InvalidSignature,
    NotImplementedByPeer,
    ParseError,
    RemoteWalletError,
    ReviewActions,
    SdkError,
    ServiceRejected,
    ServiceUnavailable,
)
from sdk.core.wallet_wire import BY_NAME, CALLS
from sdk.service.http_app import create_app, running
from sdk.wallet.substrates import (
    HttpWalletJson,
    HttpWalletWire,
    HttpWire,
    RemoteWallet,
    WalletWireProcessor,
    WalletWireTransceiver,
    wallet_app,
)
from support.wire_samples import ARGS, RESULTS
from support.wire_wallet import ScriptedWallet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sdk.core.wallet import WalletInterface
    from sdk.core.wallet_wire import Call

SUBSTRATES = ("memory", "json", "wire")
CASES = [
    (call, args, answer)
    for call in CALLS
    for args, answer in zip(
        ARGS[call.name] + ARGS[call.name][:1] * len(RESULTS[call.name]),
        [*range(len(RESULTS[call.name])), *[0] * len(ARGS[call.name])],
        strict=True,
    )
]


@asynccontextmanager
async def reached(wallet: Any, substrate: str) -> AsyncIterator[RemoteWallet]:
    """``wallet`` as the application ``app.example`` reaches it."""
    if substrate == "memory":
        yield WalletWireTransceiver(WalletWireProcessor(wallet).transmit, "app.example")
        return
    async with running(wallet_app(wallet)) as server:
        kind = HttpWalletJson if substrate == "json" else HttpWalletWire
        async with kind("app.example", server.url) as remote:
            yield remote


@pytest.mark.parametrize("substrate", SUBSTRATES)
async def test_every_call_arrives_and_its_answer_comes_back(scripted: ScriptedWallet, substrate: str) -> None:
    async with reached(scripted, substrate) as remote:
        for call, members, answer in CASES:
            scripted.answer = answer
            result = await getattr(remote, call.method)(members)
            assert result == call.result.of(RESULTS[call.name][answer])
            assert scripted.asked.pop() == (call.name, call.args.of(members), "app.example")
    assert len(CASES) == sum(map(len, ARGS.values())) + sum(map(len, RESULTS.values()))


@pytest.mark.parametrize("substrate", SUBSTRATES)
async def test_a_call_may_have_an_originator_of_its_own(scripted: ScriptedWallet, substrate: str) -> None:
    async with reached(scripted, substrate) as remote:
        await remote.get_version(originator="other.example:8080")
    assert scripted.asked[0][2] == "other.example:8080"


@pytest.mark.parametrize("substrate", SUBSTRATES)
async def test_methods_a_wallet_lacks_are_unsupported(substrate: str) -> None:
    lacks = frozenset({"acquire_certificate", "discover_by_attributes", "get_height"})
    async with reached(ScriptedWallet(lacks=lacks), substrate) as remote:
        for method in sorted(lacks):
            call = next(each for each in CALLS if each.method == method)
            with pytest.raises(NotImplementedByPeer, match=f"does not offer {call.name}"):
                await getattr(remote, method)(ARGS[call.name][0])
        assert (await remote.get_network()).network == "mainnet"


@pytest.mark.parametrize("substrate", SUBSTRATES)
@pytest.mark.parametrize(
    "error",
    [
        InvalidParameter("outputs[0].satoshis", "a whole number"),
        InsufficientFunds(2000, 500),
        InvalidHmac(),
        InvalidSignature(),
        ReviewActions([{"txid": "00" * 32, "status": "doubleSpend"}], [], txid="11" * 32, tx=b"\1\2"),
        ServiceUnavailable("arc", "does not answer"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_errors_arrive_as_what_they_are(scripted: ScriptedWallet, substrate: str, error: SdkError) -> None:
    scripted.error = error
    async with reached(scripted, substrate) as remote:
        with pytest.raises(SdkError) as caught:
            await remote.get_height()
    told_in_full = substrate == "json" or isinstance(error, (InvalidParameter, InsufficientFunds, InvalidHmac))
    assert str(caught.value) == str(error)
    if isinstance(error, ServiceUnavailable):
        assert isinstance(caught.value, RemoteWalletError)
    elif told_in_full or isinstance(error, InvalidSignature):
        assert type(caught.value) is type(error)
        assert caught.value.to_wire() == error.to_wire()
    else:
        assert isinstance(caught.value, RemoteWalletError)
        assert (caught.value.name, caught.value.extra) == ("WERR_REVIEW_ACTIONS", {"code": 5})


@pytest.mark.parametrize("substrate", SUBSTRATES)
async def test_what_went_wrong_inside_stays_inside(scripted: ScriptedWallet, substrate: str) -> None:
    scripted.error = KeyError("a secret of the wallet")
    async with reached(scripted, substrate) as remote:
        with pytest.raises((InternalError, RemoteWalletError)) as caught:
            await remote.get_height()
    assert "secret" not in str(caught.value)


class Rubbish:
    async def get_height(self, args: Any, originator: str | None) -> Any:
        return {"height": "high"}

    async def list_actions(self, args: Any, originator: str | None) -> Any:
        action = {"txid": "beef", "satoshis": 1, "status": "failed", "isOutgoing": True, "description": "bad txid"}
        return {"totalActions": 1, "actions": [action]}


@pytest.mark.parametrize("substrate", SUBSTRATES)
async def test_a_wallet_that_answers_rubbish_is_not_the_callers_fault(substrate: str) -> None:
    async with reached(Rubbish(), substrate) as remote:
        with pytest.raises((InternalError, RemoteWalletError), match="was done, but its result"):
            await remote.get_height()
        if substrate != "json":
            with pytest.raises(RemoteWalletError, match="no form on the binary wire"):
                await remote.list_actions({"labels": []})


# the processor's edges


async def test_bytes_that_are_no_frame_are_answered_with_an_error_frame(scripted: ScriptedWallet) -> None:
    processor = WalletWireProcessor(scripted)
    for frame in (b"", b"\x1d\x00", b"\x1a\x00", bytes((1, 0)) + b"\xff" * 9):
        answer = await processor.transmit(frame)
        assert answer[0] != 0
        with pytest.raises(RemoteWalletError, match="invalid"):
            BY_NAME["getHeight"].read_result(answer)
    assert not scripted.asked


async def test_arguments_out_of_bounds_are_told_as_parameters(scripted: ScriptedWallet) -> None:
    answer = await WalletWireProcessor(scripted).transmit(bytes.fromhex("0100") + b"\x03abc" + b"\xff" * 54 + b"\0")
    assert answer[0] == 6
    with pytest.raises(InvalidParameter, match="description"):
        BY_NAME["createAction"].read_result(answer)


async def test_a_transport_that_knows_who_asks_is_believed_over_the_frame(scripted: ScriptedWallet) -> None:
    await WalletWireProcessor(scripted).transmit(b"\x1c\x09a.example", "b.example")
    await WalletWireProcessor(scripted).transmit(b"\x1c\x09a.example")
    assert [asked[2] for asked in scripted.asked] == ["b.example", "a.example"]


@pytest.mark.parametrize("answer", [b"", b"\x00\x01\x02", b"\x01", b"\x00" + b"\xff" * 9])
async def test_an_answer_that_is_none_is_a_parse_error(answer: bytes) -> None:
    async def transmit(frame: bytes) -> bytes:
        return answer

    with pytest.raises(ParseError):
        await WalletWireTransceiver(transmit).list_actions({"labels": []})


# the HTTP server's edges


@asynccontextmanager
async def posting(wallet: Any) -> AsyncIterator[Any]:
    async with running(wallet_app(wallet)) as server, aiohttp.ClientSession(server.url) as session:

        async def post(path: str, body: bytes, **headers: str) -> tuple[int, Any]:
            kind = {"Content-Type": "application/json", **headers}
            async with session.post(path, data=body, headers=kind) as response:
                return response.status, await response.json()

        yield post


@pytest.mark.parametrize(
    ("headers", "originator"),
    [
        ({"Origin": "https://app.example"}, "app.example"),
        ({"Origin": "http://localhost:3000"}, "localhost:3000"),
        ({"Originator": "app.example"}, "app.example"),
        ({"Origin": "https://evil.example", "Originator": "bank.example"}, "evil.example"),
    ],
)
async def test_the_browser_says_who_asks(scripted: ScriptedWallet, headers: dict[str, str], originator: str) -> None:
    async with posting(scripted) as post:
        assert await post("/getVersion", b"{}", **headers) == (200, RESULTS["getVersion"][0])
    assert scripted.asked[0][2] == originator


@pytest.mark.parametrize("headers", [{}, {"Origin": "null"}, {"Origin": "https://a b"}, {"Origin": "https://a/b"}])
async def test_nobody_is_not_served(scripted: ScriptedWallet, headers: dict[str, str]) -> None:
    async with posting(scripted) as post:
        status, told = await post("/getVersion", b"{}", **headers)
    assert (status, told["isError"], told["code"], told["parameter"]) == (400, True, 6, "originator")
    assert not scripted.asked


@pytest.mark.parametrize("body", [b"{", b"[]", b"7", b"\xff", b'{"height":' * 3000])
async def test_bodies_that_are_no_arguments_are_refused(scripted: ScriptedWallet, body: bytes) -> None:
    async with posting(scripted) as post:
        status, told = await post("/getHeaderForHeight", body, Origin="http://app.example")
    assert (status, told["name"], told["isError"]) == (400, "WERR_BAD_REQUEST", True)


async def test_other_paths_methods_and_kinds_of_content_are_refused(scripted: ScriptedWallet) -> None:
    async with posting(scripted) as post:
        assert (await post("/dropAllData", b"{}", Origin="http://app.example"))[0] == 404
        plain = {"Content-Type": "text/plain", "Origin": "http://app.example"}
        assert (await post("/getVersion", b"{}", **plain))[0] == 415
    assert not scripted.asked


async def test_an_error_has_status_400_and_its_members(scripted: ScriptedWallet) -> None:
    scripted.error = InsufficientFunds(2000, 500)
    async with posting(scripted) as post:
        status, told = await post("/getHeight", b"", Origin="http://app.example")
    assert (status, told) == (400, InsufficientFunds(2000, 500).to_wire())
    assert (told["code"], told["moreSatoshisNeeded"]) == (7, 500)


@pytest.mark.parametrize("originator", ["", "a..b", "http://", "x" * 300, "a b"])
def test_a_client_needs_the_name_of_its_application(originator: str) -> None:
    with pytest.raises(InvalidParameter, match="originator"):
        HttpWalletJson(originator)
    with pytest.raises(InvalidParameter, match="originator"):
        HttpWalletWire(originator)


@pytest.mark.parametrize("kind", [HttpWalletJson, HttpWalletWire])
async def test_nothing_that_listens_is_unavailable(kind: type[HttpWalletJson | HttpWalletWire]) -> None:
    async with running(wallet_app(ScriptedWallet())) as server:
        url = server.url
    async with kind("app.example", url) as remote:
        with pytest.raises(ServiceUnavailable, match="cannot be reached"):
            await remote.get_version()


async def test_frames_that_cannot_be_carried_are_refused() -> None:
    wire = HttpWire("http://127.0.0.1:1")
    for frame in (b"", b"\x1d\0", b"\x1c\x05ab"):
        with pytest.raises(ParseError):
            await wire(frame)
    with pytest.raises(InvalidParameter, match="originator"):
        await wire(b"\x1c\0")
    await wire.close()


@pytest.mark.parametrize(
    ("status", "kind", "body", "error"),
    [
        (200, "application/json", b"[]", ParseError),
        (200, "application/json", b'{"height": "x"}', ParseError),
        (200, "application/json", b"{", ServiceUnavailable),
        (200, "text/html", b"<html>", ServiceUnavailable),
        (404, "application/json", b'{"description": "no"}', ServiceRejected),
        (400, "application/json", b'{"isError": true, "name": "WERR_ODD", "message": "odd"}', RemoteWalletError),
        (500, "application/json", b'{"isError": true, "name": "WERR_INTERNAL", "message": "oh"}', InternalError),
        (502, "text/html", b"<html>", ServiceUnavailable),
    ],
)
async def test_json_answers_that_are_no_results(status: int, kind: str, body: bytes, error: type[SdkError]) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, content_type=kind)

    app = create_app("odd", [web.post("/getHeight", answer)])
    async with running(app) as server, HttpWalletJson("app.example", server.url) as remote:
        with pytest.raises(error):
            await remote.get_height()


async def test_a_remote_wallet_is_a_wallet_so_it_can_be_served_again(scripted: ScriptedWallet) -> None:
    async with reached(scripted, "json") as near, reached(near, "wire") as far:
        wallet: WalletInterface = far
        assert (await wallet.get_height()).height == 850000
        assert scripted.asked[0][2] == "app.example"


def test_every_call_of_the_table_is_a_method_of_remote_wallets() -> None:
    def has(call: Call) -> bool:
        return callable(getattr(RemoteWallet, call.method, None))

    assert all(map(has, CALLS))
