"""What the quickstart asks the devnet and the header service, to check the wallets against them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdk.core.merkle_path import MerklePath

if TYPE_CHECKING:
    from sdk.service.http_client import HttpClient


@dataclass(frozen=True)
class Mined:
    """Where the devnet has a transaction: height, block hash, and the merkle root its own path gives."""

    height: int
    block_hash: str
    merkle_root: str


class Network:
    """The devnet's ARC and admin wires, and the header service's v1."""

    def __init__(self, http: HttpClient, devnet_url: str, headers_url: str) -> None:
        self._http, self._devnet, self._headers = http, devnet_url, headers_url

    async def faucet(self, locking_script: str, satoshis: int) -> dict[str, Any]:
        answer = await self._post("faucet", {"lockingScript": locking_script, "satoshis": satoshis})
        return dict(answer)

    async def mine(self) -> None:
        await self._post("mine", {"blocks": 1})

    async def reorg(self, depth: int) -> None:
        await self._post("reorg", {"depth": depth})

    async def height(self) -> int:
        return int((await self._get(f"{self._devnet}/status"))["height"])

    async def status(self, txid: str) -> str:
        """ARC's word for it."""
        return str((await self._get(f"{self._devnet}/v1/tx/{txid}"))["txStatus"])

    async def mined(self, txid: str) -> Mined | None:
        answer = await self._get(f"{self._devnet}/v1/tx/{txid}")
        if answer["txStatus"] != "MINED":
            return None
        path = MerklePath.from_hex(answer["merklePath"])
        return Mined(path.block_height, answer["blockHash"], path.compute_root(txid))

    async def header(self, height: int) -> dict[str, Any] | None:
        """The header service's header at ``height``."""
        answer = await self._get(f"{self._headers}/findHeaderHexForHeight?height={height}")
        value = answer.get("value")
        return value if isinstance(value, dict) else None

    async def _get(self, url: str) -> Any:
        return await self._http.get_json(url)

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        return await self._http.post_json(f"{self._devnet}/{path}", body)
