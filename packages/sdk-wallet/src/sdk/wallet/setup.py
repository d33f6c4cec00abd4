"""A whole wallet in one call: database, storage, services, keys, and what works in the background."""

from __future__ import annotations

import os
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from sdk.core.errors import ConfigurationError
from sdk.service.database import Database
from sdk.service.migrations import upgrade
from sdk.wallet.actions.checks import Bounds
from sdk.wallet.background import start_background
from sdk.wallet.broadcasting.broadcaster import Broadcaster
from sdk.wallet.funding import FeeModel
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.monitoring import WalletBackend
from sdk.wallet.services.composition import build_services
from sdk.wallet.settings import WalletSettings
from sdk.wallet.storage.migrations import MIGRATIONS
from sdk.wallet.storage.provider import StorageOptions, StorageProvider
from sdk.wallet.storage.users import StorageIdentity
from sdk.wallet.wallet import Wallet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sdk.core.ports import Clock, Entropy
    from sdk.wallet.services.ports import WalletServices
    from sdk.wallet.settings import Background

_STORAGE_KEY = ((2, "wallet storage identity"), "1", "self")


def utc_now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def open_wallet(
    *,
    root_key: PrivateKey | str | None = None,
    database: str | Database | None = None,
    chain: str | None = None,
    services: WalletServices | None = None,
    background: Background | None = None,
    migrate: bool | None = None,
    settings: WalletSettings | None = None,
    clock: Clock = utc_now,
    entropy: Entropy = os.urandom,
) -> AsyncIterator[Wallet]:
    """An open wallet, closed at the end with everything that was opened for it.

    What is not given comes from ``settings``, which come from the environment (``SDK_WALLET_*``). ``root_key`` may be
    64 hex digits. ``services`` and a ``Database`` object that are given stay open. ``migrate`` makes or upgrades the
    tables; by default on SQLite only, where the file is this wallet's own. Raises ``ConfigurationError``,
    ``NotMigrated``, ``SchemaTooNew``, ``StorageUnavailable``, ``NetworkChainMismatch``.
    """
    settings = _settings(settings, database, chain, background)
    root = _root_key(root_key, settings)
    async with AsyncExitStack() as stack:
        opened = await _database(stack, database, settings, migrate=migrate)
        used = services or _services(stack, settings)
        broadcaster = None
        if used is not None:
            broadcaster = Broadcaster(opened, used, clock=clock, owner=f"wallet {os.getpid()} {uuid.uuid4().hex[:8]}")
        storage = StorageProvider(
            opened,
            storage_identity(root, settings),
            clock=clock,
            entropy=entropy,
            services=used,
            broadcaster=broadcaster,
            options=StorageOptions(fees=_fees(settings)),
        )
        sends_delayed = await start_background(
            stack,
            settings.background,
            partial(_backend, opened, used, clock),
            opened,
            can_send=used is not None,
            clock=clock,
        )
        yield await Wallet.open(
            root,
            storage,
            chain=settings.chain,
            services=used,
            sends_delayed=sends_delayed,
            bounds=_bounds(settings),
        )


def storage_identity(root: PrivateKey, settings: WalletSettings) -> StorageIdentity:
    """The embedded storage's own key follows from the wallet's, so that it is the same at every start."""
    key = KeyDeriver(root).derive_public_key(*_STORAGE_KEY, for_self=True)
    return StorageIdentity(key.to_hex(), settings.storage_name, settings.chain)


def _settings(
    settings: WalletSettings | None, database: str | Database | None, chain: str | None, background: Background | None
) -> WalletSettings:
    given: dict[str, Any] = {
        "database": database if isinstance(database, str) else None,
        "chain": chain,
        "background": background,
    }
    if settings is None:
        return WalletSettings.load(**given)
    update = {name: value for name, value in given.items() if value is not None}
    return settings.model_copy(update=update)


def _bounds(settings: WalletSettings) -> Bounds:
    """Ten times the configured fee rate, and at least the default."""
    default, rate = Bounds(), _fees(settings)
    fee_rate = max(default.fee_rate, 10 * rate.fee(1000))
    return Bounds(settings.max_commission, fee_rate, max(default.fee_slack, fee_rate))


def _fees(settings: WalletSettings) -> FeeModel:
    try:
        return FeeModel.of(settings.satoshis_per_kilobyte)
    except ValueError:
        rate = f"{settings.satoshis_per_kilobyte!r:.40}"
        raise ConfigurationError(f"SDK_WALLET_SATOSHIS_PER_KILOBYTE is a number such as 1 or 0.5, not {rate}") from None


def _root_key(root_key: PrivateKey | str | None, settings: WalletSettings) -> PrivateKey:
    if isinstance(root_key, PrivateKey):
        return root_key
    text = root_key or (settings.root_key.get_secret_value() if settings.root_key else None)
    if text is None:
        raise ConfigurationError(
            "a wallet needs its root key: set SDK_WALLET_ROOT_KEY_FILE to a file with 64 hex digits"
        )
    return PrivateKey.from_hex(text.strip())


async def _database(
    stack: AsyncExitStack, database: str | Database | None, settings: WalletSettings, *, migrate: bool | None
) -> Database:
    if isinstance(database, Database):
        opened = database
    else:
        opened = await Database.open(
            settings.database, schema=settings.database_schema, timeout=settings.database_timeout
        )
        stack.push_async_callback(opened.close)
    if migrate or (migrate is None and opened.dialect == "sqlite"):
        await upgrade(opened, [MIGRATIONS])
    return opened


def _backend(database: Database, services: WalletServices | None, clock: Clock) -> WalletBackend:
    assert services is not None
    return WalletBackend(database, services, clock=clock)


def _services(stack: AsyncExitStack, settings: WalletSettings) -> WalletServices | None:
    built = build_services(settings)
    if built is not None:
        stack.push_async_callback(built.close)
    return built
