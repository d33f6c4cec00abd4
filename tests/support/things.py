"""A small table and units over it, shared by the tests here and by the processes they start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from sdk.service.database import NAMING_CONVENTION, Key, LongBinary, Prepared, Timestamp

if TYPE_CHECKING:
    from sdk.service.database import Unit

METADATA = sa.MetaData(naming_convention=NAMING_CONVENTION)

THINGS = sa.Table(
    "things",
    METADATA,
    sa.Column("thingId", Key, primary_key=True),
    sa.Column("name", sa.String(100), nullable=False, unique=True),
    sa.Column("satoshis", sa.BigInteger, nullable=False, default=7),
    sa.Column("made_at", Timestamp),
    sa.Column("document", sa.JSON),
    sa.Column("spendable", sa.Boolean, default=lambda: True),
    sa.Column("raw", LongBinary),
    sa.CheckConstraint("satoshis >= 0", name="not_negative"),
)

PARTS = sa.Table(
    "parts",
    METADATA,
    sa.Column("partId", Key, primary_key=True),
    sa.Column("thingId", Key, sa.ForeignKey("things.thingId"), nullable=False),
)

ADD = Prepared(sa.insert(THINGS))
ADD_PART = Prepared(sa.insert(PARTS))
FIND = Prepared(sa.select(THINGS).where(THINGS.c.name == sa.bindparam("name")))
AMONG = Prepared(
    sa.select(THINGS).where(THINGS.c.name.in_(sa.bindparam("names", expanding=True))).order_by(THINGS.c["thingId"])
)
NAMES = Prepared(sa.select(THINGS.c.name).order_by(THINGS.c["thingId"]))
COUNT = Prepared(sa.select(sa.func.count().label("n")).select_from(THINGS))
SPEND = Prepared(
    sa.update(THINGS)
    .where(THINGS.c.name == sa.bindparam("which"), THINGS.c.spendable.is_(True))
    .values(spendable=sa.bindparam("to"))
)
MOVE = Prepared(
    sa.update(THINGS)
    .where(THINGS.c.name == sa.bindparam("which"))
    .values(satoshis=THINGS.c.satoshis + sa.bindparam("by", type_=sa.BigInteger))
)


def create(unit: Unit) -> None:
    METADATA.create_all(unit.connection)


def add(unit: Unit, name: str, satoshis: int = 7) -> int:
    return unit.insert(ADD, name=name, satoshis=satoshis)


def add_then_fail(unit: Unit, name: str) -> None:
    add(unit, name)
    raise RuntimeError(name)


def names(unit: Unit) -> list[str]:
    return [row.name for row in unit.rows(NAMES)]


def count(unit: Unit) -> int:
    found: int = unit.scalar(COUNT)
    return found
