"""The wallet's change as funding sees it: small windows of it, and reservation by compare-and-set (R25, R38)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, case, func, literal, or_, select, true, update

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

_COIN = select(
    _O.outputId,
    _O.satoshis,
    _T.status,
    _T.txid,
    _O.vout,
    raw(_O.lockingScript),
    _O.derivationPrefix,
    _O.derivationSuffix,
    _O.senderIdentityKey,
).join(transactions, _T.transactionId == _O.transactionId)
# Of the index alone, so that looking past the small ones is cheap.
_NEAR = (
    select(_O.outputId.label("near"))
    .where(
        _O.userId == bindparam("user"),
        _O.basketId == bindparam("basket"),
        _O.spendable == true(),
        _O.satoshis >= bindparam("least"),
    )
    .order_by(_O.satoshis, _O.outputId)
    .limit(NEAR)
    .subquery("nearby")
)
_AT_LEAST = _COIN.join(_NEAR, _NEAR.c.near == _O.outputId)
_MINED_AT_LEAST = Prepared(_AT_LEAST.where(*_FREE, _T.status == TransactionStatus.COMPLETED.value).limit(WINDOW))
_SUREST_AT_LEAST = Prepared(
    _AT_LEAST.where(_MANAGED)
    .order_by(case((_T.status == TransactionStatus.UNPROVEN.value, 1), else_=2), _O.satoshis, _O.outputId)
    .limit(WINDOW)
)
_BELOW = Prepared(
    _COIN.where(
        _MANAGED,
        _O.satoshis <= bindparam("most"),
        or_(_O.satoshis < bindparam("most"), _O.outputId < bindparam("before")),
    )
    .order_by(_O.satoshis.desc(), _O.outputId.desc())
    .limit(PAGE)
)
_TOTAL = Prepared(
    select(func.count().label("coins"), func.coalesce(func.sum(_O.satoshis), 0).label("satoshis"))
    .select_from(outputs.join(transactions, _T.transactionId == _O.transactionId))
    .where(_MANAGED, _O.satoshis > bindparam("more"))
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

_TIERS = {
    TransactionStatus.COMPLETED.value: Tier.MINED,
    TransactionStatus.UNPROVEN.value: Tier.UNPROVEN,
}
_BEYOND = 1 << 62


class UnitCoins:
    """``CoinSource`` over an open unit; remembers the rows it read, by ``outputId``, for those that are chosen."""

    def __init__(self, unit: Unit, user_id: int, basket_id: int, *, delayed: bool) -> None:
        self._unit = unit
        self._who = {
            "user": user_id,
            "basket": basket_id,
            "statuses": sorted(status.value for status in predicates.funding_statuses(delayed=delayed)),
        }
        self.rows: dict[int, Row] = {}

    def at_least(self, satoshis: int) -> list[Coin]:
        """Mined ones, if there are any among the ``NEAR`` smallest; else those accepted, else those queued (R32)."""
        who = {"user": self._who["user"], "basket": self._who["basket"]}
        rows = self._unit.rows(_MINED_AT_LEAST, least=satoshis, **who)
        if not rows:
            rows = self._unit.rows(_SUREST_AT_LEAST, least=satoshis, **self._who)
        return sorted(self._coins(rows), key=lambda coin: (coin.satoshis, coin.output_id))

    def below(self, satoshis: int, after: Coin | None) -> list[Coin]:
        most, before = (satoshis - 1, _BEYOND) if after is None else (after.satoshis, after.output_id)
        return self._coins(self._unit.rows(_BELOW, most=most, before=before, **self._who))

    def total(self, satoshis: int) -> tuple[int, int]:
        row = self._unit.rows(_TOTAL, more=satoshis, **self._who)[0]
        return int(row.coins), int(row.satoshis)

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
