"""``/tx`` and ``/merkle`` through a plugin, which is not believed."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sdk.chaintracks.server.app import create_chaintracks_app
from sdk.chaintracks.server.transactions import open_transactions
from sdk.core.errors import ConfigurationError, NotImplementedByPeer
from sdk.core.merkle_path import MerklePath
from sdk.service.database import Database
from sdk.service.http_app import running
from sdk.service.http_client import HttpClient, HttpPolicy
from sdk.service.migrations import upgrade
from sdk.wallet.storage.migrations import MIGRATIONS
from support.header_rig import GENESIS, grown, mined
from support.header_server import header_server
from support.storage_rig import ALICE, Rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sdk.core.header import BlockHeader
    from sdk.service.http_client import HttpResponse

RAW = b"\x01\x02"
TXID = hashlib.sha256(hashlib.sha256(RAW).digest()).digest()[::-1].hex()
PATH = MerklePath.from_block(3, ["aa" * 32, TXID, "bb" * 32], [TXID])


class Known:
    def __init__(self, raw: bytes | None = None, path: bytes | None = None) -> None:
        self._raw, self._path = raw, path

    async def raw_transaction(self, txid: str) -> bytes | None:
        return self._raw if txid == TXID else None

    async def merkle_path(self, txid: str) -> bytes | None:
        return self._path if txid == TXID else None

    async def close(self) -> None:
        """Nothing is open."""


def chain_with(path: MerklePath, txid: str) -> list[BlockHeader]:
    """Its block at the path's height holds the transaction."""
    before = grown([GENESIS], path.block_height - 1)
    return grown([*before, mined(before[-1], merkle_root=path.compute_root(txid))], 2)


@asynccontextmanager
async def asking(folder: Path, source: Any, headers: list[BlockHeader]) -> AsyncIterator[HttpClient]:
    async with (
        header_server(folder, headers=headers) as served,
        running(create_chaintracks_app(served.service, transactions=source)) as server,
        HttpClient(server.url, service="first", policy=HttpPolicy(attempts=1)) as http,
    ):
        yield http


async def get(http: HttpClient, path: str) -> HttpResponse:
    return await http.request("GET", path, check=False)


async def test_what_the_plugin_knows_is_told_with_the_block_that_holds_it(tmp_path: Path) -> None:
    headers = chain_with(PATH, TXID)
    async with asking(tmp_path, Known(RAW, PATH.to_bytes()), headers) as http:
        assert (await http.get_json(f"/tx/{TXID.upper()}"))["value"] == {"txid": TXID, "rawTx": "0102"}
        assert (await http.get_json(f"/merkle/{TXID}"))["value"] == {
            "txid": TXID, "merklePath": PATH.to_bytes().hex(), "blockHeight": 3, "blockHash": headers[3].hash()
        }  # fmt: skip
        for path in ("tx", "merkle"):
            assert (await get(http, f"/{path}/{'cd' * 32}")).status == 404


def path_to(height: int, *txids: str) -> bytes:
    """Of the last of these in a block of them."""
    return MerklePath.from_block(height, txids, [txids[-1]]).to_bytes()


@pytest.mark.parametrize(
    ("source", "path", "says"),
    [
        (Known(raw=b"\x01\x03"), "tx", "another transaction"),
        (Known(path=b"\x03"), "merkle", "no merkle path"),
        (Known(path=path_to(3, "aa" * 32, "cc" * 32)), "merkle", "no merkle path"),
        (Known(path=path_to(3, "ff" * 32, TXID)), "merkle", "no block of this chain at 3"),
        (Known(path=path_to(99, "aa" * 32, TXID)), "merkle", "no block of this chain at 99"),
    ],
    ids=["another transaction", "no path", "path of another", "wrong root", "above the tip"],
)
async def test_a_plugin_is_not_believed(tmp_path: Path, source: Known, path: str, says: str) -> None:
    async with asking(tmp_path, source, chain_with(PATH, TXID)) as http:
        answer = await get(http, f"/{path}/{TXID}")
        assert answer.status == 503
        assert says in answer.json()["description"]


async def test_a_plugin_that_is_not_there_is_named_and_none_is_used_unasked() -> None:
    with pytest.raises(ConfigurationError, match="moon"):
        await open_transactions("moon", "main")
    assert await open_transactions(None, "main") is None


async def test_the_wallet_tells_of_what_is_proven_in_its_storage_and_asks_its_services_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by its entry point; what the wallet has not sent is told to nobody."""
    url = f"sqlite:///{tmp_path}/wallet.sqlite"
    async with await Database.open(url) as database:
        await upgrade(database, [MIGRATIONS])
        rig = Rig(database)
        user = await rig.user(ALICE)
        (txid,) = await rig.mine(user, [5_000])
        unsent = await rig.act(user)
    monkeypatch.setenv("SDK_WALLET_DATABASE", url)
    monkeypatch.setenv("SDK_WALLET_CHAIN", "mock")
    source = await open_transactions("wallet", "mock")
    assert source is not None
    bump = await source.merkle_path(txid)
    assert bump is not None
    async with asking(tmp_path, source, chain_with(MerklePath.from_bytes(bump), txid)) as http:
        raw = (await http.get_json(f"/tx/{txid}"))["value"]["rawTx"]
        assert hashlib.sha256(hashlib.sha256(bytes.fromhex(raw)).digest()).digest()[::-1].hex() == txid
        assert (await http.get_json(f"/merkle/{txid}"))["value"]["blockHeight"] == 101
        answer = await get(http, f"/tx/{unsent.txid()}")
        assert (answer.status, answer.json()["code"]) == (501, NotImplementedByPeer.code)  # no services on this chain
    await source.close()


async def test_the_wallet_of_another_chain_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDK_WALLET_DATABASE", "sqlite:////no/such/folder/wallet.sqlite")
    monkeypatch.setenv("SDK_WALLET_CHAIN", "test")
    with pytest.raises(ConfigurationError, match="SDK_WALLET_CHAIN"):
        await open_transactions("wallet", "mock")
