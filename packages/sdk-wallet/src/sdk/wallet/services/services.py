"""``Services``: several providers as one, in order, one at a time (R14).

The next provider is asked only when the one before gave no verdict, or a verdict that a second opinion may change.
Proofs are checked here, against our own header source, whoever sent them (R49).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sdk.core.errors import InvalidParameter, ServiceError, ServiceUnavailable
from sdk.wallet.services.headers import HeaderTracker
from sdk.wallet.services.history import CallHistory
from sdk.wallet.services.mapping import cut, no_verdict, settles
from sdk.wallet.services.ports import ProofResult, ProofState, TxState, TxStatus, UtxoState, UtxoStatus
from sdk.wallet.services.providers import (
    Broadcaster,
    ProofProvider,
    RawTxProvider,
    StatusProvider,
    UtxoProvider,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.beef import Beef
    from sdk.core.header import BlockHeader
    from sdk.core.ports import ChainTracker
    from sdk.core.script import Script
    from sdk.core.transaction import OutPoint
    from sdk.wallet.services.ports import PostResult
    from sdk.wallet.services.providers import (
        HeaderSource,
        Provider,
    )

CALL_TIMEOUT = 60.0
_RANK = {TxState.MINED: 3, TxState.KNOWN: 2, TxState.UNKNOWN: 1, TxState.UNAVAILABLE: 0}


class Services:
    """``providers`` in the order to ask them; the first broadcaster is the primary. ``headers`` is the header source
    everything is checked against; it is not asked for anything else.

    Satisfies ``WalletServices``. ``close`` closes every provider it was given.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        headers: HeaderSource,
        *,
        chain_tracker: ChainTracker | None = None,
        call_timeout: float = CALL_TIMEOUT,
        history: CallHistory | None = None,
    ) -> None:
        self._providers = tuple(providers)
        self._broadcasters = [each for each in providers if isinstance(each, Broadcaster)]
        self._proof_providers = [each for each in providers if isinstance(each, ProofProvider)]
        self._status_providers = [each for each in providers if isinstance(each, StatusProvider)]
        self._utxo_providers = [each for each in providers if isinstance(each, UtxoProvider)]
        self._raw_tx_providers = [each for each in providers if isinstance(each, RawTxProvider)]
        self._headers = headers
        self.chain_tracker: ChainTracker = chain_tracker or HeaderTracker(headers)
        self._timeout = call_timeout
        self.history = history or CallHistory()

    # broadcast

    async def post_beef(self, beef: Beef, txids: Sequence[str]) -> list[PostResult]:
        results: list[PostResult] = []
        waiting = list(txids)
        for provider in self._broadcasters:
            if not waiting:
                break
            answers = await self._post(provider, beef, waiting)
            results += answers
            settled = {each.txid for each in answers if settles(each)}
            waiting = [txid for txid in waiting if txid not in settled]
        if not results:
            results = [no_verdict(txid, "none", "not sent", "no broadcaster is configured") for txid in txids]
        return results

    async def _post(self, provider: Broadcaster, beef: Beef, txids: list[str]) -> list[PostResult]:
        answers: dict[str, PostResult] = {}
        try:
            with self.history.call("postBeef", provider.name) as call:
                async with asyncio.timeout(self._timeout * max(1, len(txids))):
                    answers = {each.txid: each for each in await provider.post_beef(beef, txids)}
                call.success = all(txid in answers and answers[txid].accepted for txid in txids)
        except (ServiceError, TimeoutError) as error:
            answers = {t: no_verdict(t, provider.name, "no answer", str(error) or "took too long") for t in txids}
        return [
            answers.get(t) or no_verdict(t, provider.name, "no answer", "it left this txid out of its answer")
            for t in txids
        ]

    # proofs

    async def get_merkle_path(self, txid: str) -> ProofResult:
        """The first proof that holds against our own headers; else *not found* if one says so; else *unavailable*."""
        refusal: ProofResult | None = None
        faults: list[str] = []
        for provider in self._proof_providers:
            with self.history.call("getMerklePath", provider.name) as call:
                result = await self._checked_proof(await self._proof(provider, txid))
                call.success = result.state is ProofState.FOUND
            if result.state is ProofState.FOUND:
                return result
            if result.state is ProofState.NOT_FOUND:
                refusal = refusal or result
            else:
                faults.append(f"{provider.name}: {result.detail}")
        return refusal or ProofResult(ProofState.UNAVAILABLE, txid, detail=cut("; ".join(faults)))

    async def _proof(self, provider: ProofProvider, txid: str) -> ProofResult:
        try:
            async with asyncio.timeout(self._timeout):
                return await provider.get_merkle_path(txid)
        except (ServiceError, TimeoutError) as error:
            return ProofResult(ProofState.UNAVAILABLE, txid, provider.name, detail=cut(str(error) or "took too long"))

    async def _checked_proof(self, result: ProofResult) -> ProofResult:
        if result.state is not ProofState.FOUND or result.path is None:
            return result
        path, txid = result.path, result.txid
        if not path.contains(txid):
            return _unusable(result, "the path does not hold the transaction")
        root = path.compute_root(txid)
        try:
            header = await self._headers.find_header_for_height(path.block_height)
        except ServiceUnavailable as error:
            return _unusable(result, f"no header to check the proof with: {error}")
        if header is None:
            return _unusable(result, f"height {path.block_height} is above our tip")
        if header.merkle_root != root:
            return _unusable(result, f"block {header.hash()} of our chain has another merkle root")
        return ProofResult(ProofState.FOUND, txid, result.provider, path, header)

    # statuses

    async def get_statuses(self, txids: Sequence[str]) -> dict[str, TxStatus]:
        """The strongest of what was said of each; *unknown* only from a provider that sees the network."""
        found = {txid: TxStatus(txid, TxState.UNAVAILABLE) for txid in txids}
        for provider in sorted(self._status_providers, key=lambda each: not each.sees_network):
            asked = [txid for txid, status in found.items() if _RANK[status.state] < _RANK[TxState.KNOWN]]
            if not asked:
                break
            for txid, status in (await self._statuses(provider, asked)).items():
                heard = status.state is not TxState.UNKNOWN or provider.sees_network
                if txid in found and heard and _RANK[status.state] > _RANK[found[txid].state]:
                    found[txid] = status
        return found

    async def _statuses(self, provider: StatusProvider, txids: list[str]) -> dict[str, TxStatus]:
        try:
            with self.history.call("getStatusForTxids", provider.name) as call:
                async with asyncio.timeout(self._timeout + len(txids)):
                    statuses = await provider.get_statuses(txids)
                call.success = any(each.state is not TxState.UNAVAILABLE for each in statuses.values())
                return statuses
        except (ServiceError, TimeoutError):
            return {}

    # outputs and raw transactions

    async def get_utxo_status(self, outpoint: OutPoint, locking_script: Script) -> UtxoStatus:
        faults: list[str] = []
        for provider in self._utxo_providers:
            try:
                with self.history.call("getUtxoStatus", provider.name) as call:
                    async with asyncio.timeout(self._timeout):
                        status = await provider.get_utxo_status(outpoint, locking_script)
                    call.success = status.state is not UtxoState.UNAVAILABLE
            except (ServiceError, TimeoutError) as error:
                faults.append(f"{provider.name}: {str(error) or 'took too long'}")
                continue
            if call.success:
                return status
            faults.append(f"{provider.name}: {status.detail}")
        return UtxoStatus(outpoint, UtxoState.UNAVAILABLE, detail=cut("; ".join(faults) or "nobody was asked"))

    async def get_raw_tx(self, txid: str) -> bytes | None:
        """Raises ``ServiceUnavailable`` if no provider could say."""
        answered = False
        faults: list[str] = []
        for provider in self._raw_tx_providers:
            try:
                with self.history.call("getRawTx", provider.name) as call:
                    async with asyncio.timeout(self._timeout):
                        raw = await provider.get_raw_tx(txid)
                    call.success = raw is not None
            except (ServiceError, TimeoutError) as error:
                faults.append(f"{provider.name}: {str(error) or 'took too long'}")
                continue
            if raw is not None:
                return raw
            answered = True
        if not answered:
            raise ServiceUnavailable("transactions", "; ".join(faults) or "no provider is configured")
        return None

    # headers

    async def get_height(self) -> int:
        return await self._headers.get_height()

    async def get_header_for_height(self, height: int) -> BlockHeader:
        header = await self._headers.find_header_for_height(height)
        if header is None:
            raise InvalidParameter("height", "that of a block on the best chain")
        return header

    async def get_header_for_hash(self, block_hash: str) -> tuple[int, BlockHeader] | None:
        return await self._headers.find_header_for_hash(block_hash)

    async def close(self) -> None:
        for each in {id(p): p for p in (*self._providers, self._headers)}.values():
            closing: Any = getattr(each, "close", None)
            if closing is not None:
                await closing()


def _unusable(result: ProofResult, why: str) -> ProofResult:
    return ProofResult(ProofState.UNAVAILABLE, result.txid, result.provider, detail=why)
