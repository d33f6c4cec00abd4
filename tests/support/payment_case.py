"""A wallet with one coin that pays a stranger while things are killed, and whether rows and chain agree then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from sdk.service.database import Database, Prepared
from sdk.wallet import open_wallet
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.script.templates import brc29
from sdk.wallet.settings import WalletSettings
from sdk.wallet.storage.tables import proven_tx_reqs, transactions

if TYPE_CHECKING:
    from sdk.devnet.server import DevnetServer
    from sdk.service.database import Row
    from sdk.service.http_client import HttpClient
    from sdk.wallet.wallet import Wallet
    from support.forking import Forking

ALICE, FAUCET = PrivateKey.from_int(7), PrivateKey.from_int(9)
FUNDING, PAYMENT = 1_000_000, 250_000
STRANGER = "76a914" + "22" * 20 + "88ac"

TRANSACTIONS = Prepared(select(transactions.c.txid, transactions.c.status, transactions.c.provenTxId))
_REQUESTS = Prepared(select(proven_tx_reqs.c.status))


@dataclass
class Case:
    """A wallet of its own, with a coin of its own, on the devnet that all share."""

    server: DevnetServer
    database: str
    funding: str = ""

    @property
    def environ(self) -> dict[str, str]:
        return {**self.server.urls.wallet_settings(), "SDK_WALLET_DATABASE": self.database}

    async def pay(self, runner: Forking, plan: str | None = None) -> int:
        key = ALICE.to_hex()
        return await runner.run(job="pay", environ=self.environ, key=key, script=STRANGER, satoshis=PAYMENT, plan=plan)

    async def recover(self, runner: Forking, minutes: float) -> None:
        base = self.server.urls.base
        assert await runner.run(job="recover", environ=self.environ, devnet=base, minutes=minutes) == 0

    def open(self, *, migrate: bool = False) -> Any:
        settings = WalletSettings.load(environ=self.environ)
        return open_wallet(root_key=ALICE, settings=settings, background="none", migrate=migrate)

    async def check(self) -> int:
        """Rows against chain; how many of its transactions the chain has."""
        chain = self.server.devnet.chain
        async with self.open() as wallet:
            balance = await wallet.balance()
            listed = (await wallet.list_actions({"labels": [], "limit": 100})).actions
        assert {each.status for each in listed} == {"completed"}
        spent, mined = 0, 0
        for txid, status, proof in await self.rows(TRANSACTIONS):
            assert (status == "completed") == (proof is not None)
            assert status in ("completed", "failed")
            on_chain = txid is not None and self.server.devnet.merkle_path(txid) is not None
            assert (status == "completed") == on_chain, f"{txid} is {status}, and on the chain: {on_chain}"
            if on_chain and txid != self.funding:
                transaction = chain.transactions[txid]
                sources = [
                    chain.transactions[each.outpoint.txid].outputs[each.outpoint.vout] for each in transaction.inputs
                ]
                fee = sum(each.satoshis for each in sources) - transaction.output_satoshis()
                spent += fee + sum(o.satoshis for o in transaction.outputs if o.locking_script.to_hex() == STRANGER)
                mined += 1
        assert balance == FUNDING - spent, "no satoshi is lost or made"
        assert {row.status for row in await self.rows(_REQUESTS)} <= {"completed"}
        return mined

    async def rows(self, statement: Prepared) -> list[Row]:
        async with await Database.open(self.database) as database:
            return await database.read(lambda unit: unit.rows(statement))


async def fund(http: HttpClient, wallet: Wallet) -> str:
    txid, tx, outputs = await gift(http, wallet.identity_key, mine=True)
    await wallet.internalize_action({"tx": bytes.fromhex(tx), "description": "funding", "outputs": outputs})
    return txid


async def gift(http: HttpClient, identity_key: str, *, mine: bool) -> tuple[str, str, list[dict[str, Any]]]:
    """A payment of the faucet to ALICE: its txid, its AtomicBEEF in hex, and the outputs to take in."""
    lock = brc29.lock(KeyDeriver(FAUCET), identity_key, "cHJl", "c3Vm")
    paid = await http.post_json("/faucet", {"lockingScript": lock.to_hex(), "satoshis": FUNDING, "mine": mine})
    remittance = {
        "derivationPrefix": "cHJl",
        "derivationSuffix": "c3Vm",
        "senderIdentityKey": FAUCET.public_key.to_hex(),
    }
    outputs = [{"outputIndex": paid["outputIndex"], "protocol": "wallet payment", "paymentRemittance": remittance}]
    return str(paid["txid"]), str(paid["tx"]), outputs
