"""listActions: pages of actions by label or time, oldest first (spec/wallet-stack.md §1.19).

Everything a page includes is read for the whole page at once, so that it costs the same few statements with one action
or with a thousand.
"""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, select, true

from sdk.core.errors import InvalidParameter
from sdk.core.transaction import Transaction
from sdk.core.wallet import (
    FAILED_ACTIONS,
    NO_SEND_ACTIONS,
    Action,
    ActionInput,
    ActionOutput,
    ListActionsResult,
)
from sdk.service.database import Prepared
from sdk.wallet.lifecycle import TransactionStatus
from sdk.wallet.storage.ancestry import collect_bytes
from sdk.wallet.storage.inputs import stored_script
from sdk.wallet.storage.names import LABELS
from sdk.wallet.storage.tables import (
    mine,
    output_baskets,
    output_tags,
    output_tags_map,
    outputs,
    raw,
    transactions,
    tx_labels,
    tx_labels_map,
    wallet_action_inputs,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import BindParameter, ColumnElement

    from sdk.core.transaction import TransactionInput
    from sdk.core.wallet import ValidListActionsArgs
    from sdk.service.database import Row, Unit
    from sdk.wallet.storage.ancestry import Material

_T = transactions.c
_O = outputs.c
_I = wallet_action_inputs.c
_L = tx_labels_map.c
_SOURCE = transactions.alias("source")
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_HIDDEN = (TransactionStatus.FAILED.value, TransactionStatus.UNFAIL.value)
_LABELS: BindParameter[Any] = bindparam("labels", expanding=True)

_SHOWN: dict[bool, ColumnElement[bool]] = {
    False: _T.status.not_in(_HIDDEN),
    True: _T.status.in_(bindparam("statuses", expanding=True)),
}
_TIMED = (_T.created_at >= bindparam("since"), _T.created_at < bindparam("until"))
_LABELLED: dict[str | None, tuple[ColumnElement[bool], ...]] = {
    None: (),
    "any": (_T.transactionId.in_(select(_L.transactionId).where(_L.txLabelId.in_(_LABELS), _L.isDeleted != true())),),
    "all": (
        _T.transactionId.in_(
            select(_L.transactionId)
            .where(_L.txLabelId.in_(_LABELS), _L.isDeleted != true())
            .group_by(_L.transactionId)
            .having(func.count() == bindparam("many"))
        ),
    ),
}
_WHERE = {
    (mode, timed, chosen): (_T.userId == bindparam("user"), shown, *labelled, *(_TIMED if timed else ()))
    for mode, labelled in _LABELLED.items()
    for timed in (False, True)
    for chosen, shown in _SHOWN.items()
}
_COUNT = {key: Prepared(select(func.count()).select_from(transactions).where(*where)) for key, where in _WHERE.items()}
_PAGE = {
    key: Prepared(
        select(
            _T.transactionId,
            _T.txid,
            _T.satoshis,
            _T.status,
            _T.isOutgoing,
            _T.description,
            _T.version,
            _T.lockTime,
            _T.created_at,
        )
        .where(*where)
        .order_by(_T.transactionId)
        .limit(bindparam("most"))
        .offset(bindparam("skip"))
    )
    for key, where in _WHERE.items()
}
_LABELS_OF = Prepared(
    select(_L.transactionId, tx_labels.c.label)
    .join(tx_labels, tx_labels.c.txLabelId == _L.txLabelId)
    .where(_L.transactionId.in_(_IDS), _L.isDeleted != true(), tx_labels.c.isDeleted != true())
    .order_by(tx_labels.c.label)
)
_OUTPUTS_OF = Prepared(
    select(
        _O.outputId,
        _O.transactionId,
        _O.vout,
        _O.satoshis,
        raw(_O.spendable),
        _O.outputDescription,
        _O.customInstructions,
        raw(_O.lockingScript),
        _O.scriptOffset,
        _O.scriptLength,
        _O.txid,
        output_baskets.c.name.label("basket"),
    )
    .outerjoin(output_baskets, output_baskets.c.basketId == _O.basketId)
    .where(_O.userId == bindparam("user"), _O.transactionId.in_(_IDS))
    .order_by(_O.transactionId, _O.vout)
)
_TAGS_OF = Prepared(
    select(output_tags_map.c.outputId, output_tags.c.tag)
    .join(output_tags, output_tags.c.outputTagId == output_tags_map.c.outputTagId)
    .join(outputs, _O.outputId == output_tags_map.c.outputId)
    .where(
        mine(outputs),
        _O.transactionId.in_(_IDS),
        output_tags_map.c.isDeleted != true(),
        output_tags.c.isDeleted != true(),
    )
    .order_by(output_tags.c.tag)
)
_SPENT_BY = Prepared(
    select(
        _O.spentBy.label("spender"),
        _SOURCE.c.txid,
        _O.vout,
        _O.satoshis,
        _O.spendingDescription.label("description"),
        _O.sequenceNumber.label("sequence"),
        raw(_O.lockingScript),
        _O.scriptOffset,
        _O.scriptLength,
    )
    .select_from(outputs.join(_SOURCE, _SOURCE.c.transactionId == _O.transactionId))
    .where(mine(outputs), _O.spentBy.in_(_IDS))
    .order_by(_O.outputId)
)
_NAMED_BY = Prepared(
    select(
        _I.transactionId.label("spender"),
        _I.txid,
        _I.vout,
        _I.satoshis,
        _I.inputDescription.label("description"),
        _I.sequenceNumber.label("sequence"),
        raw(_I.lockingScript),
    )
    .where(_I.transactionId.in_(_IDS))
    .order_by(_I.transactionId, _I.vin)
)

_ABORT, _UNFAIL = "abort", "unfail"
_ACTION_TIME = re.compile(r"action time (from|to) (\d{1,16})", re.ASCII)  # BRC-114
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def list_actions(unit: Unit, user_id: int, args: ValidListActionsArgs) -> ListActionsResult:
    """Failed actions come only if asked for. ``total_actions`` counts the whole list. Raises ``InvalidParameter``."""
    asked, statuses = _statuses(args.labels)
    plain, since, until = _times(asked)
    timed = (since, until) != (_FIRST, _LAST)
    params: dict[str, Any] = {"user": user_id}
    if statuses:
        params["statuses"] = statuses
    mode: str | None = None
    if plain:
        mode, labels = args.label_query_mode, LABELS.existing(unit, user_id, plain)
        if not labels or (mode == "all" and len(labels) < len(plain)):
            return ListActionsResult.model_construct(total_actions=0, actions=())
        params["labels"] = list(labels.values())
        if mode == "all":
            params["many"] = len(labels)
    if timed:
        params |= {"since": since, "until": until}
    key = mode, timed, bool(statuses)
    rows = unit.rows(_PAGE[key], most=args.limit, skip=args.offset, **params)
    last = 0 < len(rows) < args.limit
    total = args.offset + len(rows) if last else int(unit.scalar(_COUNT[key], **params))
    return ListActionsResult.model_construct(total_actions=total, actions=_actions(unit, user_id, args, rows, timed))


def wants_abort(labels: Sequence[str]) -> bool:
    """Whether the held actions listed are to be given up (§1.19)."""
    return NO_SEND_ACTIONS in labels and _ABORT in labels


def wants_unfail(labels: Sequence[str]) -> bool:
    """Whether the network is to be asked again about the failed actions listed (§1.19)."""
    return FAILED_ACTIONS in labels and _UNFAIL in labels


def _statuses(labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """Labels proper, and the statuses that special ones ask for (§1.19)."""
    special = {NO_SEND_ACTIONS: [TransactionStatus.NOSEND.value], FAILED_ACTIONS: list(_HIDDEN)}
    chosen = [status for label in labels for status in special.get(label, ())]
    orders = {*special}
    orders |= {_ABORT} if wants_abort(labels) else set()
    orders |= {_UNFAIL} if wants_unfail(labels) else set()
    return [label for label in labels if label not in orders], chosen


def _times(labels: Iterable[str]) -> tuple[list[str], datetime, datetime]:
    """Labels proper, and the time range that labels of BRC-114 stand for."""
    plain, times = [], {"from": _FIRST, "to": _LAST}
    seen: set[str] = set()
    for label in labels:
        match = _ACTION_TIME.fullmatch(label)
        if match is None:
            if label.startswith(("action time from ", "action time to ")):
                raise InvalidParameter("labels", f"labels; {label[:60]!r} names no time in milliseconds")
            plain.append(label)
            continue
        if match[1] in seen:
            raise InvalidParameter("labels", f"labels with at most one 'action time {match[1]}'")
        seen.add(match[1])
        times[match[1]] = _moment(int(match[2]))
    if times["from"] >= times["to"]:
        raise InvalidParameter("labels", "labels whose 'action time from' is before their 'action time to'")
    return plain, times["from"], times["to"]


def _moment(milliseconds: int) -> datetime:
    try:
        return _FIRST + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise InvalidParameter("labels", "labels with a time before the year 9999") from None


def _actions(
    unit: Unit, user_id: int, args: ValidListActionsArgs, rows: Sequence[Row], timed: bool
) -> tuple[Action, ...]:
    if not rows:
        return ()
    ids = [row.transactionId for row in rows]
    labels = _labels(unit, ids, rows if timed else ()) if args.include_labels else None
    outputs_of = _outputs(unit, user_id, args, ids) if args.include_outputs else None
    inputs_of = _inputs(unit, user_id, args, rows) if args.include_inputs else None
    return tuple(
        Action.model_construct(
            txid=row.txid or "",
            satoshis=row.satoshis,
            status=TransactionStatus.FAILED.value if row.status in _HIDDEN else row.status,
            is_outgoing=bool(row.isOutgoing),
            description=row.description or "",
            version=1 if row.version is None else row.version,
            lock_time=row.lockTime or 0,
            labels=None if labels is None else tuple(labels.get(row.transactionId, ())),
            inputs=None if inputs_of is None else tuple(inputs_of.get(row.transactionId, ())),
            outputs=None if outputs_of is None else tuple(outputs_of.get(row.transactionId, ())),
        )
        for row in rows
    )


def _labels(unit: Unit, ids: Sequence[int], timed: Sequence[Row]) -> Mapping[int, list[str]]:
    labels: dict[int, list[str]] = defaultdict(list)
    for row in unit.rows(_LABELS_OF, ids=ids):
        labels[row.transactionId].append(row.label)
    for row in timed:
        labels[row.transactionId].append(f"action time {(row.created_at - _FIRST) // timedelta(milliseconds=1)}")
    return labels


def _outputs(
    unit: Unit, user_id: int, args: ValidListActionsArgs, ids: Sequence[int]
) -> Mapping[int, list[ActionOutput]]:
    rows = unit.rows(_OUTPUTS_OF, user=user_id, ids=ids)
    tags: dict[int, list[str]] = defaultdict(list)
    for row in unit.rows(_TAGS_OF, user=user_id, ids=ids):
        tags[row.outputId].append(row.tag)
    scripts = args.include_output_locking_scripts
    material = _long_scripts(unit, rows) if scripts else {}
    found: dict[int, list[ActionOutput]] = defaultdict(list)
    for row in rows:
        script = None
        if scripts and (row.lockingScript is not None or row.txid is not None):
            script = stored_script(row, material).hex()
        found[row.transactionId].append(
            ActionOutput.model_construct(
                satoshis=row.satoshis,
                spendable=bool(row.spendable),
                tags=tuple(tags.get(row.outputId, ())),
                output_index=row.vout,
                output_description=row.outputDescription or "",
                basket=row.basket or "",
                locking_script=script,
                custom_instructions=row.customInstructions,
            )
        )
    return found


def _inputs(
    unit: Unit, user_id: int, args: ValidListActionsArgs, rows: Sequence[Row]
) -> Mapping[int, list[ActionInput]]:
    """What is known of each input: own outputs and those the caller named, in the order of the signed transaction."""
    ids = [row.transactionId for row in rows]
    known: dict[int, dict[tuple[str, int], Row]] = defaultdict(dict)
    own = unit.rows(_SPENT_BY, user=user_id, ids=ids)
    for row in (*unit.rows(_NAMED_BY, ids=ids), *own):
        known[row.spender].setdefault((row.txid, row.vout), row)
    signed = collect_bytes(unit, [row.txid for row in rows if row.txid is not None])
    material = _long_scripts(unit, own) if args.include_input_source_locking_scripts else {}
    return {
        row.transactionId: _action_inputs(args, known.get(row.transactionId, {}), signed.get(row.txid), material)
        for row in rows
    }


def _action_inputs(
    args: ValidListActionsArgs, known: Mapping[tuple[str, int], Row], raw: bytes | None, material: Material
) -> list[ActionInput]:
    if raw is None:
        return [_action_input(args, row, None, material) for row in known.values()]
    found = []
    for each in Transaction.from_bytes(raw).inputs:
        row = known.get((each.outpoint.txid, each.outpoint.vout))
        if row is not None:
            found.append(_action_input(args, row, each, material))
    return found


def _action_input(
    args: ValidListActionsArgs, row: Row, signed: TransactionInput | None, material: Material
) -> ActionInput:
    sequence = 0xFFFFFFFF if row.sequence is None else row.sequence
    script = None
    if args.include_input_source_locking_scripts:
        script = stored_script(row, material).hex()
    return ActionInput.model_construct(
        source_outpoint=f"{row.txid}.{row.vout}",
        source_satoshis=row.satoshis,
        input_description=row.description or "",
        sequence_number=sequence if signed is None else signed.sequence,
        source_locking_script=script,
        unlocking_script=signed.unlocking_script.to_hex()
        if signed is not None and args.include_input_unlocking_scripts
        else None,
    )


def _long_scripts(unit: Unit, rows: Sequence[Row]) -> Material:
    """The transactions that hold the scripts too long for a row."""
    wanted = {row.txid for row in rows if row.lockingScript is None and row.txid is not None}
    return {txid: (raw, None) for txid, raw in collect_bytes(unit, wanted).items()}
