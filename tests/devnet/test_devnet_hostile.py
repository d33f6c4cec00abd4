"""Bytes from strangers: whatever arrives, the answer is one of the protocol's, and the chain stays whole."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.core.beef import V1
from sdk.core.errors import ParseError
from sdk.core.transaction import OutPoint, Transaction, TransactionOutput
from sdk.devnet.arc.bodies import read_payloads
from sdk.devnet.arc.options import SubmitOptions, parse_options
from sdk.devnet.arc.problems import ArcProblem
from sdk.devnet.arc.service import ArcService
from sdk.devnet.arc.settings import ArcSettings
from sdk.devnet.devnet import Devnet, utc_now
from sdk.devnet.errors import DevnetError, TransactionRefused
from sdk.devnet.server import DevnetServer
from sdk.service.http_client import HttpClient
from support.devnet_rig import ANYONE, coin, extended, spend, with_ancestry


@cache
def _world() -> tuple[Devnet, tuple[bytes, ...]]:
    """A devnet, and payloads it would take."""
    devnet = Devnet()
    parent = spend([coin(devnet)], [9_000, 400])
    child = spend([OutPoint(parent.txid(), 0)], [8_000])
    payloads = (
        parent.to_bytes(),
        extended(parent, TransactionOutput(10_000, ANYONE)),
        with_ancestry(devnet, parent, child).to_bytes(V1),
        with_ancestry(devnet, parent, child).to_bytes(),
    )
    return devnet, payloads


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A good payload with some bytes changed, left out, doubled, or cut off."""
    data = bytearray(draw(st.sampled_from(_world()[1])))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1))
        change = draw(st.sampled_from(["set", "delete", "insert", "cut"]))
        if change == "set":
            data[at] = draw(st.integers(0, 255))
        elif change == "delete" and len(data) > 1:
            del data[at]
        elif change == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=9))
        elif change == "cut" and at:
            del data[at:]
    return bytes(data)


def _submit(body: bytes, batch: bool, options: SubmitOptions) -> list[dict[str, Any]]:
    async def run() -> list[dict[str, Any]]:
        service = ArcService(_world()[0], ArcSettings(), utc_now)
        try:
            return await service.submit(read_payloads("application/octet-stream", body, batch=batch), options)
        finally:
            await service.close()

    return asyncio.run(run())


@settings(max_examples=300)
@given(body=mutated() | st.binary(max_size=300), batch=st.booleans(), skip=st.booleans(), cumulative=st.booleans())
def test_arc_answers_whatever_it_is_sent(body: bytes, batch: bool, skip: bool, cumulative: bool) -> None:
    devnet = _world()[0]
    options = SubmitOptions(timeout=0, skip_all=skip, cumulative_fee=cumulative)
    try:
        answers = _submit(body, batch, options)
    except ArcProblem as problem:
        answers = [problem.to_wire()]
    assert answers
    for each in answers:
        assert each["status"] in (200, 400, *range(460, 477))
    total = sum(entry.fee for entry in devnet.chain.mempool)
    assert all(entry.fee > 0 for entry in devnet.chain.mempool), total


@settings(max_examples=200)
@given(data=mutated())
def test_the_chain_takes_or_refuses_any_transaction_that_parses(data: bytes) -> None:
    devnet = _world()[0]
    try:
        transaction = Transaction.from_bytes(data)
    except ParseError:
        return
    before = devnet.tip
    try:
        devnet.submit(transaction, hold_orphan=False)
    except TransactionRefused as refused:
        assert refused.reason  # noqa: PT017
    assert devnet.tip is before


@given(
    headers=st.dictionaries(
        st.sampled_from(["X-CallbackUrl", "X-MaxTimeout", "X-WaitFor", "X-SkipFeeValidation", "X-CallbackBatch"]),
        st.text(max_size=60),
    )
)
def test_headers_are_understood_or_refused(headers: dict[str, str]) -> None:
    try:
        options = parse_options(headers)
    except ArcProblem as problem:
        assert problem.status == 400  # noqa: PT017
        return
    assert 0 <= options.timeout <= 30


@pytest.mark.parametrize("count", [0xFFFF_FFFF_FFFF_FFFF, 2**40, 10**7])
def test_counts_are_bounded_before_anything_is_allocated(count: int) -> None:
    huge = b"\x01\x00\x00\x00\xff" + count.to_bytes(8, "little") + bytes(100)
    for body in (huge, b"\x01\x00\x00\x00\x00\x00\x00\x00\x00\xef" + huge[4:], b"\x01\x00\xbe\xef" + huge[4:]):
        with pytest.raises(ArcProblem) as caught:
            read_payloads("application/octet-stream", body, batch=False)
        assert caught.value.status in (400, 463)
        with pytest.raises(ArcProblem):
            read_payloads("application/octet-stream", body, batch=True)


async def test_clients_that_never_finish_hinder_nobody() -> None:
    openings = (
        b"POST /v1/tx HTTP/1.1\r\nHost: devnet\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n00",
        b"GET /v1/policy HTTP/1.1\r\nHost: dev",
        b"",
    )
    async with DevnetServer() as server, AsyncExitStack() as hung:
        port = int(server.urls.base.rpartition(":")[2])
        for opening in openings * 20:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            hung.callback(writer.close)
            writer.write(opening)
            await writer.drain()
        http = HttpClient(server.urls.base, service="devnet")
        hung.push_async_callback(http.close)
        async with asyncio.timeout(5):
            assert (await http.get_json("/v1/policy"))["policy"]["miningFee"] == {"satoshis": 1, "bytes": 1000}
            await http.post_json("/mine", {"blocks": 1})
        async with asyncio.timeout(15):
            await server.stop()
    with pytest.raises(DevnetError, match="does not run"):
        _ = server.urls
