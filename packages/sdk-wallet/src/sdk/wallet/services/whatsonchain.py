"""WhatsOnChain (spec/arc.md §3). Nothing it says is taken on trust: raw transactions must hash to their txid, headers
to their hash, proofs must lead from the txid to the root of a header it shows.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any

from sdk.core.errors import ParseError, ServiceError, ServiceUnavailable
from sdk.core.merkle_path import MerklePath
from sdk.core.transaction import Transaction
from sdk.service.header_calls import header_from_members
from sdk.service.http_client import MIB, HttpClient, HttpPolicy
from sdk.wallet.services.mapping import cut, no_verdict, whatsonchain_result
from sdk.wallet.services.pacing import Pacer
from sdk.wallet.services.ports import (
    ProofResult,
    ProofState,
    TxState,
    TxStatus,
    UtxoState,
    UtxoStatus,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sdk.core.beef import Beef
    from sdk.core.header import BlockHeader
    from sdk.core.script import Script
    from sdk.core.transaction import OutPoint
    from sdk.service.http_client import HttpResponse
    from sdk.wallet.services.ports import (
        PostResult,
    )

BASE_URL = "https://api.whatsonchain.com/v1/bsv"
NETWORKS = {"main": "main", "test": "test", "stn": "stn"}
STATUS_BATCH = 20
ANONYMOUS_INTERVAL = 0.34
DEPENDENT_WAIT = 3.0
MAX_RAW_TX_HEX = 64 * MIB
MAX_PROOFS = 16


class WhatsOnChainClient:
    """``url`` is the base with the network (``…/v1/bsv/main``). Without ``api_key`` requests keep a distance of
    ``min_interval`` seconds; ``dependent_wait`` seconds pass between broadcasts of one call.
    """

    sees_network = True

    def __init__(
        self,
        url: str,
        *,
        name: str = "whatsonchain",
        api_key: str | None = None,
        min_interval: float | None = None,
        dependent_wait: float = DEPENDENT_WAIT,
        http: HttpClient | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.name = name
        self._headers = {"Accept": "application/json", **({"Authorization": api_key} if api_key else {})}
        self._http = http or HttpClient(
            url, service=name, policy=HttpPolicy(timeout=20, max_response=4 * MIB, backoff=2.0)
        )
        if min_interval is None:
            min_interval = 0.0 if api_key else ANONYMOUS_INTERVAL
        self._pacer = Pacer(min_interval, sleep=sleep)
        self._dependent_wait, self._sleep = dependent_wait, sleep

    @staticmethod
    def base_url(chain: str) -> str:
        """The public service of ``main``, ``test`` or ``stn``. Raises ``KeyError`` for other chains."""
        return f"{BASE_URL}/{NETWORKS[chain]}"

    async def close(self) -> None:
        await self._http.close()

    # broadcast

    async def post_beef(self, beef: Beef, txids: Sequence[str]) -> list[PostResult]:
        results: list[PostResult] = []
        for position, txid in enumerate(txids):
            if position and self._dependent_wait > 0:
                await self._sleep(self._dependent_wait)
            transaction = beef.transaction(txid)
            if transaction is None:
                results.append(no_verdict(txid, self.name, "not sent", "its bytes are not at hand"))
            else:
                results.append(await self._post_raw(txid, transaction.to_hex()))
        return results

    async def _post_raw(self, txid: str, raw: str) -> PostResult:
        try:
            response = await self._send("POST", "/tx/raw", json={"txhex": raw}, accept="text/plain")
        except ServiceError as error:
            return no_verdict(txid, self.name, "no answer", str(error))
        waited = response.headers.get("Retry-After", "")
        return whatsonchain_result(
            txid,
            self.name,
            response.status,
            response.text(),
            retry_after=float(waited[:9]) if waited.isdecimal() else None,
        )

    # transactions

    async def get_raw_tx(self, txid: str) -> bytes | None:
        """Raises ``ServiceUnavailable``."""
        response = await self._send("GET", f"/tx/{txid}/hex", accept="text/plain", max_response=MAX_RAW_TX_HEX)
        if response.status == 404:
            return None
        text = self._required(response).text().strip().strip('"')
        try:
            transaction = Transaction.from_hex(text)
        except ParseError as error:
            raise ServiceUnavailable(self.name, f"sent no transaction for {txid}: {error}") from None
        if transaction.txid() != txid:
            raise ServiceUnavailable(self.name, f"sent transaction {transaction.txid()} for {txid}")
        return transaction.to_bytes()

    async def get_statuses(self, txids: Sequence[str]) -> dict[str, TxStatus]:
        statuses: dict[str, TxStatus] = {}
        for start in range(0, len(txids), STATUS_BATCH):
            batch = list(txids[start : start + STATUS_BATCH])
            try:
                found = await self._statuses(batch)
            except ServiceError as error:
                found = {t: TxStatus(t, TxState.UNAVAILABLE, None, self.name, cut(str(error))) for t in batch}
            statuses.update(found)
        return statuses

    async def _statuses(self, batch: list[str]) -> dict[str, TxStatus]:
        response = await self._send("POST", "/txs/status", json={"txids": batch}, idempotent=True)
        listed = self._required(response).json()
        if not isinstance(listed, list):
            raise ServiceUnavailable(self.name, "sent no list of statuses")
        answers = {
            each["txid"]: each for each in listed if isinstance(each, dict) and isinstance(each.get("txid"), str)
        }
        return {txid: _status(txid, answers.get(txid), self.name) for txid in batch}

    async def get_merkle_path(self, txid: str) -> ProofResult:
        try:
            response = await self._send("GET", f"/tx/{txid}/proof/tsc")
            if response.status == 404:
                return ProofResult(ProofState.NOT_FOUND, txid, self.name)
            document = self._required(response).json()
            proofs = document if isinstance(document, list) else [document] if document else []
            if not proofs:
                return ProofResult(ProofState.NOT_FOUND, txid, self.name)
            return await self._first_good_proof(txid, proofs[:MAX_PROOFS])
        except ServiceError as error:
            return ProofResult(ProofState.UNAVAILABLE, txid, self.name, detail=cut(str(error)))

    async def _first_good_proof(self, txid: str, proofs: list[Any]) -> ProofResult:
        """A transaction may have been in stale blocks too; the one whose header is on the chain counts."""
        faults: list[str] = []
        for proof in proofs:
            try:
                return await self._proof(txid, proof)
            except (ParseError, ServiceUnavailable, KeyError, TypeError, ValueError) as error:
                faults.append(str(error))
        return ProofResult(ProofState.UNAVAILABLE, txid, self.name, detail=cut("; ".join(faults)))

    async def _proof(self, txid: str, proof: Any) -> ProofResult:
        if proof["txOrId"] != txid and Transaction.from_hex(proof["txOrId"]).txid() != txid:
            raise ServiceUnavailable(self.name, "sent the proof of another transaction")
        found = await self.find_header_for_hash(str(proof["target"]))
        if found is None:
            raise ServiceUnavailable(self.name, "sent a proof for a block it does not have on the chain")
        height, header = found
        path = MerklePath.from_tsc(height, txid, proof["index"], proof["nodes"])
        if path.compute_root(txid) != header.merkle_root:
            raise ServiceUnavailable(self.name, f"sent a proof that does not lead to block {header.hash()}")
        return ProofResult(ProofState.FOUND, txid, self.name, path, header)

    async def get_utxo_status(self, outpoint: OutPoint, locking_script: Script) -> UtxoStatus:
        """*spent* only if it knows the transaction and leaves the output out of the unspent ones (R28)."""
        script_hash = hashlib.sha256(locking_script.to_bytes()).digest()[::-1].hex()
        try:
            state = await self._utxo_state(outpoint, script_hash)
            if state is not None:
                return UtxoStatus(outpoint, state, self.name)
            known = (await self._statuses([outpoint.txid]))[outpoint.txid].state
        except ServiceError as error:
            return UtxoStatus(outpoint, UtxoState.UNAVAILABLE, self.name, cut(str(error)))
        if known in (TxState.MINED, TxState.KNOWN):
            return UtxoStatus(outpoint, UtxoState.SPENT, self.name)
        return UtxoStatus(outpoint, UtxoState.UNAVAILABLE, self.name, "it does not know the transaction")

    async def _utxo_state(self, outpoint: OutPoint, script_hash: str) -> UtxoState | None:
        response = await self._send("GET", f"/script/{script_hash}/unspent/all")
        document = self._required(response).json()
        if not isinstance(document, dict) or document.get("script") != script_hash or document.get("error"):
            raise ServiceUnavailable(self.name, "did not answer about the script it was asked about")
        listed = document.get("result")
        if not isinstance(listed, list):
            raise ServiceUnavailable(self.name, "sent no list of outputs")
        for each in listed:
            if not isinstance(each, dict):
                raise ServiceUnavailable(self.name, "sent a malformed list of outputs")
            if (each.get("tx_hash"), each.get("tx_pos")) == (outpoint.txid, outpoint.vout):
                return UtxoState.SPENT if each.get("isSpentInMempoolTx") is True else UtxoState.UNSPENT
        if document.get("nextPageToken"):
            raise ServiceUnavailable(self.name, "listed only some of the outputs")
        return None

    # headers

    async def get_height(self) -> int:
        """Raises ``ServiceUnavailable``."""
        info = self._required(await self._send("GET", "/chain/info")).json()
        blocks = info.get("blocks") if isinstance(info, dict) else None
        if not isinstance(blocks, int) or isinstance(blocks, bool) or not 0 <= blocks <= 0xFFFFFFFF:
            raise ServiceUnavailable(self.name, "named no height")
        return blocks

    async def find_header_for_height(self, height: int) -> BlockHeader | None:
        """Raises ``ServiceUnavailable``."""
        found = await self._block_header(str(height))
        if found is not None and found[0] != height:
            raise ServiceUnavailable(self.name, f"sent the header of height {found[0]} for height {height}")
        return None if found is None else found[1]

    async def find_header_for_hash(self, block_hash: str) -> tuple[int, BlockHeader] | None:
        """Raises ``ServiceUnavailable``."""
        found = await self._block_header(block_hash)
        if found is None:
            return None
        if found[1].hash() != block_hash:
            raise ServiceUnavailable(self.name, f"sent another header for block {block_hash:.64}")
        return found if await self.find_header_for_height(found[0]) == found[1] else None

    async def _block_header(self, name: str) -> tuple[int, BlockHeader] | None:
        response = await self._send("GET", f"/block/{name}/header")
        if response.status == 404:
            return None
        value = self._required(response).json()
        return header_from_members(self.name, value, previous="previousblockhash", root="merkleroot")

    # inside

    async def _send(
        self, method: str, path: str, *, accept: str | None = None, json: Any = None, **options: Any
    ) -> HttpResponse:
        await self._pacer.turn()
        headers = {**self._headers, **({"Accept": accept} if accept else {})}
        return await self._http.request(method, path, json=json, headers=headers, check=False, **options)

    def _required(self, response: HttpResponse) -> HttpResponse:
        """A refusal of a question it must answer is no verdict."""
        try:
            return response.require()
        except ServiceUnavailable:
            raise
        except ServiceError as error:
            raise ServiceUnavailable(self.name, error.detail, status=error.status) from error


def _status(txid: str, answer: Any, provider: str) -> TxStatus:
    """A txid that is left out of the answer is not thereby unknown."""
    if answer is None:
        return TxStatus(txid, TxState.UNAVAILABLE, None, provider, "it left this txid out of its answer")
    if answer.get("error"):
        unknown = answer["error"] == "unknown"
        return TxStatus(txid, TxState.UNKNOWN if unknown else TxState.UNAVAILABLE, None, provider)
    confirmations = answer.get("confirmations")
    if isinstance(confirmations, int) and not isinstance(confirmations, bool) and confirmations > 0:
        return TxStatus(txid, TxState.MINED, confirmations, provider)
    return TxStatus(txid, TxState.KNOWN, 0, provider)
