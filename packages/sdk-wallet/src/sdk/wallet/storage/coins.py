"""The wallet's change as funding sees it: small windows of it, and reservation by compare-and-set (R25, R38)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, case, func, literal, select, true, tuple_, update

from sdk.core.errors import InsufficientFunds
from sdk.service.database import Prepared
from sdk.wallet.errors import CoinContention
from sdk.wallet.funding import Coin, Tier
from sdk.wallet.lifecycle import TransactionStatus, predicates
from sdk.wallet.storage.batches import batches
from sdk.wallet.storage.tables import outputs, raw, transactions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sdk.service.database import Row, Unit

WINDOW = 8
NEAR = 160
"""How far, in order of size, a surer coin is looked for; a default pool (144) is seen whole."""
FAR = 32
PAGE = 64

_O = outputs.c
_T = transactions.c
_FREE = (
    _O.userId == bindparam("user"),
    _O.basketId == bindparam("basket"),
    _O.spendable == true(),
    _O.spentBy.is_(None),
    _O.change == true(),
    _O.type == "P2PKH",
    _O.derivationPrefix.is_not(None),
    _O.derivationSuffix.is_not(None),
)
"""Only change whose key we can derive may fund; a token in the basket never does."""
_FUNDING_STATUS = _T.status.in_(bindparam("statuses", expanding=True))
_MANAGED = and_(*_FREE, _FUNDING_STATUS)

_COLUMNS = (
    _O.outputId,
    _O.transactionId,
    _O.satoshis,
    _T.status,
    _T.txid,
    _O.vout,
    raw(_O.lockingScript),
    _O.derivationPrefix,
    _O.derivationSuffix,
    _O.senderIdentityKey,
)


def _near(count: int, *, largest: bool) -> Any:
    """Outputs that would do alone, at one end of their order of size; of the index alone, so that it is cheap."""
    order = (_O.satoshis, _O.transactionId, _O.outputId)
    return (
        select(_O.outputId.label("output"), _O.transactionId.label("source"))
        .where(
            _O.userId == bindparam("user"),
            _O.basketId == bindparam("basket"),
            _O.spendable == true(),
            _O.satoshis >= bindparam("least"),
        )
        .order_by(*(column.desc() for column in order) if largest else order)
        .limit(count)
        .subquery("nearby")
    )


def _coins_of(near: Any) -> Any:
    joined = near.join(transactions, _T.transactionId == near.c.source).join(outputs, _O.outputId == near.c.output)
    return select(*_COLUMNS).select_from(joined)


def _mined_of(near: Any) -> Any:
    """Statuses are looked at before rows of outputs are: most of a pool may be waiting to be sent."""
    source = transactions.alias("source")
    return (
        select(near.c.output, near.c.source)
        .select_from(near.join(source, source.c.transactionId == near.c.source))
        .where(source.c.status == TransactionStatus.COMPLETED.value)
        .limit(2 * WINDOW)
        .subquery("mined")
    )


_SMALLEST, _LARGEST = _near(NEAR, largest=False), _near(FAR, largest=True)
_SMALLEST_MINED = Prepared(_coins_of(_mined_of(_SMALLEST)).where(*_FREE).limit(WINDOW))
_LARGEST_MINED = Prepared(_coins_of(_mined_of(_LARGEST)).where(*_FREE).limit(WINDOW))
_SUREST = Prepared(
    _coins_of(_SMALLEST)
    .where(_MANAGED)
    .order_by(case((_T.status == TransactionStatus.UNPROVEN.value, 1), else_=2), _O.satoshis, _O.outputId)
    .limit(WINDOW)
)
_PLACE = tuple_(_O.satoshis, _O.transactionId, _O.outputId)
_BELOW = Prepared(
    select(*_COLUMNS)
    .join(transactions, _T.transactionId == _O.transactionId)
    .where(
        _MANAGED,
        _O.satoshis <= bindparam("most"),
        tuple_(bindparam("most"), bindparam("source"), bindparam("output")) > _PLACE,
    )
    .order_by(_O.satoshis.desc(), _O.transactionId.desc(), _O.outputId.desc())
    .limit(PAGE)
)
_TOTAL = Prepared(
    select(func.count().label("coins"), func.coalesce(func.sum(_O.satoshis), 0).label("satoshis"))
    .select_from(outputs.join(transactions, _T.transactionId == _O.transactionId))
    .where(_MANAGED, _O.satoshis > bindparam("more"))
)
_ON_THE_WAY = Prepared(
    select(func.coalesce(func.sum(_O.satoshis), 0))
    .select_from(outputs.join(transactions, _T.transactionId == _O.transactionId))
    .where(
        _O.userId == bindparam("user"),
        _O.basketId == bindparam("basket"),
        _O.change == true(),
        _O.spentBy.is_(None),
        _FUNDING_STATUS,
    )
)
_AVAILABLE = Prepared(
    select(func.count()).select_from(
        select(literal(1))
        .select_from(outputs)
        .where(_O.userId == bindparam("user"), _O.basketId == bindparam("basket"), _O.spendable == true())
        .limit(bindparam("most"))
        .subquery()
    )
)
_RESERVE = Prepared(
    update(outputs)
    .where(
        _O.outputId.in_(bindparam("ids", expanding=True)),
        _O.userId == bindparam("user"),
        _O.spendable == true(),
        _O.spentBy.is_(None),
    )
    .values(spendable=False, spentBy=bindparam("spender"), updated_at=bindparam("now"))
)

_NOT_YET = {
    status.value
    for status in predicates.TRANSACTIONS_UNSIGNED | predicates.TRANSACTIONS_HELD | predicates.TRANSACTIONS_TO_SEND
}
_TIERS = {
    TransactionStatus.COMPLETED.value: Tier.MINED,
    TransactionStatus.UNPROVEN.value: Tier.UNPROVEN,
}
_BEYOND = 1 << 62


class UnitCoins:
    """``CoinSource`` over an open unit; remembers the rows it read, by ``outputId``, for those that are chosen."""

    def __init__(self, unit: Unit, user_id: int, basket_id: int, *, delayed: bool) -> None:
        self._unit = unit
        statuses = {status.value for status in predicates.funding_statuses(delayed=delayed)}
        self._who = {"user": user_id, "basket": basket_id, "statuses": sorted(statuses)}
        self._on_the_way = {**self._who, "statuses": sorted(_NOT_YET - statuses)}
        self.rows: dict[int, Row] = {}

    def at_least(self, satoshis: int) -> list[Coin]:
        """Mined ones, if there are any among the ``NEAR`` smallest or the ``FAR`` largest; else the surest (R32)."""
        who = {"user": self._who["user"], "basket": self._who["basket"], "least": satoshis}
        rows = self._unit.rows(_SMALLEST_MINED, **who) or self._unit.rows(_LARGEST_MINED, **who)
        if not rows:
            rows = self._unit.rows(_SUREST, least=satoshis, **self._who)
        return sorted(self._coins(rows), key=lambda coin: (coin.satoshis, coin.output_id))

    def below(self, satoshis: int, after: Coin | None) -> list[Coin]:
        if after is None:
            place = {"most": satoshis - 1, "source": _BEYOND, "output": _BEYOND}
        else:
            source = self.rows[after.output_id].transactionId
            place = {"most": after.satoshis, "source": source, "output": after.output_id}
        return self._coins(self._unit.rows(_BELOW, **place, **self._who))

    def total(self, satoshis: int) -> tuple[int, int]:
        row = self._unit.rows(_TOTAL, more=satoshis, **self._who)[0]
        return int(row.coins), int(row.satoshis)

    def explained(self, lack: InsufficientFunds) -> InsufficientFunds:
        """Who pays faster than change comes back is not poor: how much of it may not fund yet."""
        satoshis = int(self._unit.scalar(_ON_THE_WAY, **self._on_the_way))
        if not satoshis:
            return lack
        note = f"{satoshis} satoshis are change of actions that are not with the network yet: try again when they are."
        return InsufficientFunds(lack.total_satoshis_needed, lack.more_satoshis_needed, f"{lack} {note}")

    def _coins(self, rows: Sequence[Row]) -> list[Coin]:
        self.rows.update((row.outputId, row) for row in rows)
        return [coin_of(row) for row in rows]


def coin_of(row: Row) -> Coin:
    return Coin(row.outputId, row.satoshis, _TIERS.get(row.status, Tier.SENDING))


def available_change(unit: Unit, user_id: int, basket_id: int, most: int) -> int:
    """Spendable outputs in the basket, counted no further than ``most``."""
    return int(unit.scalar(_AVAILABLE, user=user_id, basket=basket_id, most=most)) if most > 0 else 0


def reserve(unit: Unit, user_id: int, output_ids: Sequence[int], spender: int, now: datetime) -> None:
    """Take the outputs for transaction ``spender``: all of them, or ``CoinContention`` (R25)."""
    taken = sum(unit.run(_RESERVE, ids=some, user=user_id, spender=spender, now=now) for some in batches(output_ids))
    if taken != len(output_ids):
        raise CoinContention(len(output_ids), taken)
