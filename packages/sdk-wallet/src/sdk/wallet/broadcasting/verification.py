"""A proof counts when leaf, path, root and header agree with our own chain (R2, R49, R50)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sdk.core.errors import ParseError, ServiceUnavailable
from sdk.wallet.services.ports import ProofState
from sdk.wallet.storage.proofs import Proof

if TYPE_CHECKING:
    from sdk.core.merkle_path import MerklePath
    from sdk.wallet.services.ports import WalletServices


class ProofOutcome(StrEnum):
    VERIFIED = "verified"
    NOT_MINED = "not_mined"
    """Definitely: those asked know of no block with it."""
    TOO_NEW = "too_new"
    """Above the height both sides have agreed on; next time (R50)."""
    MISMATCH = "mismatch"
    """It does not fit our chain: a lie, or a block that is on another branch. Nothing is concluded."""
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Checked:
    """``proof`` is there exactly when ``outcome`` is *verified*."""

    outcome: ProofOutcome
    proof: Proof | None = None
    detail: str = ""


async def verified_proof(
    services: WalletServices, txid: str, raw_tx: bytes, *, up_to_height: int | None = None
) -> Checked:
    """Fetch and check the proof of ``txid``. Trouble of the chain tracker is *unavailable*, never a mismatch (R52)."""
    try:
        result = await services.get_merkle_path(txid)
        if result.state is ProofState.NOT_FOUND:
            return Checked(ProofOutcome.NOT_MINED, detail=result.provider)
        if result.state is not ProofState.FOUND or result.path is None:
            return Checked(ProofOutcome.UNAVAILABLE, detail=result.detail)
        if up_to_height is not None and result.path.block_height > up_to_height:
            return Checked(ProofOutcome.TOO_NEW, detail=str(result.path.block_height))
        return await check_path(services, txid, raw_tx, result.path)
    except (ServiceUnavailable, TimeoutError, OSError) as error:
        return Checked(ProofOutcome.UNAVAILABLE, detail=str(error))


async def check_path(services: WalletServices, txid: str, raw_tx: bytes, path: MerklePath) -> Checked:
    """``path`` against our own chain. Raises ``ServiceUnavailable`` when the chain cannot be asked."""
    try:
        if not path.contains(txid):
            return Checked(ProofOutcome.MISMATCH, detail="the path does not hold the transaction")
        root = path.compute_root(txid)
    except ParseError as error:
        return Checked(ProofOutcome.MISMATCH, detail=str(error))
    height = path.block_height
    if not await services.chain_tracker.is_valid_root_for_height(root, height):
        return Checked(ProofOutcome.MISMATCH, detail=f"root {root} is not that of our block at height {height}")
    header = await services.get_header_for_height(height)
    if header.merkle_root != root:
        raise ServiceUnavailable("headers", f"the block at height {height} changed while a proof was checked")
    own = path.extract([txid])
    return Checked(
        ProofOutcome.VERIFIED,
        Proof(txid, raw_tx, height, own.offset(txid), own.to_bytes(), header.hash(), root),
    )
