"""Settings and users (spec/wallet-stack.md §1.5, §2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, insert, select

from sdk.core.errors import NetworkChainMismatch
from sdk.core.storage import FindOrInsertUserResult, TableSettings, TableUser
from sdk.service.database import Prepared, insert_or_ignore
from sdk.wallet.storage.names import BASKETS, DEFAULT_BASKET, DEFAULT_MINIMUM, DEFAULT_WANTED
from sdk.wallet.storage.tables import settings, users

if TYPE_CHECKING:
    from sdk.service.database import Unit

NEVER = datetime(1971, 1, 1, tzinfo=UTC)
"""Age of a row made by default: any row that a sync brings is newer (§1.5)."""
MAX_OUTPUT_SCRIPT = 1024
"""Longer locking scripts are read from their transaction."""

_SETTINGS = Prepared(select(settings).limit(2))
_INSERT_SETTINGS = Prepared(insert(settings))
_USER = Prepared(select(users).where(users.c.identityKey == bindparam("key")))
_INSERT_USER = insert_or_ignore(users)
_DBTYPE = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MySQL"}


@dataclass(frozen=True, slots=True)
class StorageIdentity:
    """Who this storage is: the key others name it by, its name, and its chain."""

    identity_key: str
    name: str
    chain: str


def read_settings(unit: Unit) -> TableSettings | None:
    """The settings row; ``None`` before ``initialize``."""
    row = unit.first(_SETTINGS)
    return None if row is None else TableSettings.model_validate(row._asdict())


def initialize(unit: Unit, identity: StorageIdentity, now: datetime) -> TableSettings:
    """Write the settings row once. Raises ``NetworkChainMismatch`` if this database serves another chain."""
    found = read_settings(unit)
    if found is None:
        unit.run(
            _INSERT_SETTINGS,
            created_at=now,
            updated_at=now,
            storageIdentityKey=identity.identity_key,
            storageName=identity.name,
            chain=identity.chain,
            dbtype=_DBTYPE[unit.dialect],
            maxOutputScript=MAX_OUTPUT_SCRIPT,
        )
        return initialize(unit, identity, now)
    if found.chain != identity.chain:
        raise NetworkChainMismatch(
            f"this database holds a wallet of chain {found.chain!r}, not {identity.chain!r}: open the right one"
        )
    return found


def find_user(unit: Unit, identity_key: str) -> TableUser | None:
    row = unit.first(_USER, key=identity_key)
    return None if row is None else TableUser.model_validate(row._asdict())


def find_or_insert_user(unit: Unit, identity_key: str, storage_identity_key: str) -> FindOrInsertUserResult:
    """The user and the basket ``default`` for its change."""
    found = find_user(unit, identity_key)
    if found is not None:
        return FindOrInsertUserResult(user=found, is_new=False)
    made = unit.run(
        _INSERT_USER,
        created_at=NEVER,
        updated_at=NEVER,
        identityKey=identity_key,
        activeStorage=storage_identity_key,
    )
    user = find_user(unit, identity_key)
    assert user is not None, "a user row just inserted is gone"
    BASKETS.ensure(
        unit,
        user.user_id,
        [DEFAULT_BASKET],
        NEVER,
        numberOfDesiredUTXOs=DEFAULT_WANTED,
        minimumDesiredUTXOValue=DEFAULT_MINIMUM,
    )
    return FindOrInsertUserResult(user=user, is_new=made == 1)
