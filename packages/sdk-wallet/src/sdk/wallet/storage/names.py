"""Baskets, labels and tags by name: found or made as sets, a constant number of statements however many there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select, true, update

from sdk.service.database import Prepared, insert_or_ignore
from sdk.wallet.storage.batches import batches
from sdk.wallet.storage.tables import (
    output_baskets,
    output_tags,
    output_tags_map,
    tx_labels,
    tx_labels_map,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Column, Table

    from sdk.service.database import Row, Unit

DEFAULT_BASKET = "default"
DEFAULT_WANTED, DEFAULT_MINIMUM = 144, 32


class NameTable:
    """The statements of one of the three tables of names; all have ``userId``, a name and ``isDeleted``."""

    def __init__(self, table: Table[Any], key: Column[Any], name: Column[Any]) -> None:
        self.name = str(name.key)
        mine = table.c.userId == bindparam("user")
        named = name.in_(bindparam("names", expanding=True))
        self.find = Prepared(select(key.label("key"), name.label("name"), table.c.isDeleted).where(mine, named))
        self.insert = insert_or_ignore(table)
        self.revive = Prepared(
            update(table)
            .where(mine, named, table.c.isDeleted == true())
            .values(isDeleted=False, updated_at=bindparam("now"))
        )

    def existing(self, unit: Unit, user_id: int, names: Sequence[str]) -> dict[str, int]:
        """Keys of those that exist and are not deleted."""
        return {row.name: row.key for row in self._find(unit, user_id, names) if not row.isDeleted}

    def _find(self, unit: Unit, user_id: int, names: Sequence[str]) -> list[Row]:
        return [row for some in batches(names) for row in unit.rows(self.find, user=user_id, names=some)]

    def ensure(self, unit: Unit, user_id: int, names: Iterable[str], now: datetime, **columns: Any) -> dict[str, int]:
        """Keys of all ``names``; what is missing is made with ``columns``, what was deleted comes back."""
        wanted = list(dict.fromkeys(names))
        if not wanted:
            return {}
        rows = self._find(unit, user_id, wanted)
        for some in batches([row.name for row in rows if row.isDeleted]):
            unit.run(self.revive, user=user_id, names=some, now=now)
        keys = {row.name: row.key for row in rows}
        missing = [name for name in wanted if name not in keys]
        if not missing:
            return keys
        row = {"userId": user_id, "isDeleted": False, "created_at": now, "updated_at": now, **columns}
        unit.run_many(self.insert, [{**row, self.name: name} for name in missing])
        return keys | {row.name: row.key for row in self._find(unit, user_id, missing)}


BASKETS = NameTable(output_baskets, output_baskets.c.basketId, output_baskets.c.name)
LABELS = NameTable(tx_labels, tx_labels.c.txLabelId, tx_labels.c.label)
TAGS = NameTable(output_tags, output_tags.c.outputTagId, output_tags.c.tag)

_MAP_LABELS = insert_or_ignore(tx_labels_map)
_MAP_TAGS = insert_or_ignore(output_tags_map)
_REVIVE_LABELS = Prepared(
    update(tx_labels_map)
    .where(
        tx_labels_map.c.transactionId == bindparam("transaction"),
        tx_labels_map.c.txLabelId.in_(bindparam("labels", expanding=True)),
        tx_labels_map.c.isDeleted == true(),
    )
    .values(isDeleted=False, updated_at=bindparam("now"))
)
_REVIVE_TAGS = Prepared(
    update(output_tags_map)
    .where(output_tags_map.c.outputId.in_(bindparam("outputs", expanding=True)), output_tags_map.c.isDeleted == true())
    .values(isDeleted=False, updated_at=bindparam("now"))
)
_BASKET = Prepared(
    select(
        output_baskets.c.basketId,
        output_baskets.c.numberOfDesiredUTXOs,
        output_baskets.c.minimumDesiredUTXOValue,
    ).where(
        output_baskets.c.userId == bindparam("user"),
        output_baskets.c.name == bindparam("name"),
        output_baskets.c.isDeleted != true(),
    )
)

_SET_CHANGE_PARAMS = Prepared(
    update(output_baskets)
    .where(output_baskets.c.userId == bindparam("user"), output_baskets.c.name == bindparam("basket"))
    .values(
        numberOfDesiredUTXOs=bindparam("count"),
        minimumDesiredUTXOValue=bindparam("least"),
        updated_at=bindparam("now"),
    )
)


@dataclass(frozen=True, slots=True)
class ChangeBasket:
    """Where change lives, and how many outputs of at least how many satoshis it would like to hold."""

    basket_id: int
    wanted: int
    minimum: int


def find_change_basket(unit: Unit, user_id: int, name: str = DEFAULT_BASKET) -> ChangeBasket | None:
    row = unit.first(_BASKET, user=user_id, name=name)
    return None if row is None else ChangeBasket(*row)


def set_change_params(unit: Unit, user_id: int, wanted: int, minimum: int, now: datetime) -> None:
    """How many change outputs the default basket would like to hold, of at least ``minimum`` satoshis."""
    unit.run(_SET_CHANGE_PARAMS, user=user_id, basket=DEFAULT_BASKET, count=wanted, least=minimum, now=now)


def ensure_baskets(unit: Unit, user_id: int, names: Iterable[str], now: datetime) -> dict[str, int]:
    """Keys of all baskets named; a new one wishes for no change."""
    return BASKETS.ensure(unit, user_id, names, now, numberOfDesiredUTXOs=0, minimumDesiredUTXOValue=0)


def add_labels(unit: Unit, user_id: int, transaction_id: int, labels: Sequence[str], now: datetime) -> None:
    """Label a transaction; labels it has already stay."""
    if not labels:
        return
    keys = LABELS.ensure(unit, user_id, labels, now)
    row = {"transactionId": transaction_id, "isDeleted": False, "created_at": now, "updated_at": now}
    if unit.run_many(_MAP_LABELS, [{**row, "txLabelId": key} for key in keys.values()]) != len(keys):
        unit.run(_REVIVE_LABELS, transaction=transaction_id, labels=list(keys.values()), now=now)


def add_tags(unit: Unit, user_id: int, tags: Mapping[int, Sequence[str]], now: datetime) -> None:
    """Tag outputs, given by ``outputId``; tags they have already stay."""
    names = [tag for each in tags.values() for tag in each]
    if not names:
        return
    keys = TAGS.ensure(unit, user_id, names, now)
    row = {"isDeleted": False, "created_at": now, "updated_at": now}
    rows = [
        {**row, "outputId": output_id, "outputTagId": keys[tag]}
        for output_id, each in tags.items()
        for tag in dict.fromkeys(each)
    ]
    if unit.run_many(_MAP_TAGS, rows) != len(rows):
        for some in batches(list(tags)):
            unit.run(_REVIVE_TAGS, outputs=some, now=now)
