"""A wallet that really signs, over real SQLite and a network in memory."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sdk.core.chain import ChainParameters
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.service.database import Database
from sdk.service.migrations import upgrade
from sdk.wallet.actions.coins import OwnCoins
from sdk.wallet.broadcasting.broadcaster import Broadcaster
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.script import spv
from sdk.wallet.storage.migrations import MIGRATIONS
from sdk.wallet.storage.provider import StorageProvider
from sdk.wallet.storage.users import StorageIdentity
from sdk.wallet.wallet import Wallet
from support.fake_network import FakeNetwork
from support.storage_rig import _insert_mined

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sdk.core.beef import Beef

PAYEE = "76a914" + "ab" * 20 + "88ac"


def now() -> datetime:
    return datetime.now(UTC)


def pay(satoshis: int, script: str = PAYEE, **more: Any) -> dict[str, Any]:
    return {"satoshis": satoshis, "lockingScript": script, "outputDescription": "a payment", **more}


@dataclass
class WalletRig:
    database: Database
    network: FakeNetwork
    storage: StorageProvider
    wallet: Any
    root: PrivateKey
    coins: OwnCoins
    funded: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    async def open(
        cls,
        path: Path | None,
        *,
        network: FakeNetwork | None = None,
        root: PrivateKey | None = None,
        database: Database | None = None,
        chain: str = "mock",
        **options: Any,
    ) -> WalletRig:
        network, root = network or FakeNetwork(), root or PrivateKey.from_int(7)
        if database is None:
            assert path is not None
            database = await Database.open(f"sqlite:///{path / 'wallet.sqlite'}")
            await upgrade(database, [MIGRATIONS])
        storage = StorageProvider(
            database,
            StorageIdentity("02" + "5e" * 32, "test storage", chain),
            clock=now,
            entropy=os.urandom,
            services=network,
            broadcaster=Broadcaster(database, network, clock=now, owner="rig"),
        )
        wallet = await Wallet.open(root, storage, chain=chain, services=network, **{"sends_delayed": True, **options})
        return cls(database, network, storage, wallet, root, OwnCoins(KeyDeriver(root)), options=options)

    async def reopened(self) -> WalletRig:
        """The same storage, seen by a process that remembers nothing."""
        return await WalletRig.open(
            None,
            network=self.network,
            root=self.root,
            database=self.database,
            **self.options,
        )

    async def close(self) -> None:
        await self.database.close()

    async def fund(self, *amounts: int) -> str:
        """Mined change of the wallet's own; the txid."""
        self.funded += 1
        outputs = [
            TransactionOutput(amount, self.coins.key("cHJlZml4", f"c3VmZml4{vout}").locking_script)
            for vout, amount in enumerate(amounts)
        ]
        source = TransactionInput(OutPoint(os.urandom(32).hex(), 0), Script(b"\x51"))
        transaction = Transaction(1, [source], outputs, 0)
        path = await self.mined(transaction)
        user = await self.storage.find_or_insert_user(self.wallet.identity_key)
        await self.database.write(_insert_mined, user.user.user_id, transaction, path, now(), self.funded)
        return transaction.txid()

    async def mined(self, transaction: Transaction) -> Any:
        """Its path, once it is in a block of its own."""
        txid = transaction.txid()
        self.network.accept(transaction)
        self.network.mine([txid])
        path = (await self.network.get_merkle_path(txid)).path
        assert path is not None
        return path

    async def pay(self, *amounts: int, **options: Any) -> Any:
        return await self.wallet.create_action(
            {"description": "a test action", "outputs": [pay(each) for each in amounts], "options": options}
        )

    async def check(self, beef: Beef, txid: str) -> None:
        await spv.verify(beef, txid, self.network, fee_rate=1, chain=ChainParameters.named("mock"))


def amounts_of(count: int, satoshis: int = 10_000) -> Sequence[int]:
    return [satoshis] * count
