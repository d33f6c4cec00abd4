"""What a header service may tell of transactions: the plugin ``wallet`` of ``sdk.chaintracks.transactions``.

Proven transactions come from the wallet's storage; all others from its services, so that nothing is told of what the
wallet has not sent yet. Neither distribution imports the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import bindparam, select

from sdk.core.errors import ConfigurationError, NotImplementedByPeer, ServiceUnavailable
from sdk.service.database import Prepared
from sdk.wallet.services.composition import build_services
from sdk.wallet.services.ports import ProofState
from sdk.wallet.settings import WalletSettings
from sdk.wallet.storage.opening import open_current
from sdk.wallet.storage.tables import proven_txs, raw

if TYPE_CHECKING:
    from sdk.service.database import Database, Row, Unit
    from sdk.wallet.services.ports import WalletServices

_PROVEN = Prepared(
    select(raw(proven_txs.c.rawTx), raw(proven_txs.c.merklePath)).where(proven_txs.c.txid == bindparam("wanted"))
)


class WalletTransactions:
    """Both questions raise ``ServiceUnavailable`` when nobody can tell, and ``NotImplementedByPeer`` of what storage
    does not know where the wallet has no services."""

    def __init__(self, database: Database, services: WalletServices | None) -> None:
        self._database, self._services = database, services

    @classmethod
    async def open(cls, chain: str, settings: WalletSettings | None = None) -> Self:
        """Over the database and services that the settings (else the environment, ``SDK_WALLET_*``) name.

        Raises ``ConfigurationError``, ``StorageUnavailable``, ``NotMigrated`` or ``SchemaTooNew``.
        """
        settings = settings or WalletSettings.load()
        if settings.chain != chain:
            raise ConfigurationError(f"the wallet's chain is {settings.chain}, not {chain}: set SDK_WALLET_CHAIN")
        services = build_services(settings)
        try:
            database = await open_current(settings)
        except BaseException:
            if services is not None:
                await services.close()
            raise
        return cls(database, services)

    async def raw_transaction(self, txid: str) -> bytes | None:
        row = await self._database.read(_proven, txid)
        return await self._required().get_raw_tx(txid) if row is None else bytes(row.rawTx)

    async def merkle_path(self, txid: str) -> bytes | None:
        """The BUMP (BRC-74)."""
        row = await self._database.read(_proven, txid)
        if row is not None:
            return bytes(row.merklePath)
        found = await self._required().get_merkle_path(txid)
        if found.state is ProofState.UNAVAILABLE:
            raise ServiceUnavailable("proofs", found.detail)
        return None if found.path is None else found.path.to_bytes()

    def _required(self) -> WalletServices:
        if self._services is None:
            raise NotImplementedByPeer("the wallet has no services to ask: set SDK_WALLET_ARC_URL or another")
        return self._services

    async def close(self) -> None:
        closing: Any = getattr(self._services, "close", None)
        if closing is not None:
            await closing()
        await self._database.close()


def _proven(unit: Unit, txid: str) -> Row | None:
    return unit.first(_PROVEN, wanted=txid)
