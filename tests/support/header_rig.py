"""Chains of mined headers, and a small server that speaks WhatsOnChain's wire about one of them."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sdk.chaintracks.consensus.fields import header_hash, pack_header
from sdk.core.chain import MOCK
from sdk.core.header import BlockHeader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

GENESIS = MOCK.genesis


def mined(parent: BlockHeader, *, salt: str = "", spacing: int = 600, **other: Any) -> BlockHeader:
    """A header after ``parent`` with proof of work at regtest's difficulty; ``salt`` makes it another one."""
    root = hashlib.sha256(f"{parent.hash()}{salt}".encode()).hexdigest()
    members: dict[str, Any] = {
        "version": 0x20000000,
        "previous_hash": parent.hash(),
        "merkle_root": root,
        "time": parent.time + spacing,
        "bits": 0x207FFFFF,
        **other,
    }
    for nonce in range(1 << 32):
        header = BlockHeader(nonce=nonce, **members)
        if header.meets_target():
            return header
    raise AssertionError("no nonce does")


def grown(chain: Sequence[BlockHeader], count: int, *, salt: str = "") -> list[BlockHeader]:
    """``chain`` and ``count`` more."""
    longer = list(chain)
    for _ in range(count):
        longer.append(mined(longer[-1], salt=salt))
    return longer


def many(count: int) -> list[BlockHeader]:
    """Headers from the first on, mined without ado."""
    parts, last, moment = [GENESIS.to_bytes()], header_hash(GENESIS.to_bytes()), GENESIS.time
    for number in range(1, count):
        moment, nonce = moment + 600, 0
        while (found := header_hash(one := _packed(last, number, moment, nonce)))[31] >= 0x7F:
            nonce += 1
        parts.append(one)
        last = found
    return [BlockHeader.from_bytes(each) for each in parts]


def _packed(last: bytes, number: int, moment: int, nonce: int) -> bytes:
    return pack_header(0x20000000, last, number.to_bytes(32, "little"), moment, 0x207FFFFF, nonce)


def raw(headers: Sequence[BlockHeader]) -> bytes:
    return b"".join(each.to_bytes() for each in headers)


def as_woc(header: BlockHeader, height: int) -> dict[str, Any]:
    return {
        "hash": header.hash(),
        "height": height,
        "version": header.version,
        "versionHex": f"{header.version:08x}",
        "merkleroot": header.merkle_root,
        "time": header.time,
        "nonce": header.nonce,
        "bits": f"{header.bits:08x}",
        "previousblockhash": header.previous_hash if height else "",
        "nextblockhash": "",
    }


@dataclass
class HeaderNetwork:
    """What the server shows: ``chain`` from genesis; ``failing`` answers 500; ``odd`` replaces the answer of a path."""

    chain: list[BlockHeader] = field(default_factory=lambda: [GENESIS])
    failing: bool = False
    odd: dict[str, Any] = field(default_factory=dict)
    url: str = ""
    asked: list[str] = field(default_factory=list)

    def mine(self, count: int = 1, *, salt: str = "") -> None:
        self.chain = grown(self.chain, count, salt=salt)

    def reorganise(self, depth: int, length: int, *, salt: str = "fork") -> None:
        """Replace the last ``depth`` headers by ``length`` others."""
        self.chain = grown(self.chain[: len(self.chain) - depth], length, salt=salt)

    async def answer(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix("/v1/bsv/mock")
        self.asked.append(path)
        if self.failing:
            return web.Response(status=500, text="out of order")
        if path in self.odd:
            return web.json_response(self.odd[path])
        tip = len(self.chain) - 1
        if path == "/chain/info":
            return web.json_response({"chain": "mock", "blocks": tip, "bestblockhash": self.chain[-1].hash()})
        if path == "/block/headers":
            heights = range(tip, max(-1, tip - 10), -1)
            return web.json_response([as_woc(self.chain[height], height) for height in heights])
        height = int(path.split("/")[2])
        if height > tip:
            return web.Response(status=404, text="Not Found")
        return web.json_response(as_woc(self.chain[height], height))

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """Base URL, with the network."""
        app = web.Application()
        app.router.add_get("/{path:.*}", self.answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.url = f"http://{host}:{port}/v1/bsv/mock"
            yield self.url
        finally:
            await runner.cleanup()
