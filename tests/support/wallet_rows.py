"""Rows as createAction and processAction leave them, without keys: enough to watch what becomes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, insert, select, update

from sdk.core.merkle_path import MerklePath
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.service.database import Database, Prepared
from sdk.service.migrations import upgrade
from sdk.wallet.broadcasting.verification import check_path
from sdk.wallet.lifecycle import TransactionStatus, next_transaction_status, signed_evidence
from sdk.wallet.storage.ancestry import parents_of, store_parents
from sdk.wallet.storage.migrations import MIGRATIONS
from sdk.wallet.storage.proofs import record_proof
from sdk.wallet.storage.request_notes import notes_of
from sdk.wallet.storage.requests import find_request, open_request
from sdk.wallet.storage.tables import outputs, proven_tx_reqs, proven_txs, transactions, users

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.service.database import Row, Unit
    from sdk.wallet.services.ports import WalletServices
    from support.fake_network import FakeNetwork

START = datetime(2026, 1, 1, tzinfo=UTC)
OPEN = Script(b"\x52")
"""OP_2: anybody can spend it, with nothing in the input."""
LOCK = Script(bytes.fromhex("76a914" + "11" * 20 + "88ac"))


class TestClock:
    """A clock that stands until it is moved."""

    __test__ = False

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def tick(self, **duration: float) -> None:
        self.now += timedelta(**duration)


@dataclass(frozen=True, slots=True)
class Coin:
    """An output of a user's transaction."""

    user_id: int
    outpoint: OutPoint
    output_id: int


class WalletRows(ABC):
    """A migrated database, and what a wallet would have put there."""

    def __init__(self, database: Database, services: WalletServices, clock: TestClock) -> None:
        self.database, self.services, self.clock = database, services, clock
        self._serial = 0

    @abstractmethod
    def mint(self, satoshis: int) -> tuple[Transaction, MerklePath]:
        """A mined transaction whose first output anybody can spend, and its proof."""

    def serial(self) -> int:
        self._serial += 1
        return self._serial

    async def user(self, name: str = "alice") -> int:
        return await self.database.write(_user, name, self.clock())

    async def coin(self, user_id: int, satoshis: int = 1000) -> Coin:
        """A mined and proven output."""
        raw, path = self.mint(satoshis)
        txid = raw.txid()
        checked = await check_path(self.services, txid, raw.to_bytes(), path)
        assert checked.proof is not None

        def store(unit: Unit) -> int:
            row = _transaction(unit, user_id, f"coin{txid[:20]}", txid, "unproven", False, self.clock())
            output = _output(unit, user_id, row, txid, 0, satoshis, True, self.clock())
            assert checked.proof is not None
            record_proof(unit, checked.proof, now=self.clock())
            return output

        return Coin(user_id, OutPoint(txid, 0), await self.database.write(store))

    async def begin(self, user_id: int, coins: Sequence[Coin]) -> int:
        """An unsigned action that has reserved ``coins``."""

        def store(unit: Unit) -> int:
            row = _transaction(unit, user_id, f"ref{self.serial()}", None, "unsigned", True, self.clock())
            for coin in coins:
                assert unit.run(_RESERVE, output=coin.output_id, spender=row) == 1, "the coin is taken"
            return row

        return await self.database.write(store)

    def build(self, coins: Sequence[Coin], amounts: Sequence[int] = (900,)) -> Transaction:
        serial = self.serial()
        return Transaction(
            1,
            [TransactionInput(coin.outpoint, Script(), 0xFFFFFFFE) for coin in coins],
            [TransactionOutput(amount, OPEN) for amount in amounts],
            serial,
        )

    async def sign(
        self,
        user_id: int,
        coins: Sequence[Coin],
        *,
        no_send: bool = False,
        delayed: bool = True,
        amounts: Sequence[int] = (900,),
        batch: str | None = None,
    ) -> tuple[Transaction, list[Coin]]:
        """A signed action and its change, as processAction leaves them."""
        row = await self.begin(user_id, coins)
        raw = self.build(coins, amounts)
        txid = raw.txid()
        evidence = signed_evidence(no_send=no_send, delayed=delayed)

        def store(unit: Unit) -> list[Coin]:
            status = next_transaction_status(TransactionStatus.UNSIGNED, evidence).value
            unit.run(_SIGNED, id=row, hash=txid, to=status)
            made = [
                Coin(
                    user_id,
                    OutPoint(txid, vout),
                    _output(unit, user_id, row, txid, vout, amount, True, self.clock()),
                )
                for vout, amount in enumerate(amounts)
            ]
            open_request(
                unit,
                txid=txid,
                raw_tx=raw.to_bytes(),
                signed=evidence,
                now=self.clock(),
                transaction_ids=[row],
                batch=batch,
            )
            store_parents(unit, txid, parents_of(raw))
            return made

        return raw, await self.database.write(store)

    async def receive(self, user_id: int, transaction: Transaction, vout: int = 0) -> Coin:
        """The same transaction, received by another user of this storage."""
        txid = transaction.txid()

        def store(unit: Unit) -> Coin:
            row = _transaction(unit, user_id, f"in{self.serial()}{txid[:20]}", txid, "sending", False, self.clock())
            amount = transaction.outputs[vout].satoshis
            return Coin(
                user_id, OutPoint(txid, vout), _output(unit, user_id, row, txid, vout, amount, True, self.clock())
            )

        return await self.database.write(store)

    # looking

    async def request(self, txid: str) -> Row:
        row = await self.database.read(find_request, txid)
        assert row is not None, f"no request for {txid}"
        return row

    async def notes(self, txid: str) -> list[dict[str, Any]]:
        return notes_of((await self.request(txid)).history)

    async def statuses(self, txid: str) -> tuple[str, list[str]]:
        """Of the request, and of every user's row in order."""
        rows = await self.database.read(lambda unit: unit.rows(_STATUSES, hash=txid))
        return (await self.request(txid)).status, [row.status for row in rows]

    async def coin_state(self, coin: Coin) -> tuple[bool, int | None]:
        """``(spendable, spentBy)``"""
        row = await self.database.read(lambda unit: unit.first(_COIN, output=coin.output_id))
        assert row is not None
        return bool(row.spendable), row.spentBy

    async def count(self, table: Any) -> int:
        statement = Prepared(select(func.count()).select_from(table))
        return int(await self.database.read(lambda unit: unit.scalar(statement)))

    async def broken_invariants(self) -> list[str]:
        """R1, R9 and R28 as questions to the rows."""
        return await self.database.read(_broken_invariants)


