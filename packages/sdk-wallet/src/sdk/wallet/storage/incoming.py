"""The inputBEEF of a createAction: believed only as far as it proves itself (R41, R49; spec/wallet-stack.md §3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select

from sdk.core.beef import Beef
from sdk.core.errors import InvalidParameter, ParseError
from sdk.service.database import Prepared
from sdk.wallet.errors import AncestryIncomplete
from sdk.wallet.storage.ancestry import ancestry_of, assemble, collect
from sdk.wallet.storage.inputs import InputEvidence
from sdk.wallet.storage.tables import proven_txs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sdk.core.header import BlockHeader
    from sdk.core.ports import ChainTracker
    from sdk.core.wallet import ValidCreateActionArgs
    from sdk.service.database import Database, Unit

_PROVEN = Prepared(select(proven_txs.c.txid).where(proven_txs.c.txid.in_(bindparam("txids", expanding=True))))
_FIELD = "inputBEEF"


async def read_input_beef(
    args: ValidCreateActionArgs,
    database: Database,
    chain_tracker: ChainTracker,
    header_for_height: Callable[[int], Awaitable[BlockHeader]],
) -> InputEvidence:
    """Raises ``InvalidParameter`` (``inputBEEF``) for what is malformed, incomplete or forged, and
    ``ServiceUnavailable`` when the chain cannot be asked."""
    if args.input_beef is None:
        return InputEvidence()
    beef = _parsed(args.input_beef)
    await _fill_in_known(beef, database)
    await verify(beef, chain_tracker)
    transactions = {each.txid(): each for each in beef.transactions()}
    stored = await database.read(_proven_among, list(transactions))
    fresh = {path.block_height for txid in transactions if txid not in stored and (path := beef.path_for(txid))}
    headers = {height: await header_for_height(height) for height in sorted(fresh)}
    return InputEvidence(transactions, ancestry_of(beef, headers, without=stored))


async def verify(beef: Beef, chain_tracker: ChainTracker, field: str = _FIELD) -> None:
    """Structure, then merkle roots against the chain, then scripts and amounts of what is not proven."""
    validity = beef.validity()
    if not validity:
        raise InvalidParameter(field, f"a valid BEEF when factoring options.trustSelf: {validity.reasons[0]}")
    try:
        roots = beef.roots()
    except ParseError as error:
        raise InvalidParameter(field, f"a valid BEEF: {error.reason}") from error
    for height, root in roots.items():
        if not await chain_tracker.is_valid_root_for_height(root, height):
            raise InvalidParameter(
                field, f"a BEEF of this chain: the block at height {height} has no merkle root {root}"
            )


def _parsed(data: bytes) -> Beef:
    try:
        return Beef.from_bytes(data)
    except ParseError as error:
        raise InvalidParameter(_FIELD, f"BEEF ({error})") from error


async def _fill_in_known(beef: Beef, database: Database) -> None:
    """Entries by txid alone stand for what this storage holds already."""
    bare = [txid for txid in beef.txids() if beef.is_txid_only(txid)]
    if not bare:
        return
    material = await database.read(collect, bare)
    try:
        beef.merge(assemble(material, bare))
    except AncestryIncomplete as error:
        must = f"a BEEF that holds transaction {error.txid} in full, which is not known here"
        raise InvalidParameter(_FIELD, must) from error


def _proven_among(unit: Unit, txids: list[str]) -> set[str]:
    return {row.txid for row in unit.rows(_PROVEN, txids=txids)}
