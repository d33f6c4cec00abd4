"""The whole payment system while its processes are killed; and whether every satoshi and row is right afterwards."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select

from sdk.core.errors import ServiceError
from sdk.core.merkle_path import MerklePath
from sdk.core.transaction import OutPoint
from sdk.devnet.devnet import Devnet
from sdk.devnet.journal import Journal
from sdk.devnet.server import DevnetServer, DevnetUrls
from sdk.service.database import Database, Prepared
from sdk.service.http_client import HttpClient
from sdk.service.migrations import upgrade
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.monitoring import WalletBackend
from sdk.wallet.script.templates import brc29
from sdk.wallet.services.composition import build_services
from sdk.wallet.settings import WalletSettings
from sdk.wallet.setup import open_wallet
from sdk.wallet.storage.migrations import MIGRATIONS
from sdk.wallet.storage.tables import outputs, proven_tx_reqs, proven_txs, transactions
from support.chaos_payer import PREFIX, remittance
from support.commands import SDK, clean_environment, closed_port
from support.programs import Program, all_gone
from support.requirements import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sdk.service.database import Row
    from sdk.wallet.wallet import Wallet

    Say = Callable[[str], None]

FAUCET, GIFT, GIFTS = PrivateKey.from_int(9), 1_000_000, 20
CALM = 120.0
SETTLING = tuple(range(20, 200, 20))
"""Minutes after the end at which the background work is done again, until nothing is left to do."""

_TRANSACTIONS = Prepared(
    select(transactions.c.txid, transactions.c.status, transactions.c.provenTxId, transactions.c.isOutgoing)
)
_REQUESTS = Prepared(select(proven_tx_reqs.c.txid, proven_tx_reqs.c.status))
_PROOFS = Prepared(
    select(
        proven_txs.c.txid,
        proven_txs.c.height,
        proven_txs.c.blockHash,
        proven_txs.c.merkleRoot,
        proven_txs.c.merklePath,
    )
)
_OWN = Prepared(
    select(outputs.c.txid, outputs.c.vout, outputs.c.satoshis, outputs.c.spendable, outputs.c.spentBy)
    .join(transactions, transactions.c.transactionId == outputs.c.transactionId)
    .where(outputs.c.basketId.is_not(None), transactions.c.status == bindparam("status"))
)


@dataclass
class Owner:
    """One wallet: its key, its database, and the files between it and its peer."""

    name: str
    key: PrivateKey
    database: str
    schema: str | None
    folder: Path

    @property
    def identity(self) -> str:
        return self.key.public_key.to_hex()

    @property
    def asked(self) -> Path:
        return self.folder / f"{self.name}.asked"

    @property
    def inbox(self) -> Path:
        return self.folder / f"{self.name}.inbox"

    def environ(self, urls: DevnetUrls, headers: str | None = None) -> dict[str, str]:
        found = {**urls.wallet_settings(), "SDK_WALLET_DATABASE": self.database}
        if self.schema is not None:
            found["SDK_WALLET_DATABASE_SCHEMA"] = self.schema
        if headers is not None:
            found["SDK_WALLET_HEADERS_URL"] = headers
        return found

    async def rows(self, statement: Prepared, **given: Any) -> list[Row]:
        async with await Database.open(self.database, schema=self.schema) as database:
            return await database.read(lambda unit: unit.rows(statement, **given))


@dataclass
class Tally:
    """What a run came to."""

    kills: dict[str, int] = field(default_factory=dict)
    reorgs: int = 0
    asked: int = 0
    mined: int = 0
    late: int = 0
    held: int = 0
    fees: int = 0
    balances: dict[str, int] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        killed = ", ".join(f"{name} {count}" for name, count in self.kills.items())
        balances = " + ".join(f"{count:,}" for count in self.balances.values())
        return (
            f"killed {sum(self.kills.values())} times ({killed}), {self.reorgs} reorganisations; "
            f"of {self.asked} payments begun {self.mined} are mined, {self.late} of them delivered late and "
            f"{self.held} held till then; {balances} + {self.fees:,} fees of {2 * GIFTS * GIFT:,} satoshis; "
            f"transactions {self.statuses}"
        )


class Chaos:
    """``owners`` are two wallets on empty databases. ``between`` is the mean number of seconds from kill to kill."""

    def __init__(self, folder: Path, owners: Sequence[Owner], say: Say, *, between: float, pace: float) -> None:
        self._folder, self._owners, self._say = folder, owners, say
        self._between, self._pace = between, pace
        self._choose = random.Random()
        self._urls = DevnetUrls.of(f"http://127.0.0.1:{closed_port()}")
        self._headers = f"http://127.0.0.1:{closed_port()}"
        self.tally = Tally()
        self._programs = list(self._described())

    async def run(self, seconds: float, payments: int = 0) -> Tally:
        """At least so long, and until ``payments`` were begun. Raises ``AssertionError`` or ``ProgramEnded``."""
        async with all_gone(self._programs):
            await self._set_up()
            await self._rage(seconds, payments)
            await self._calm_down()
        await self._settle_and_check()
        self.tally.kills = {each.name: each.kills for each in self._programs}
        return self.tally

    def _described(self) -> Iterator[Program]:
        yield self._program("devnet", "devnet", "serve", "--port", self._port(self._urls.base), "--mine-every", "1",
                            "--directory", str(self._folder / "devnet"))  # fmt: skip
        yield self._program("headers", "chaintracks", "serve", "--network", "mock", "--port", self._port(self._headers),
                            "--source", self._urls.whatsonchain, "--interval", "0.3",
                            "--database", f"sqlite:///{self._folder}/headers.sqlite")  # fmt: skip
        for owner, peer in (self._owners, self._owners[::-1]):
            environ = {
                **owner.environ(self._urls, self._headers),
                "SDK_MONITOR_INTERVALS": '{"new-header": 0.5, "send-waiting": 0.5, "check-for-proofs": 1}',
                "SDK_MONITOR_POLL": "0.3",
                "SDK_MONITOR_SEND_MIN_AGE": "0.5",
                "SDK_MONITOR_ABANDONED_AFTER": "60",
                "SDK_MONITOR_LEASE": "10",
                "SDK_MONITOR_TIME_LIMIT": "30",
            }
            for number in (1, 2):
                yield self._program(f"{owner.name}-monitor-{number}", "monitor", "run", "--port", "0", **environ)
            given = {
                "key": owner.key.to_hex(),
                "peer": peer.identity,
                "asked": str(owner.asked),
                "inbox": str(owner.inbox),
                "outbox": str(peer.inbox),
                "pace": self._pace,
            }
            yield Program(
                f"{owner.name}-wallet",
                [sys.executable, "-m", "support.chaos_payer", json.dumps(given)],
                clean_environment(**environ),
                self._folder / f"{owner.name}-wallet.log",
                ROOT / "tests",
            )

    def _program(self, name: str, *arguments: str, **environ: str) -> Program:
        return Program(name, [str(SDK), *arguments], clean_environment(**environ), self._folder / f"{name}.log")

    @staticmethod
    def _port(url: str) -> str:
        return url.rsplit(":", 1)[1]

    # the run

    async def _set_up(self) -> None:
        await self._programs[0].start()
        await self._programs[1].start()
        async with HttpClient(self._urls.base, service="devnet") as http:
            await _until("the devnet answers", lambda: http.get_json("/status"))
            async with HttpClient(self._headers, service="headers") as headers:
                await _until("the header service answers", lambda: headers.get_json("/getPresentHeight"))
            for owner in self._owners:
                owner.inbox.mkdir()
                owner.asked.touch()
                async with await Database.open(owner.database, schema=owner.schema) as database:
                    await upgrade(database, [MIGRATIONS])
                settings = WalletSettings.load(environ=owner.environ(self._urls))
                async with open_wallet(root_key=owner.key, settings=settings, background="none") as wallet:
                    for number in range(GIFTS):
                        await _gift(http, wallet, number)
        for each in self._programs[2:]:
            await each.start()

    async def _rage(self, seconds: float, payments: int) -> None:
        loop = asyncio.get_running_loop()
        ends, told, next_reorg = loop.time() + seconds, loop.time(), loop.time() + 5
        async with HttpClient(self._urls.base, service="devnet") as http:
            while loop.time() < ends or self._asked() < payments:
                await asyncio.sleep(self._choose.expovariate(1 / self._between))
                for each in self._programs:
                    each.check()
                victim = self._choose.choice(self._programs)
                await victim.kill()
                await asyncio.sleep(self._choose.uniform(0, 2))
                await victim.start()
                if loop.time() > next_reorg:
                    next_reorg = loop.time() + self._choose.uniform(2, 12)
                    await self._reorganise(http)
                if loop.time() > told + 30:
                    told = loop.time()
                    self._say(
                        f"{sum(each.kills for each in self._programs)} kills, {self.tally.reorgs} reorganisations"
                    )

    def _asked(self) -> int:
        """Payments begun, if both began as few as the lazier one."""
        return 2 * min(len(each.asked.read_text().split()) for each in self._owners)

    async def _reorganise(self, http: HttpClient) -> None:
        body = {"depth": self._choose.randint(1, 3), "remine": self._choose.random() < 0.5}
        try:
            await http.post_json("/reorg", body)
        except ServiceError:  # just killed
            return
        self.tally.reorgs += 1

    async def _calm_down(self) -> None:
        """Wallets stop; the header service and the devnet come to agree; everything stops as it should."""
        payers = [each for each in self._programs if each.name.endswith("-wallet")]
        for each in payers:
            await each.stop()
        async with (
            HttpClient(self._urls.base, service="devnet") as devnet,
            HttpClient(self._headers, service="headers") as headers,
        ):

            async def agree() -> bool:
                theirs = (await headers.get_json("/findChainTipHashHex"))["value"]
                return bool(theirs == (await devnet.get_json("/status"))["tip"])

            await _until("the header service has the devnet's tip", agree)
        for each in reversed(self._programs):
            if each not in payers:
                await each.stop()

    # afterwards, in this process, with a clock that runs ahead

    async def _settle_and_check(self) -> None:
        devnet = Devnet(journal=Journal(self._folder / "devnet"))
        try:
            async with DevnetServer(devnet) as server:
                await self._settle(server)
                await self._send_held(server)
                await self._deliver(server)
                await self._settle(server)
                await self._check(server)
        finally:
            devnet.close()

    async def _settle(self, server: DevnetServer) -> None:
        for owner in self._owners:
            for minutes in SETTLING:
                await _background(owner, server, timedelta(minutes=minutes))
                if not await self._open_requests(owner):
                    break
            left = await self._open_requests(owner)
            assert left == [], f"{owner.name} still has {[tuple(each) for each in left[:5]]} of {len(left)} requests"

    async def _open_requests(self, owner: Owner) -> list[Row]:
        rows = await owner.rows(_REQUESTS)
        return [each for each in rows if each.status not in ("completed", "invalid", "doubleSpend", "nosend")]

    async def _send_held(self, server: DevnetServer) -> None:
        """What a payer held back and then died over; it is mined before it is looked for."""
        for owner in self._owners:
            held = [each.txid for each in await owner.rows(_TRANSACTIONS) if each.status == "nosend"]
            if held:
                self.tally.held += len(held)
                options = {"sendWith": held, "acceptDelayedBroadcast": False}
                settings = WalletSettings.load(environ=owner.environ(server.urls))
                async with open_wallet(root_key=owner.key, settings=settings, background="none") as wallet:
                    await wallet.create_action({"description": "send what was held", "options": options})
        server.devnet.mine()

    async def _deliver(self, server: DevnetServer) -> None:
        """Hand every payment that is mined to a payee who has not got it: its payer died before, or it did."""
        mined = _by_script(server.devnet)
        for payer, payee in (self._owners, self._owners[::-1]):
            asked = payer.asked.read_text().split()
            has = {(each.txid, each.vout) for each in await payee.rows(_OWN, status="completed")}
            settings = WalletSettings.load(environ=payee.environ(server.urls))
            async with open_wallet(root_key=payee.key, settings=settings, background="none") as wallet:
                for suffix in asked:
                    where = mined.get(brc29.lock(KeyDeriver(payer.key), payee.identity, PREFIX, suffix).to_bytes())
                    if where is None:
                        continue
                    self.tally.mined += 1
                    if (where.txid, where.vout) in has:
                        continue
                    self.tally.late += 1
                    letter = {"vout": where.vout, "suffix": suffix, "sender": payer.identity}
                    tx = server.devnet.beef(where.txid).to_atomic(where.txid)
                    await wallet.internalize_action(
                        {"tx": tx, "description": "delivered late", "outputs": [remittance(letter)]}
                    )
            self.tally.asked += len(asked)

    async def _check(self, server: DevnetServer) -> None:
        outgoing: set[str] = set()
        for owner in self._owners:
            outgoing |= await _check_rows(owner, server.devnet, self.tally.statuses)
            settings = WalletSettings.load(environ=owner.environ(server.urls))
            async with open_wallet(root_key=owner.key, settings=settings, background="none") as wallet:
                self.tally.balances[owner.name] = await wallet.balance()
            own = [each for each in await owner.rows(_OWN, status="completed") if each.spendable]
            assert self.tally.balances[owner.name] == sum(each.satoshis for each in own)
        self.tally.fees = sum(_fee(server.devnet, txid) for txid in outgoing)
        found = sum(self.tally.balances.values()) + self.tally.fees
        assert found == 2 * GIFTS * GIFT, f"satoshis were made or lost: {found - 2 * GIFTS * GIFT} ({self.tally})"


async def _background(owner: Owner, server: DevnetServer, later: timedelta) -> None:
    settings = WalletSettings.load(environ=owner.environ(server.urls))
    services = build_services(settings)
    assert services is not None
    async with AsyncExitStack() as stack:
        stack.push_async_callback(services.close)
        database = await stack.enter_async_context(await Database.open(owner.database, schema=owner.schema))
        backend = WalletBackend(database, services, clock=lambda: datetime.now(UTC) + later)
        while (await backend.send_waiting(min_age=timedelta(0), limit=200)).more:
            continue
        server.devnet.mine()
        tip = await backend.tip()
        while (await backend.follow_tip(tip)).more:
            continue
        while (await backend.check_for_proofs(up_to_height=tip.height, limit=200)).more:
            continue
        while (await backend.fail_abandoned(older_than=timedelta(minutes=5), limit=200)).more:
            continue


async def _check_rows(owner: Owner, devnet: Devnet, statuses: dict[str, int]) -> set[str]:
    """Each row against the chain. The txids of what it made that is mined."""
    chain, outgoing = devnet.chain, set()
    for txid, status, proof, is_outgoing in await owner.rows(_TRANSACTIONS):
        statuses[status] = statuses.get(status, 0) + 1
        on_chain = txid is not None and devnet.merkle_path(txid) is not None
        assert status in ("completed", "failed"), f"{owner.name}: {txid} is {status}"
        assert (status == "completed") == (proof is not None) == on_chain, f"{txid} is {status}; mined: {on_chain}"
        if on_chain and is_outgoing:
            outgoing.add(txid)
    for txid, height, block, root, path in await owner.rows(_PROOFS):
        header = devnet.header_at(height)
        assert (header.hash(), header.merkle_root) == (block, root), (
            f"{owner.name}: the proof of {txid} is of another chain"
        )
        assert MerklePath.from_bytes(path).compute_root(txid) == root
    for txid, vout, _, spendable, spent_by in await owner.rows(_OWN, status="completed"):
        spender = chain.spender(OutPoint(txid, vout))
        assert bool(spendable) == (spender is None), (
            f"{owner.name}: {txid}.{vout} is spent by {spender}, row {spent_by}"
        )
    return outgoing


def _by_script(devnet: Devnet) -> Mapping[bytes, OutPoint]:
    """Where each locking script stands in the best chain."""
    found = {}
    for height in range(1, devnet.height + 1):
        for transaction in devnet.chain.node_at(height).block.transactions:
            for vout, each in enumerate(transaction.outputs):
                found[each.locking_script.to_bytes()] = OutPoint(transaction.txid(), vout)
    return found


def _fee(devnet: Devnet, txid: str) -> int:
    known = devnet.chain.transactions
    transaction = known[txid]
    given = sum(known[each.outpoint.txid].outputs[each.outpoint.vout].satoshis for each in transaction.inputs)
    return given - transaction.output_satoshis()


async def _gift(http: HttpClient, wallet: Wallet, number: int) -> None:
    suffix = f"c3Vm{number:04}"
    lock = brc29.lock(KeyDeriver(FAUCET), wallet.identity_key, PREFIX, suffix)
    paid = await http.post_json("/faucet", {"lockingScript": lock.to_hex(), "satoshis": GIFT, "mine": True})
    letter = {"vout": paid["outputIndex"], "suffix": suffix, "sender": FAUCET.public_key.to_hex()}
    await wallet.internalize_action(
        {"tx": bytes.fromhex(paid["tx"]), "description": "a gift", "outputs": [remittance(letter)]}
    )


async def _until(what: str, true: Callable[[], Any]) -> None:
    """Other processes tell of nothing: they are asked again."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + CALM
    while True:
        try:
            if await true():
                return
        except ServiceError as error:
            if loop.time() > ends:
                raise AssertionError(f"not in {CALM:.0f} s: {what} ({error})") from error
        assert loop.time() < ends, f"not in {CALM:.0f} s: {what}"
        await asyncio.sleep(0.1)
