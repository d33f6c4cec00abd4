"""The inputBEEF of a createAction: believed only as far as it proves itself (R41, R49; spec/wallet-stack.md §3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select

from sdk.core.beef import Beef
from sdk.core.errors import InvalidParameter, ParseError
from sdk.core.transaction import Transaction
from sdk.service.database import Prepared
from sdk.wallet.script import spv
from sdk.wallet.script.errors import SpvError
from sdk.wallet.storage.ancestry import ancestry_of, collect
from sdk.wallet.storage.batches import batches
from sdk.wallet.storage.inputs import InputEvidence
from sdk.wallet.storage.tables import proven_txs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from sdk.core.chain import ChainParameters
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
    chain: ChainParameters,
    header_for_height: Callable[[int], Awaitable[BlockHeader]],
) -> InputEvidence:
    """Raises ``InvalidParameter`` (``inputBEEF``) for what is malformed, incomplete or forged, and
    ``ServiceUnavailable`` when the chain cannot be asked."""
    if args.input_beef is None:
        return InputEvidence()
    beef = _parsed(args.input_beef)
    known = await _known(beef, database)
    spent = {each.outpoint.txid for each in args.inputs}
    subjects = [txid for txid in beef.txids() if txid in spent and not beef.is_txid_only(txid)]
    await _verify(beef, subjects, known, chain_tracker, chain)
    beef = beef.prune(subjects)
    transactions = known | {each.txid(): each for each in beef.transactions()}
    stored = await database.read(_proven_among, list(transactions))
    fresh = {path.block_height for txid in transactions if txid not in stored and (path := beef.path_for(txid))}
    headers = {height: await header_for_height(height) for height in sorted(fresh)}
    return InputEvidence(transactions, ancestry_of(beef, headers, without=stored))


async def _verify(
    beef: Beef,
    subjects: Sequence[str],
    known: Mapping[str, Transaction],
    chain_tracker: ChainTracker,
    chain: ChainParameters,
) -> None:
    """The structure of all of it, and of what the inputs spend also roots, amounts and scripts."""
    validity = beef.validity(allow_txid_only=True)
    if not validity:
        raise InvalidParameter(_FIELD, f"a valid BEEF when factoring options.trustSelf: {validity.reasons[0]}")
    needed = beef.prune(subjects)
    try:
        for txid in subjects:
            await spv.verify(needed, txid, chain_tracker, chain=chain, known=known)
    except SpvError as error:
        raise InvalidParameter(_FIELD, f"a BEEF that proves what the inputs spend: {error}") from error


def _parsed(data: bytes) -> Beef:
    try:
        return Beef.from_bytes(data)
    except ParseError as error:
        raise InvalidParameter(_FIELD, f"BEEF ({error})") from error


async def _known(beef: Beef, database: Database) -> dict[str, Transaction]:
    """Entries by txid alone stand for what this storage holds already."""
    bare = [txid for txid in beef.txids() if beef.is_txid_only(txid)]
    material = await database.read(collect, bare) if bare else {}
    for txid in bare:
        if txid not in material:
            raise InvalidParameter(_FIELD, f"a BEEF that holds transaction {txid} in full; it is not known here")
    return {txid: Transaction.from_bytes(material[txid][0]) for txid in bare}


def _proven_among(unit: Unit, txids: list[str]) -> set[str]:
    return {row.txid for some in batches(txids) for row in unit.rows(_PROVEN, txids=some)}
