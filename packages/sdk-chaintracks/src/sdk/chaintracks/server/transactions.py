"""The routes of the project's first document (spec/origin-wallet.txt): ``/health``, ``/header/height/{height}``,
``/tx/{txid}`` and ``/merkle/{txid}``.

The last two are answered by a plugin of the entry-point group ``sdk.chaintracks.transactions``, for a header service
knows no transactions; without one they are a 501 that says so. A plugin is not believed: a transaction must have the
hash that was asked for, and a merkle path must end in a block of our own chain.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import web

from sdk.chaintracks.consensus.fields import display, header_hash, header_json, internal, merkle_root
from sdk.chaintracks.server.answers import answer, lasting, refused
from sdk.chaintracks.server.parameters import number
from sdk.core.encodings import hash256
from sdk.core.errors import (
    ConfigurationError,
    NotImplementedByPeer,
    ParseError,
    PluginNotFound,
    ServiceUnavailable,
)
from sdk.core.merkle_path import MerklePath
from sdk.core.plugins import PluginRegistry

if TYPE_CHECKING:
    from sdk.chaintracks.engine import Chaintracks

GROUP: Final = "sdk.chaintracks.transactions"
_TXID: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class TransactionSource(Protocol):
    """Answers about transactions. Raises ``ServiceUnavailable`` when it cannot tell; None means that it knows none."""

    async def raw_transaction(self, txid: str) -> bytes | None: ...

    async def merkle_path(self, txid: str) -> bytes | None:
        """The BUMP (BRC-74) of a mined transaction."""
        ...

    async def close(self) -> None: ...


class TransactionSourceType(Protocol):
    """What a plugin offers. ``open`` raises ``ConfigurationError`` and the like."""

    async def open(self, chain: str) -> TransactionSource: ...


async def open_transactions(name: str | None, chain: str) -> TransactionSource | None:
    """The plugin called ``name``; None without a name, for one that happens to be installed was not asked for."""
    if name is None:
        return None
    registry: PluginRegistry[TransactionSourceType] = PluginRegistry(GROUP)
    try:
        plugin = registry.load(name)
    except PluginNotFound as error:
        raise ConfigurationError(str(error)) from None
    return await plugin.open(chain)


class Transactions:
    def __init__(self, service: Chaintracks, source: TransactionSource | None) -> None:
        self._service, self._chain, self._source = service, service.chain, source

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get("/health", self.health),
            web.get("/header/height/{height}", self.header),
            web.get("/tx/{txid}", self.transaction),
            web.get("/merkle/{txid}", self.merkle),
        ]

    async def health(self, _: web.Request) -> web.Response:
        """200 while the tip is the network's best as far as the sources tell, else 503 with the reason."""
        fault = self._service.fault()
        body: dict[str, Any] = {
            "status": "healthy" if fault is None else "unhealthy",
            "network": self._chain.rules.chain,
            "height": self._chain.tip.height,
        }
        if fault is not None:
            body["reason"] = fault
        return web.json_response(body, status=200 if fault is None else 503, headers={"Cache-Control": "no-store"})

    async def header(self, request: web.Request) -> web.Response:
        height = number("height", request.match_info["height"])
        raw = await self._chain.header_at(height)
        if raw is None:
            return refused(404, "ERR_NOT_FOUND", f"Header not found at height {height}")
        return answer(request, header_json(raw, height), lasting(self._chain, height))

    async def transaction(self, request: web.Request) -> web.Response:
        source, txid = self._asked(request)
        raw = await source.raw_transaction(txid)
        if raw is None:
            return refused(404, "ERR_NOT_FOUND", f"Transaction {txid} is not known")
        if hash256(raw)[::-1].hex() != txid:
            raise ServiceUnavailable("transactions", f"sent another transaction than {txid}")
        return answer(request, {"txid": txid, "rawTx": raw.hex()})

    async def merkle(self, request: web.Request) -> web.Response:
        source, txid = self._asked(request)
        bump = await source.merkle_path(txid)
        if bump is None:
            return refused(404, "ERR_NOT_FOUND", f"No merkle path of transaction {txid} is known")
        height, root = _end(bump, txid)
        header = await self._chain.header_at(height)
        if header is None or merkle_root(header) != root:
            raise ServiceUnavailable("proofs", f"the merkle path of {txid} ends in no block of this chain at {height}")
        block = display(header_hash(header))
        value = {"txid": txid, "merklePath": bump.hex(), "blockHeight": height, "blockHash": block}
        return answer(request, value)

    def _asked(self, request: web.Request) -> tuple[TransactionSource, str]:
        txid = request.match_info["txid"].lower()
        if not _TXID.fullmatch(txid):
            raise ParseError("txid", f"must be 64 hex characters, is {txid!r:.80}")
        if self._source is None:
            raise NotImplementedByPeer(
                f"this header service knows no transactions: start it with --transactions and a plugin of {GROUP}"
            )
        return self._source, txid


def _end(bump: bytes, txid: str) -> tuple[int, bytes]:
    """Height, and merkle root in wire order, at which the path of ``txid`` ends."""
    try:
        path = MerklePath.from_bytes(bump)
        return path.block_height, internal(path.compute_root(txid))
    except ValueError as error:
        raise ServiceUnavailable("proofs", f"sent no merkle path of {txid}: {error}") from error
