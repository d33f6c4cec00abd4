"""Units that write and withdraw proofs. A proof and what it completes change together (R1), both ways (R51)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, func, insert, or_, select, update

from sdk.service.database import Prepared, upsert
from sdk.wallet.lifecycle import RequestStatus, predicates
from sdk.wallet.lifecycle import evidence as by
from sdk.wallet.storage.lifecycle_tables import wallet_checkpoints, wallet_request_schedule
from sdk.wallet.storage.request_claims import upsert_schedule
from sdk.wallet.storage.requests import apply_evidence, complete_transactions, lock_request, restore_request
from sdk.wallet.storage.tables import proven_tx_reqs, proven_txs, transactions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sdk.service.database import Row, Unit

_P = proven_txs.c
_R = proven_tx_reqs.c
_S = wallet_request_schedule.c
_T = transactions.c

_FIND = Prepared(
    select(_P.provenTxId, _P.txid, _P.height, _P.blockHash, _P.rawTx).where(_P.txid == bindparam("wanted"))
)
_WHOLE = Prepared(
    select(_P.txid, _P.rawTx, _P.height, _P.index, _P.merklePath, _P.blockHash, _P.merkleRoot).where(
        _P.txid == bindparam("wanted")
    )
)
_INSERT = Prepared(insert(proven_txs))
_REPLACE = Prepared(
    update(proven_txs)
    .where(_P.provenTxId == bindparam("id"))
    .values(
        {
            _P.height: bindparam("height_"),
            _P.index: bindparam("index_"),
            _P.merklePath: bindparam("path"),
            _P.blockHash: bindparam("block"),
            _P.merkleRoot: bindparam("root"),
            _P.updated_at: bindparam("now"),
        }
    )
)
_DELETE = Prepared(delete(proven_txs).where(_P.provenTxId == bindparam("id")))
_UNLINK = Prepared(update(transactions).where(_T.provenTxId == bindparam("id")).values(provenTxId=None))
_DUE = Prepared(
    select(
        _R.provenTxReqId,
        _R.txid,
        _R.rawTx,
        _R.status,
        _R.wasBroadcast,
        _S.checkedHeight,
        func.coalesce(_S.proofMisses, 0).label("misses"),
        func.coalesce(_S.propagated, False).label("propagated"),
    )
    .join(wallet_request_schedule, _S.provenTxReqId == _R.provenTxReqId, isouter=True)
    .where(
        _R.status.in_(sorted(status.value for status in predicates.REQUESTS_AWAITING_PROOF)),
        or_(
            _S.nextProof.is_(None),
            _S.nextProof <= bindparam("now"),
            _S.checkedHeight.is_(None),
            _S.checkedHeight < bindparam("height"),
        ),
    )
    .order_by(func.coalesce(_S.nextProof, _R.updated_at), _R.provenTxReqId)
    .limit(bindparam("most"))
)
_CHECKED = upsert_schedule("nextProof", "checkedHeight", "proofMisses")
_BLOCKS = Prepared(
    select(_P.height, _P.blockHash)
    .where(_P.height <= bindparam("top"))
    .distinct()
    .order_by(_P.height.desc(), _P.blockHash)
    .limit(bindparam("most"))
)
_IN_BLOCK = Prepared(
    select(_P.txid)
    .where(_P.height == bindparam("at"), _P.blockHash == bindparam("block"))
    .order_by(_P.provenTxId)
    .limit(bindparam("most"))
)
_C = wallet_checkpoints.c
_CHECKPOINT = Prepared(select(_C.height, _C.hash).where(_C.name == bindparam("wanted")))

_SAVE = upsert(wallet_checkpoints, ["name"], ["updated_at", "height", "hash"])


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof that was checked against our own chain: ``path`` is BUMP bytes with ``txid`` as leaf at ``index``."""

    txid: str
    raw_tx: bytes
    height: int
    index: int
    path: bytes
    block_hash: str
    merkle_root: str

    @property
    def evidence(self) -> by.VerifiedProof:
        return by.VerifiedProof(self.block_hash, self.height, self.merkle_root)


def find_proof(unit: Unit, txid: str) -> Row | None:
    """``provenTxId, txid, height, blockHash, rawTx`` of the stored proof."""
    return unit.first(_FIND, wanted=txid)


