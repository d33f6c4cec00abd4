"""listOutputs, balance and relinquishOutput (spec/wallet-stack.md §1.19).

Every page knows the size of the whole list (R74). The number of statements depends on what is included, not on how
much there is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, select, true, update

from sdk.core.errors import InvalidParameter
from sdk.core.script import Script
from sdk.core.transaction import OutPoint
from sdk.core.wallet import MAX_SATOSHIS, WALLET_BALANCE, ListOutputsResult, WalletOutput
from sdk.service.database import Prepared
from sdk.wallet.lifecycle import TransactionStatus
from sdk.wallet.storage.ancestry import assemble, collect
from sdk.wallet.storage.inputs import stored_script
from sdk.wallet.storage.names import BASKETS, DEFAULT_BASKET, TAGS
from sdk.wallet.storage.tables import output_tags, output_tags_map, outputs, raw, transactions, tx_labels, tx_labels_map

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import BindParameter, ColumnElement

    from sdk.core.wallet import RelinquishOutputArgs, ValidListOutputsArgs
    from sdk.service.database import Row, Unit
    from sdk.wallet.storage.ancestry import Material

_O = outputs.c
_T = transactions.c
_TAG = output_tags_map.c
_LISTED = tuple(
    status.value
    for status in (
        TransactionStatus.COMPLETED,
        TransactionStatus.UNPROVEN,
        TransactionStatus.NOSEND,
        TransactionStatus.SENDING,
    )
)
_JOINED = outputs.join(transactions, _T.transactionId == _O.transactionId)
_TAGS: BindParameter[Any] = bindparam("tags", expanding=True)
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_TAG_FILTERS: dict[str | None, tuple[ColumnElement[bool], ...]] = {
    None: (),
    "any": (_O.outputId.in_(select(_TAG.outputId).where(_TAG.outputTagId.in_(_TAGS), _TAG.isDeleted != true())),),
    "all": (
        _O.outputId.in_(
            select(_TAG.outputId)
            .where(_TAG.outputTagId.in_(_TAGS), _TAG.isDeleted != true())
            .group_by(_TAG.outputId)
            .having(func.count() == bindparam("many"))
        ),
    ),
}


def _spendable(tags: tuple[ColumnElement[bool], ...]) -> tuple[ColumnElement[bool], ...]:
    return (
        _O.userId == bindparam("user"),
        _O.basketId == bindparam("basket"),
        _O.spendable == true(),
        _T.status.in_(_LISTED),
        *tags,
    )


_COLUMNS = (
    _O.outputId,
    _O.transactionId,
    _T.txid,
    _O.vout,
    _O.satoshis,
    raw(_O.lockingScript),
    _O.scriptOffset,
    _O.scriptLength,
    _O.customInstructions,
)
_PAGE = {
    (mode, newest): Prepared(
        select(*_COLUMNS)
        .select_from(_JOINED)
        .where(*_spendable(tags))
        .order_by(_O.outputId.desc() if newest else _O.outputId)
        .limit(bindparam("most"))
        .offset(bindparam("skip"))
    )
    for mode, tags in _TAG_FILTERS.items()
    for newest in (False, True)
}
_COUNT = {
    mode: Prepared(select(func.count()).select_from(_JOINED).where(*_spendable(tags)))
    for mode, tags in _TAG_FILTERS.items()
}
_BALANCE = {
    mode: Prepared(select(func.coalesce(func.sum(_O.satoshis), 0)).select_from(_JOINED).where(*_spendable(tags)))
    for mode, tags in _TAG_FILTERS.items()
}
_TAGS_OF = Prepared(
    select(_TAG.outputId.label("key"), output_tags.c.tag.label("name"))
    .join(output_tags, output_tags.c.outputTagId == _TAG.outputTagId)
    .where(_TAG.outputId.in_(_IDS), _TAG.isDeleted != true(), output_tags.c.isDeleted != true())
    .order_by(output_tags.c.tag)
)
_LABELS_OF = Prepared(
    select(tx_labels_map.c.transactionId.label("key"), tx_labels.c.label.label("name"))
    .join(tx_labels, tx_labels.c.txLabelId == tx_labels_map.c.txLabelId)
    .where(
        tx_labels_map.c.transactionId.in_(_IDS), tx_labels_map.c.isDeleted != true(), tx_labels.c.isDeleted != true()
    )
    .order_by(tx_labels.c.label)
)
_RELINQUISH = Prepared(
    update(outputs)
    .where(
        _O.userId == bindparam("user"),
        _O.basketId == bindparam("basket"),
        _O.vout == bindparam("position"),
        _O.transactionId.in_(
            select(_T.transactionId).where(_T.userId == bindparam("user"), _T.txid == bindparam("hash"))
        ),
    )
    .values(basketId=None, updated_at=bindparam("now"))
)

_ON_CHAIN = (TransactionStatus.COMPLETED.value, TransactionStatus.UNPROVEN.value)
_KNOWN_TO_NETWORK = {
    everywhere: Prepared(
        select(*_COLUMNS)
        .select_from(_JOINED)
        .where(
            _O.userId == bindparam("user"),
            _O.spendable == true(),
            _T.status.in_(_ON_CHAIN),
            _O.outputId > bindparam("after"),
            *(() if everywhere else (_O.basketId == bindparam("basket"),)),
        )
        .order_by(_O.outputId)
        .limit(bindparam("most"))
    )
    for everywhere in (False, True)
}

MAX_CHANGE_WANTED = 10_000
_NUMBER = re.compile(r"[0-9]{1,16}", re.ASCII)


def list_outputs(unit: Unit, user_id: int, args: ValidListOutputsArgs) -> tuple[ListOutputsResult, Material | None]:
    """The page, and what its BEEF is made of if transactions are wanted (put together outside the unit)."""
    where = _filter(unit, user_id, args)
    if where is None:
        return ListOutputsResult.model_construct(total_outputs=0, outputs=()), None
    mode, params = where
    if WALLET_BALANCE in (args.basket, *args.tags):
        balance = int(unit.scalar(_BALANCE[mode], **params))
        return ListOutputsResult.model_construct(total_outputs=balance, outputs=()), None
    newest = args.offset < 0
    skip = -args.offset - 1 if newest else args.offset
    rows = unit.rows(_PAGE[mode, newest], most=args.limit, skip=skip, **params)
    full = 0 < len(rows) < args.limit
    total = skip + len(rows) if full else int(unit.scalar(_COUNT[mode], **params))
    result = ListOutputsResult.model_construct(total_outputs=total, outputs=_outputs(unit, args, rows))
    return result, collect(unit, [row.txid for row in rows]) if args.include_transactions else None


def with_beef(result: ListOutputsResult, material: Material, known_txids: Sequence[str]) -> ListOutputsResult:
    """The page with one BEEF that proves every transaction on it."""
    txids = dict.fromkeys(each.outpoint.partition(".")[0] for each in result.outputs)
    beef = assemble(material, txids, frozenset(known_txids))
    return result.model_copy(update={"beef": beef.to_bytes()})


def balance_of(unit: Unit, user_id: int, basket: str = DEFAULT_BASKET) -> int:
    """Satoshis of the spendable outputs of a basket."""
    found = BASKETS.existing(unit, user_id, [basket])
    return int(unit.scalar(_BALANCE[None], user=user_id, basket=found[basket])) if found else 0


def known_to_network(
    unit: Unit, user_id: int, *, everywhere: bool, after: int, most: int
) -> list[tuple[Row, OutPoint, Script]]:
    """A page of spendable outputs whose transactions the network has accepted: of the default basket, or all."""
    found = BASKETS.existing(unit, user_id, [DEFAULT_BASKET])
    basket = {} if everywhere else {"basket": found.get(DEFAULT_BASKET)}
    rows = unit.rows(_KNOWN_TO_NETWORK[everywhere], user=user_id, after=after, most=most, **basket)
    scripts = _scripts(unit, rows)
    return [(row, OutPoint(row.txid, row.vout), Script.from_hex(scripts[row.outputId])) for row in rows]


def listed(unit: Unit, args: ValidListOutputsArgs, rows: Sequence[Row]) -> ListOutputsResult:
    """These outputs, all of them, with what ``args`` includes."""
    return ListOutputsResult.model_construct(total_outputs=len(rows), outputs=_outputs(unit, args, rows))


def change_params(tags: Sequence[str]) -> tuple[int, int]:
    """Count and satoshis from the two tags of the special operation (§1.19). Raises ``InvalidParameter``."""
    if len(tags) != 2 or not all(_NUMBER.fullmatch(each) for each in tags):
        raise InvalidParameter("tags", "two numbers: how many change outputs are wanted, and their least satoshis")
    wanted, minimum = map(int, tags)
    if not 1 <= wanted <= MAX_CHANGE_WANTED or not 1 <= minimum <= MAX_SATOSHIS:
        raise InvalidParameter("tags", f"1 to {MAX_CHANGE_WANTED} change outputs of 1 to {MAX_SATOSHIS} satoshis")
    return wanted, minimum


def relinquish_output(unit: Unit, user_id: int, args: RelinquishOutputArgs, now: datetime) -> int:
    """Take an output of this user out of its basket; it is no longer listed or spent by the wallet."""
    found = BASKETS.existing(unit, user_id, [args.basket])
    txid, _, vout = args.output.partition(".")
    if not found or not unit.run(
        _RELINQUISH, user=user_id, basket=found[args.basket], hash=txid, position=int(vout), now=now
    ):
        raise InvalidParameter("output", f"an output in this wallet's basket {args.basket!r}")
    return 1


def _filter(unit: Unit, user_id: int, args: ValidListOutputsArgs) -> tuple[str | None, dict[str, Any]] | None:
    """Which statement and parameters select the list; ``None`` if it is empty for want of a basket or tag."""
    name = DEFAULT_BASKET if args.basket == WALLET_BALANCE else args.basket
    found = BASKETS.existing(unit, user_id, [name])
    if not found:
        return None
    params: dict[str, Any] = {"user": user_id, "basket": found[name]}
    wanted = [tag for tag in args.tags if tag != WALLET_BALANCE]
    if not wanted:
        return None, params
    tags = TAGS.existing(unit, user_id, wanted)
    if not tags or (args.tag_query_mode == "all" and len(tags) < len(wanted)):
        return None
    params["tags"] = list(tags.values())
    if args.tag_query_mode == "all":
        params["many"] = len(tags)
    return args.tag_query_mode, params


def _outputs(unit: Unit, args: ValidListOutputsArgs, rows: Sequence[Row]) -> tuple[WalletOutput, ...]:
    tags = _names(unit, _TAGS_OF, [row.outputId for row in rows]) if args.include_tags else None
    labels = _names(unit, _LABELS_OF, {row.transactionId for row in rows}) if args.include_labels else None
    scripts = _scripts(unit, rows) if args.include_locking_scripts else None
    return tuple(
        WalletOutput.model_construct(
            satoshis=row.satoshis,
            spendable=True,
            outpoint=f"{row.txid}.{row.vout}",
            locking_script=None if scripts is None else scripts[row.outputId],
            custom_instructions=row.customInstructions if args.include_custom_instructions else None,
            tags=None if tags is None else tags.get(row.outputId, ()),
            labels=None if labels is None else labels.get(row.transactionId, ()),
        )
        for row in rows
    )


def _names(unit: Unit, statement: Prepared, keys: Any) -> Mapping[int, tuple[str, ...]]:
    names: dict[int, list[str]] = defaultdict(list)
    if keys:
        for row in unit.rows(statement, ids=list(keys)):
            names[row.key].append(row.name)
    return {key: tuple(each) for key, each in names.items()}


def _scripts(unit: Unit, rows: Sequence[Row]) -> dict[int, str]:
    """Locking scripts as hex; long ones are cut out of their transactions, which one statement reads."""
    material = collect(unit, [row.txid for row in rows if row.lockingScript is None])
    return {row.outputId: stored_script(row, material).hex() for row in rows}
