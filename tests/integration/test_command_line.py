"""Two wallets on the command line, as `sdk devnet up` tells one to play with them."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from sdk.devnet.server import DevnetServer
from support.commands import Warm

if TYPE_CHECKING:
    from pathlib import Path

    from sdk.devnet.server import DevnetUrls

GIFT, PAYMENT = 100_000, 5_000


@pytest.mark.timeout(300)
async def test_what_one_command_prints_the_next_takes(tmp_path: Path) -> None:
    async with DevnetServer() as server:
        with closing(Warm(tmp_path)) as warm:
            await _walk(server.urls, warm, tmp_path)


async def _walk(urls: DevnetUrls, warm: Warm, tmp_path: Path) -> None:
    async def run(*words: str, fails: bool = False) -> str:
        done = await asyncio.to_thread(warm.sdk, *words, environ={"SDK_DEVNET_URL": urls.base})
        assert (done.code != 0) is fails, done.err
        return done.err if fails else done.out

    async def wallet(name: str, *words: str, fails: bool = False) -> str:
        return await run("wallet", "--home", str(tmp_path / name), *words, fails=fails)

    async def kept(name: str, said: str) -> str:
        (tmp_path / name).write_text(said)
        return str(tmp_path / name)

    for name in ("alice", "bob"):
        services = ["--arc-url", urls.arc, "--whatsonchain-url", urls.whatsonchain]
        await wallet(name, "create", "--chain", "mock", *services)
    address = await wallet("alice", "address")
    gift = await kept("gift", await run("devnet", "faucet", json.loads(address)["address"], str(GIFT)))
    assert "--address" in await wallet("alice", "receive", gift, fails=True), "how was it derived?"
    received = await wallet("alice", "receive", gift, "--address", await kept("address", address))
    assert received.startswith(f"received {GIFT} satoshis in ")

    identity = (await wallet("bob", "identity")).strip()
    payment = await kept("payment", await wallet("alice", "pay", identity, str(PAYMENT)))
    assert (await wallet("bob", "receive", payment)).startswith(f"received {PAYMENT} satoshis in ")
    await run("devnet", "mine")
    assert "1 proven" in await wallet("bob", "update")
    assert "completed" in await wallet("bob", "actions")
    assert (await wallet("bob", "balance")).strip() == str(PAYMENT)
    for text in ("{}", "[]", "{", '{"tx": 5}', "zz", f"{'ab' * 32}.0\nzz"):
        complaint = await wallet(
            "bob", "receive", await kept("bad", text), "--prefix", "AA==", "--suffix", "AA==", fails=True
        )
        assert "Traceback" not in complaint
        assert len(complaint.splitlines()) <= 4
