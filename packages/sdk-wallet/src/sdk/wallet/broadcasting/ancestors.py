"""The BEEF of what is to be sent, from the rows; what a reorganisation or an adoption left out is fetched (R15)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.errors import SdkError
from sdk.core.transaction import Transaction
from sdk.service.logging import get_logger
from sdk.wallet.broadcasting.verification import verified_proof
from sdk.wallet.errors import AncestryIncomplete
from sdk.wallet.storage.ancestry import Ancestry, assemble, collect, parents_of, store_ancestry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.core.beef import Beef
    from sdk.core.ports import Clock
    from sdk.service.database import Database
    from sdk.wallet.services.ports import WalletServices

MAX_FETCHED = 50

log = get_logger(__name__)


class AncestorSource:
    def __init__(self, database: Database, services: WalletServices, clock: Clock) -> None:
        self._database, self._services, self._clock = database, services, clock

    async def beef(self, subjects: Mapping[str, bytes]) -> Beef:
        """The subjects (txid to bytes) and all that proves them, nothing else.

        Raises ``AncestryIncomplete`` if one is neither stored nor to be had.
        """
        for _ in range(MAX_FETCHED):
            try:
                return await self._assemble(subjects)
            except AncestryIncomplete as error:
                if error.txid in subjects or not await self._fetch(error.txid):
                    raise
        return await self._assemble(subjects)

    async def _assemble(self, subjects: Mapping[str, bytes]) -> Beef:
        material = await self._database.read(collect, list(subjects))
        for txid, raw in subjects.items():
            material.setdefault(txid, (raw, None))
        return assemble(material, subjects)

    async def _fetch(self, txid: str) -> bool:
        """Store ``txid`` with its proof, or else with its parents; whether that worked."""
        try:
            raw = await self._services.get_raw_tx(txid)
            if raw is None or Transaction.from_bytes(raw).txid() != txid:
                return False
            proof = await verified_proof(self._services, txid, raw)
        except SdkError as error:
            log.info("an ancestor could not be fetched", txid=txid, reason=str(error))
            return False
        if proof.proof is not None:
            row = {
                "txid": txid,
                "height": proof.proof.height,
                "index": proof.proof.index,
                "merklePath": proof.proof.path,
                "rawTx": raw,
                "blockHash": proof.proof.block_hash,
                "merkleRoot": proof.proof.merkle_root,
            }
            found = Ancestry((row,), (), ())
        else:
            parents = [{"txid": txid, "parentTxid": each} for each in parents_of(Transaction.from_bytes(raw))]
            found = Ancestry((), ({"txid": txid, "rawTx": raw},), tuple(parents))
        await self._database.write(store_ancestry, found, self._clock())
        return True