def find_stored_proof(unit: Unit, txid: str) -> Proof | None:
    """The proof of ``txid`` that is here already, whole."""
    row = unit.first(_WHOLE, wanted=txid)
    return None if row is None else Proof(*row)


def record_proof(unit: Unit, proof: Proof, *, now: datetime) -> int:
    """Store ``proof``, or let it replace an older one of that txid, and complete the request and every user's rows.

    Returns the ``provenTxId``. A transaction that had failed comes back to life (R56).
    """
    proof_id = _store(unit, proof, now)
    request = lock_request(unit, proof.txid)
    if request is None or request.status == RequestStatus.COMPLETED.value:
        complete_transactions(unit, proof.txid, proof.raw_tx, proof.evidence, proof_id, now)
    else:
        apply_evidence(unit, proof.txid, proof.evidence, now=now, proof_id=proof_id)
    return proof_id


def _store(unit: Unit, proof: Proof, now: datetime) -> int:
    known = find_proof(unit, proof.txid)
    if known is None:
        return unit.insert(
            _INSERT,
            created_at=now,
            updated_at=now,
            txid=proof.txid,
            height=proof.height,
            index=proof.index,
            merklePath=proof.path,
            rawTx=proof.raw_tx,
            blockHash=proof.block_hash,
            merkleRoot=proof.merkle_root,
        )
    if known.blockHash != proof.block_hash:
        unit.run(
            _REPLACE,
            id=known.provenTxId,
            height_=proof.height,
            index_=proof.index,
            path=proof.path,
            block=proof.block_hash,
            root=proof.merkle_root,
            now=now,
        )
    return int(known.provenTxId)


def withdraw_proof(unit: Unit, txid: str, evidence: by.HeaderDeactivated, *, now: datetime) -> bool:
    """Take back the proof of ``txid`` that stands on a block which left our chain: unproven, still spendable, and due
    to be proven again (R51). ``False`` if it stands on another block by now.
    """
    proof = find_proof(unit, txid)
    if proof is None or proof.blockHash != evidence.block_hash:
        return False
    request = lock_request(unit, txid)
    if request is None:
        restore_request(unit, txid=txid, raw_tx=proof.rawTx, proof_id=proof.provenTxId, now=now)
        request = lock_request(unit, txid)
    apply_evidence(unit, txid, evidence, now=now)
    unit.run(_UNLINK, id=proof.provenTxId)
    unit.run(_DELETE, id=proof.provenTxId)
    if request is not None:
        mark_checked(unit, request.provenTxReqId, next_proof=None, height=None, misses=0)
    return True


def due_for_proof(unit: Unit, *, now: datetime, height: int, limit: int) -> list[Row]:
    """Requests to look for a proof of, longest waiting first; all of them once for each new ``height``."""
    return unit.rows(_DUE, now=now, height=height, most=limit)


def mark_checked(unit: Unit, request_id: int, *, next_proof: datetime | None, height: int | None, misses: int) -> None:
    unit.run(_CHECKED, provenTxReqId=request_id, nextProof=next_proof, checkedHeight=height, proofMisses=misses)


def proven_blocks(unit: Unit, *, top: int, limit: int) -> list[tuple[int, str]]:
    """``(height, hash)`` of blocks that proofs stand on, from ``top`` downwards."""
    return [(row.height, row.blockHash) for row in unit.rows(_BLOCKS, top=top, most=limit)]


def proven_in(unit: Unit, height: int, block_hash: str, *, limit: int) -> list[str]:
    """Txids whose proof stands on that block."""
    return [row.txid for row in unit.rows(_IN_BLOCK, at=height, block=block_hash, most=limit)]


def load_checkpoint(unit: Unit, name: str) -> tuple[int, str] | None:
    row = unit.first(_CHECKPOINT, wanted=name)
    return None if row is None else (row.height, row.hash)


def save_checkpoint(unit: Unit, name: str, at: Sequence[int | str], *, now: datetime) -> None:
    """``at`` is ``(height, hash)``."""
    unit.run(_SAVE, name=name, updated_at=now, height=at[0], hash=at[1])
