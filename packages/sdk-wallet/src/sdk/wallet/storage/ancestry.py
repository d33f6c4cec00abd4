"""What proves a transaction: stored once, found by one recursive query, put together as BEEF (R15, R34).

An unproven transaction has a row in ``wallet_parents`` for each transaction it spends from; bytes stand in
``proven_txs``, in the request of our own, or in ``wallet_ancestors`` for those of others. No row holds a BEEF, so
neither a long chain nor a large ancestor makes an action slower than its own size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import LargeBinary, and_, bindparam, cast, null, select, union_all

from sdk.core.beef import Beef
from sdk.core.merkle_path import MerklePath
from sdk.core.transaction import Transaction
from sdk.service.database import Prepared, insert_or_ignore
from sdk.wallet.errors import AncestryIncomplete
from sdk.wallet.lifecycle import RequestStatus
from sdk.wallet.storage.batches import batches
from sdk.wallet.storage.tables import proven_tx_reqs, proven_txs, raw, wallet_ancestors, wallet_parents

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import BindParameter

    from sdk.core.header import BlockHeader
    from sdk.service.database import Row, Unit

_FAILED = (RequestStatus.INVALID.value, RequestStatus.DOUBLE_SPEND.value)
_TXIDS: BindParameter[Any] = bindparam("txids", expanding=True)
_NO_PATH = cast(null(), LargeBinary).label("merklePath")

_FETCH = Prepared(
    union_all(
        select(proven_txs.c.txid, raw(proven_txs.c.rawTx), raw(proven_txs.c.merklePath)).where(
            proven_txs.c.txid.in_(_TXIDS)
        ),
        select(proven_tx_reqs.c.txid, raw(proven_tx_reqs.c.rawTx), _NO_PATH).where(
            proven_tx_reqs.c.txid.in_(_TXIDS),
            proven_tx_reqs.c.provenTxId.is_(None),
            proven_tx_reqs.c.status.not_in(_FAILED),
        ),
        select(wallet_ancestors.c.txid, raw(wallet_ancestors.c.rawTx), _NO_PATH).where(
            wallet_ancestors.c.txid.in_(_TXIDS)
        ),
    )
)

_BYTES = Prepared(
    union_all(
        select(proven_txs.c.txid, raw(proven_txs.c.rawTx)).where(proven_txs.c.txid.in_(_TXIDS)),
        select(proven_tx_reqs.c.txid, raw(proven_tx_reqs.c.rawTx)).where(
            proven_tx_reqs.c.txid.in_(_TXIDS), proven_tx_reqs.c.provenTxId.is_(None)
        ),
    )
)


def _ancestors() -> Any:
    """The parents of ``txids``, and the parents of each of those that is not proven."""
    start = select(wallet_parents.c.parentTxid.label("txid")).where(wallet_parents.c.txid.in_(_TXIDS))
    found = start.cte("found", recursive=True)
    proof = proven_txs.alias("proof")
    above = (
        select(wallet_parents.c.parentTxid)
        .select_from(
            found.join(wallet_parents, wallet_parents.c.txid == found.c.txid).outerjoin(
                proof, proof.c.txid == found.c.txid
            )
        )
        .where(proof.c.provenTxId.is_(None))
    )
    found = found.union(above)
    own = and_(proven_tx_reqs.c.txid == found.c.txid, proven_tx_reqs.c.status.not_in(_FAILED))
    return select(
        found.c.txid,
        raw(proven_txs.c.rawTx),
        raw(proven_txs.c.merklePath),
        raw(proven_tx_reqs.c.rawTx).label("ownTx"),
        raw(wallet_ancestors.c.rawTx).label("otherTx"),
    ).select_from(
        found.outerjoin(proven_txs, proven_txs.c.txid == found.c.txid)
        .outerjoin(proven_tx_reqs, own)
        .outerjoin(wallet_ancestors, wallet_ancestors.c.txid == found.c.txid)
    )


_ANCESTORS = Prepared(_ancestors())
_INSERT_PROVEN = insert_or_ignore(proven_txs)
_INSERT_ANCESTOR = insert_or_ignore(wallet_ancestors)
_INSERT_PARENT = insert_or_ignore(wallet_parents)
_REQUESTED = Prepared(select(proven_tx_reqs.c.txid).where(proven_tx_reqs.c.txid.in_(_TXIDS)))
_KNOWN = Prepared(
    union_all(
        select(proven_txs.c.txid).where(proven_txs.c.txid.in_(_TXIDS)),
        select(proven_tx_reqs.c.txid).where(proven_tx_reqs.c.txid.in_(_TXIDS), proven_tx_reqs.c.status.not_in(_FAILED)),
    )
)

Material = dict[str, tuple[bytes, bytes | None]]
"""Txid to its bytes and, if it is proven, its merkle path."""


@dataclass(frozen=True, slots=True)
class Ancestry:
    """Foreign transactions worth keeping: rows for ``proven_txs``, ``wallet_ancestors`` and ``wallet_parents``."""

    proven: tuple[dict[str, Any], ...]
    unproven: tuple[dict[str, Any], ...]
    parents: tuple[dict[str, Any], ...]


def parents_of(transaction: Transaction) -> list[str]:
    """Txids it spends from, each once."""
    return [digest[::-1].hex() for digest in dict.fromkeys(transaction.source_hashes())]


def ancestry_of(beef: Beef, headers: Mapping[int, BlockHeader], *, without: Collection[str] = ()) -> Ancestry:
    """The transactions of a verified ``beef`` as rows, except ``without``; ``headers`` by height, for its paths.

    What stands below a proven transaction is left out.
    """
    proven, unproven, parents = [], [], []
    for transaction in beef.trim().transactions():
        txid = transaction.txid()
        if txid in without:
            continue
        path = beef.path_for(txid)
        if path is None:
            unproven.append({"txid": txid, "rawTx": transaction.to_bytes()})
            parents += [{"txid": txid, "parentTxid": parent} for parent in parents_of(transaction)]
        else:
            header = headers[path.block_height]
            proven.append(
                {
                    "txid": txid,
                    "height": path.block_height,
                    "index": path.offset(txid),
                    "merklePath": path.extract([txid]).to_bytes(),
                    "rawTx": transaction.to_bytes(),
                    "blockHash": header.hash(),
                    "merkleRoot": header.merkle_root,
                }
            )
    return Ancestry(tuple(proven), tuple(unproven), tuple(parents))


def store_ancestry(unit: Unit, ancestry: Ancestry, now: datetime) -> None:
    """Keep what is new. A transaction that has a request here gets its proof by the request alone (R1)."""
    proven: Iterable[dict[str, Any]] = ancestry.proven
    if ancestry.proven:
        requested = _txids(unit, _REQUESTED, [row["txid"] for row in ancestry.proven])
        proven = [row for row in ancestry.proven if row["txid"] not in requested]
    unit.run_many(_INSERT_PROVEN, [{**row, "created_at": now, "updated_at": now} for row in proven])
    unit.run_many(_INSERT_ANCESTOR, [{**row, "created_at": now} for row in ancestry.unproven])
    unit.run_many(_INSERT_PARENT, ancestry.parents)


def store_parents(unit: Unit, txid: str, parents: Sequence[str]) -> None:
    """Remember what a transaction of our own spends from; needed until it is proven."""
    unit.run_many(_INSERT_PARENT, [{"txid": txid, "parentTxid": parent} for parent in dict.fromkeys(parents)])


def known_here(unit: Unit, txids: Collection[str]) -> set[str]:
    """Those that this storage proved, or signed and did not see fail."""
    return _txids(unit, _KNOWN, list(txids))


def _txids(unit: Unit, statement: Prepared, txids: Sequence[str]) -> set[str]:
    return {row.txid for some in batches(txids) for row in unit.rows(statement, txids=some)}


def collect(unit: Unit, txids: Iterable[str]) -> Material:
    """Bytes and paths of ``txids`` and of all that proves them: two statements at most, however deep.

    Those of ``txids`` that are not stored are left out; raises ``AncestryIncomplete`` if an ancestor is.
    """
    wanted = list(dict.fromkeys(txids))
    if not wanted:
        return {}
    found: Material = {}
    for some in batches(wanted):
        for row in unit.rows(_FETCH, txids=some):
            if row.merklePath is not None or row.txid not in found:
                found[row.txid] = (row.rawTx, row.merklePath)
    unproven = [txid for txid, (_, path) in found.items() if path is None]
    for some in batches(unproven):
        found.update(_material(row) for row in unit.rows(_ANCESTORS, txids=some) if row.txid not in found)
    if unproven:
        _check_complete(found)
    return found


def _check_complete(found: Material) -> None:
    """Raised here, so that a unit which could not be proven to anybody is undone."""
    for raw_tx, path in found.values():
        for parent in parents_of(Transaction.from_bytes(raw_tx)) if path is None else ():
            if parent not in found:
                raise AncestryIncomplete(parent)


def collect_bytes(unit: Unit, txids: Iterable[str]) -> dict[str, bytes]:
    """The bytes alone, whatever became of the transactions; those not stored are left out."""
    wanted = list(dict.fromkeys(txids))
    return {row.txid: row.rawTx for some in batches(wanted) for row in unit.rows(_BYTES, txids=some)}


def _material(row: Row) -> tuple[str, tuple[bytes, bytes | None]]:
    if row.merklePath is not None:
        return row.txid, (row.rawTx, row.merklePath)
    raw = row.ownTx if row.ownTx is not None else row.otherTx
    if raw is None:
        raise AncestryIncomplete(row.txid)
    return row.txid, (raw, None)


def assemble(material: Material, txids: Iterable[str], known_txids: Collection[str] = ()) -> Beef:
    """The BEEF that proves ``txids``; of ``known_txids`` it holds the txid alone. Raises ``AncestryIncomplete``."""
    beef = Beef()
    waiting, seen = list(txids), set()
    while waiting:
        txid = waiting.pop()
        if txid in seen:
            continue
        seen.add(txid)
        if txid in known_txids:
            beef.merge_txid_only(txid)
            continue
        if txid not in material:
            raise AncestryIncomplete(txid)
        raw, path = material[txid]
        if path is not None:
            beef.merge_path(MerklePath.from_bytes(path))
            beef.merge_transaction(raw)
        else:
            transaction = Transaction.from_bytes(raw)
            beef.merge_transaction(transaction)
            waiting += parents_of(transaction)
    return beef


def beef_of(unit: Unit, txids: Iterable[str], known_txids: Collection[str] = ()) -> Beef:
    """``collect`` and ``assemble`` at once, for where a unit is open anyway."""
    wanted = list(txids)
    return assemble(collect(unit, wanted), wanted, known_txids)
