"""Keeps stored proofs in step with our own chain: what stands on a block that left it is unproven again (R51, R3).

Nothing depends on having seen an event. Each call compares the blocks that proofs stand on, newest first, with the
chain as it is: the last few always, and as deep as there is any difference when the checkpoint has left the chain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sdk.core.errors import InvalidParameter
from sdk.service.logging import get_logger
from sdk.wallet.broadcasting.reports import WorkReport
from sdk.wallet.lifecycle import evidence as by
from sdk.wallet.storage.proofs import (
    find_proof,
    load_checkpoint,
    proven_blocks,
    proven_in,
    save_checkpoint,
    withdraw_proof,
)

if TYPE_CHECKING:
    from sdk.core.ports import Clock
    from sdk.service.database import Database
    from sdk.wallet.broadcasting.prover import Prover
    from sdk.wallet.services.ports import WalletServices

CHECKPOINT = "proofs-follow-tip"
RECENT_BLOCKS = 12
PAGE = 100

log = get_logger(__name__)


class Tip(Protocol):
    @property
    def height(self) -> int: ...
    @property
    def hash(self) -> str: ...


class ReorgFollower:
    def __init__(self, database: Database, services: WalletServices, prover: Prover, *, clock: Clock) -> None:
        self._database, self._services, self._prover, self._clock = database, services, prover, clock

    async def follow(self, tip: Tip) -> WorkReport:
        """Compare, demote, and look at once for the proofs in the new chain.

        Raises ``ServiceUnavailable`` when the chain cannot be asked; what was compared before stays done, and the
        checkpoint stays where it was, so that the next call does the rest (R52).
        """
        checkpoint = await self._database.read(load_checkpoint, CHECKPOINT)
        is_steady = checkpoint is not None and await self._hash_at(checkpoint[0]) == checkpoint[1]
        compared, demoted = 0, []
        top, page = tip.height, RECENT_BLOCKS if is_steady else PAGE
        while True:
            blocks = await self._database.read(proven_blocks, top=top, limit=page)
            differing = [(height, own) for height, own in blocks if await self._hash_at(height) not in (own, None)]
            compared += len(blocks)
            for height, block_hash in differing:
                demoted += await self._demote(height, block_hash)
            if len(blocks) < page or not differing:
                break
            top, page = blocks[-1][0], PAGE
        reproven = await self._prover.prove(demoted)
        await self._database.write(save_checkpoint, CHECKPOINT, (tip.height, tip.hash), now=self._clock())
        detail = {"blocks": compared, "demoted": len(demoted), "reproven": reproven}
        return WorkReport(len(demoted), False, {name: count for name, count in detail.items() if count})

    async def _hash_at(self, height: int) -> str | None:
        """The block of our chain at ``height``; ``None`` above its tip, which says nothing about any block."""
        try:
            return (await self._services.get_header_for_height(height)).hash()
        except InvalidParameter:
            return None

    async def _demote(self, height: int, block_hash: str) -> list[tuple[str, bytes]]:
        replaced_by = await self._hash_at(height)
        if replaced_by is None or replaced_by == block_hash:
            return []
        evidence = by.HeaderDeactivated(block_hash, height, replaced_by)
        log.warning("a block with proofs has left the chain", height=height, block=block_hash, replaced_by=replaced_by)
        demoted = []
        while txids := await self._database.read(proven_in, height, block_hash, limit=PAGE):
            for txid in txids:
                proof = await self._database.read(find_proof, txid)
                if await self._database.write(withdraw_proof, txid, evidence, now=self._clock()) and proof is not None:
                    demoted.append((txid, proof.rawTx))
        return demoted