class Rows(WalletRows):
    """Beside the network in memory."""

    def __init__(self, database: Database, network: FakeNetwork, clock: TestClock) -> None:
        super().__init__(database, network, clock)
        self.network = network

    @classmethod
    async def open(cls, url: str, network: FakeNetwork, clock: TestClock, **options: Any) -> Rows:
        database = await Database.open(url, **options)
        await upgrade(database, [MIGRATIONS])
        return cls(database, network, clock)

    def mint(self, satoshis: int) -> tuple[Transaction, MerklePath]:
        source = TransactionInput(OutPoint(f"{self.serial():064x}", 0), Script())
        raw = Transaction(1, [source], [TransactionOutput(satoshis, OPEN)], 0)
        self.network.accept(raw)
        self.network.mine([raw.txid()])
        return raw, MerklePath.from_block(self.network.height, self.network.chain[-1][1], [raw.txid()])


_INSERT_USER = Prepared(insert(users))
_INSERT_TRANSACTION = Prepared(insert(transactions))
_INSERT_OUTPUT = Prepared(insert(outputs))
_RESERVE = Prepared(
    update(outputs)
    .where(outputs.c.outputId == bindparam("output"), outputs.c.spendable.is_(True))
    .values(spendable=False, spentBy=bindparam("spender"))
)
_SIGNED = Prepared(
    update(transactions)
    .where(transactions.c.transactionId == bindparam("id"))
    .values(txid=bindparam("hash"), status=bindparam("to"))
)
_STATUSES = Prepared(
    select(transactions.c.status).where(transactions.c.txid == bindparam("hash")).order_by(transactions.c.transactionId)
)
_COIN = Prepared(select(outputs.c.spendable, outputs.c.spentBy).where(outputs.c.outputId == bindparam("output")))
_COMPLETED = Prepared(
    select(
        transactions.c.transactionId,
        transactions.c.status,
        transactions.c.provenTxId,
        proven_txs.c.provenTxId.label("proof"),
    ).outerjoin(proven_txs, proven_txs.c.txid == transactions.c.txid)
)
_REQUESTS = Prepared(
    select(proven_tx_reqs.c.txid, proven_tx_reqs.c.status, proven_tx_reqs.c.provenTxId, proven_tx_reqs.c.history)
)
_HELD = Prepared(
    select(outputs.c.outputId, outputs.c.spendable, outputs.c.spentBy, transactions.c.status).join(
        transactions, outputs.c.spentBy == transactions.c.transactionId
    )
)


def _user(unit: Unit, name: str, now: datetime) -> int:
    return unit.insert(
        _INSERT_USER,
        created_at=now,
        updated_at=now,
        identityKey="02" + name.encode().hex().ljust(64, "0"),
        activeStorage="",
    )


def _transaction(
    unit: Unit, user_id: int, reference: str, txid: str | None, status: str, outgoing: bool, now: datetime
) -> int:
    return unit.insert(
        _INSERT_TRANSACTION,
        created_at=now,
        updated_at=now,
        userId=user_id,
        provenTxId=None,
        status=status,
        reference=reference,
        isOutgoing=outgoing,
        satoshis=0,
        description="a test",
        txid=txid,
    )


def _output(
    unit: Unit, user_id: int, row: int, txid: str, vout: int, satoshis: int, spendable: bool, now: datetime
) -> int:
    return unit.insert(
        _INSERT_OUTPUT,
        created_at=now,
        updated_at=now,
        userId=user_id,
        transactionId=row,
        spendable=spendable,
        change=True,
        vout=vout,
        satoshis=satoshis,
        providedBy="storage",
        purpose="change",
        type="P2PKH",
        txid=txid,
        lockingScript=OPEN.to_bytes(),
    )


def _broken_invariants(unit: Unit) -> list[str]:
    broken = []
    for row in unit.rows(_COMPLETED):
        if (row.status == "completed") != (row.provenTxId is not None):
            broken.append(f"R1: transaction {row.transactionId} is {row.status} with proof {row.provenTxId}")
    for row in unit.rows(_REQUESTS):
        if (row.status == "completed") != (row.provenTxId is not None):
            broken.append(f"R1: request {row.txid} is {row.status} with proof {row.provenTxId}")
        if row.status in ("invalid", "doubleSpend"):
            last = [note for note in notes_of(row.history) if note.get("status_now") == row.status]
            if not last or len(last[-1]) <= 4:
                broken.append(f"R9: request {row.txid} is {row.status} and nobody says why")
    for row in unit.rows(_HELD):
        if row.spendable:
            broken.append(f"R28: output {row.outputId} is spendable and spent by {row.spentBy}")
    return broken
