"""Any order of signing, sending, lying, mining, reorganising, aborting and waiting leaves the money where it is.

After each step: no ``completed`` without its proof (R1), no way back from it unless the block left the chain (R3), a
reason at every end (R9), nothing spendable that a living transaction spends (R25), nothing freed that the network says
is spent (R28). At the end, with every service well again, what is sent is proven and what failed holds nothing.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from sdk.core.errors import InvalidOperation, ServiceUnavailable
from sdk.core.transaction import OutPoint, Transaction
from sdk.service.database import Database, Prepared
from sdk.wallet.lifecycle import evidence as by
from sdk.wallet.monitoring import WalletBackend
from sdk.wallet.services.ports import Classification
from sdk.wallet.storage.requests import abort_request, request_send
from sdk.wallet.storage.spends import release_unsigned_inputs
from sdk.wallet.storage.tables import outputs, proven_tx_reqs, proven_txs, transactions
from support.fake_network import FakeNetwork, answer
from support.wallet_rows import Rows, TestClock

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from support.wallet_rows import Coin

LIVING = ("unprocessed", "sending", "unproven", "completed", "nosend")
_REQUESTS = Prepared(select(proven_tx_reqs.c.txid, proven_tx_reqs.c.status))
_PROOFS = Prepared(select(proven_txs.c.txid, proven_txs.c.height, proven_txs.c.blockHash))
_OUTPUTS = Prepared(
    select(
        outputs.c.outputId,
        outputs.c.txid,
        outputs.c.vout,
        outputs.c.spendable,
        outputs.c.spentBy,
        transactions.c.status,
    ).join(transactions, transactions.c.transactionId == outputs.c.transactionId)
)
_ROWS = Prepared(
    select(transactions.c.transactionId, transactions.c.txid, transactions.c.status, proven_tx_reqs.c.rawTx).join(
        proven_tx_reqs, proven_tx_reqs.c.txid == transactions.c.txid
    )
)


@dataclass(frozen=True)
class Tip:
    height: int
    hash: str


@dataclass
class Seen:
    """The rows as they were after the last step."""

    requests: dict[str, str]
    spendable: set[tuple[str, int]]


class Lives(RuleBasedStateMachine):
    template: Path | None = None

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="lives"))
        self.network, self.clock = FakeNetwork(), TestClock()
        self.signed: list[Transaction] = []
        self.coins: list[Coin] = []
        self.released: set[tuple[str, int]] = set()
        self.rows = self.run(self._open())
        self.backend = WalletBackend(self.rows.database, self.network, clock=self.clock)
        self.seen = Seen({}, set())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    async def _open(self) -> Rows:
        path = self.folder / "wallet.db"
        if Lives.template is None:
            Lives.template = Path(tempfile.mkdtemp(prefix="lives")) / "template.db"
            rows = await Rows.open(f"sqlite:///{Lives.template}", self.network, self.clock)
            await rows.database.close()
        shutil.copy(Lives.template, path)
        return Rows(await Database.open(f"sqlite:///{path}"), self.network, self.clock)

    def teardown(self) -> None:
        try:
            self.run(self._settle_down())
        finally:
            self.run(self.rows.database.close())
            self.runner.close()
            shutil.rmtree(self.folder)

    @initialize()
    def begin(self) -> None:
        self.alice, self.bob = self.run(self.rows.user("alice")), self.run(self.rows.user("bob"))
        self.coins = [self.run(self.rows.coin(self.alice)) for _ in range(3)]

    # what the owner does

    def _free(self) -> list[Coin]:
        return [coin for coin in self.coins if self.run(self.rows.coin_state(coin))[0]]

    @rule()
    def receive_a_coin(self) -> None:
        down, self.network.down = self.network.down, set()
        self.coins.append(self.run(self.rows.coin(self.alice)))
        self.network.down = down

    @rule(data=st.data(), kind=st.sampled_from(["delayed", "immediate", "held"]), shared=st.booleans())
    def sign(self, data: st.DataObject, kind: str, shared: bool) -> None:
        free = self._free()
        if not free:
            return
        chosen = data.draw(st.lists(st.sampled_from(free), min_size=1, max_size=2, unique_by=lambda c: c.output_id))
        transaction, change = self.run(
            self.rows.sign(self.alice, chosen, no_send=kind == "held", delayed=kind == "delayed", amounts=(600, 300))
        )
        self.signed.append(transaction)
        self.coins.append(change[0])
        if shared:
            self.run(self.rows.receive(self.bob, transaction, 1))

    @precondition(lambda self: self.signed)
    @rule(data=st.data())
    def send_now(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.signed))
        self.run(self.backend.broadcaster.send([chosen.txid()]))

    @precondition(lambda self: self.signed)
    @rule(data=st.data())
    def send_what_was_held(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.signed))
        failed = self.run(self.rows.request(chosen.txid())).status in ("invalid", "doubleSpend")
        with pytest.raises(InvalidOperation, match="has failed") if failed else nullcontext():
            self.run(self.rows.database.write(request_send, [chosen.txid()], now=self.clock(), batch=None))

    @precondition(lambda self: self.signed)
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(self.signed))
        txid = chosen.txid()
        if txid in self.network.mempool or self.network.block_of(txid) is not None:
            return  # storage asks the network first (R45)
        try:
            self.run(self.rows.database.write(self._abort, txid))
        except InvalidOperation:
            return
        self.released |= {(each.outpoint.txid, each.outpoint.vout) for each in chosen.inputs}

    def _abort(self, unit: Any, txid: str) -> None:
        abort_request(unit, txid, by.UserAbort(checked=True), now=self.clock())
        for row in unit.rows(_ROWS):
            if row.txid == txid:
                release_unsigned_inputs(unit, row.transactionId, now=self.clock())

    # what the network does

    @rule(kind=st.sampled_from(Classification), count=st.integers(1, 2))
    def lie(self, kind: Classification, count: int) -> None:
        rivals = tuple(self.network.mempool)[:2]

        def script(_beef: Any, txids: Sequence[str]) -> list[Any]:
            return [answer(txid, kind, competing_txids=rivals) for txid in txids]

        self.network.scripted.extend([script] * count)

    @rule(trouble=st.sampled_from([TimeoutError(), ConnectionResetError("gone"), ValueError("a bug")]))
    def break_a_post(self, trouble: Exception) -> None:
        self.network.scripted.append(trouble)

    @rule(service=st.sampled_from(["post", "statuses", "utxos", "proofs", "headers", "raw"]))
    def outage(self, service: str) -> None:
        self.network.down ^= {service}

    @rule()
    def mine(self) -> None:
        self.network.mine()

    @rule(depth=st.integers(1, 3), returns=st.booleans())
    def reorganise(self, depth: int, returns: bool) -> None:
        depth = min(depth, self.network.height - 1)
        if depth < 1:
            return
        self.network.reorg(depth)
        for _ in range(depth):
            self.network.mine([])
        self.network.mine(None if returns else [])

    @precondition(lambda self: self.coins)
    @rule(data=st.data())
    def somebody_spends_our_coin(self, data: st.DataObject) -> None:
        """A copy of the wallet elsewhere, say."""
        coin = data.draw(st.sampled_from(self.coins))
        if coin.outpoint.txid in self.network.known and self.network.spender_of(coin.outpoint) is None:
            self.network.accept(self.rows.build([coin], (10,)))

    @rule(data=st.data())
    def evict(self, data: st.DataObject) -> None:
        """The mempool forgets something of ours, with everything built on it."""
        ours = [each.txid() for each in self.signed if each.txid() in self.network.mempool]
        if not ours:
            return
        gone = [data.draw(st.sampled_from(ours))]
        for txid in gone:
            gone += [
                child
                for child, transaction in self.network.mempool.items()
                if any(each.outpoint.txid == txid for each in transaction.inputs)
            ]
            self.network.forget(txid)

    # what the monitor does

    @rule(minutes=st.sampled_from([0.2, 1, 12, 60]))
    def wait(self, minutes: float) -> None:
        self.clock.tick(minutes=minutes)

    @rule()
    def send_waiting(self) -> None:
        self.run(self.backend.send_waiting(min_age=timedelta(seconds=5), limit=20))

    @rule()
    def check_for_proofs(self) -> None:
        self.run(self.backend.check_for_proofs(up_to_height=self.network.height, limit=20))

    @rule()
    def follow_tip(self) -> None:
        tip = Tip(self.network.height, self.network.chain[-1][0].hash())
        with pytest.raises(ServiceUnavailable) if self._must_ask_headers() else nullcontext():
            self.run(self.backend.follow_tip(tip))

    def _must_ask_headers(self) -> bool:
        return "headers" in self.network.down

    @rule()
    def fail_abandoned(self) -> None:
        self.run(self.backend.fail_abandoned(older_than=timedelta(minutes=5), limit=20))

    # what must hold

    @invariant()
    def the_rows_are_sound(self) -> None:
        self.run(self._check())

    async def _check(self) -> None:
        assert await self.rows.broken_invariants() == []
        read = self.rows.database.read
        requests = {row.txid: row.status for row in await read(lambda unit: unit.rows(_REQUESTS))}
        proofs = {row.txid: row for row in await read(lambda unit: unit.rows(_PROOFS))}
        for txid, was in self.seen.requests.items():
            if was == "completed" and requests[txid] != "completed":
                assert self.network.block_of(txid) is None or await self._was_replaced(txid), "R3"
        spent = await self._spent_by_the_living()
        rows = await read(lambda unit: unit.rows(_OUTPUTS))
        spendable = {(row.txid, row.vout) for row in rows if row.spendable}
        assert not spendable & spent, "R25: spendable, and spent by a living transaction"
        for place in (spendable - self.seen.spendable - self.released) & self._ever_reserved():
            spender = self.network.spender_of(OutPoint(*place))
            assert spender is None, f"R28: {place} was freed, and {spender} spends it"
        for row in proofs.values():
            assert row.txid not in requests or requests[row.txid] == "completed"
        self.seen = Seen(requests, spendable)

    async def _was_replaced(self, txid: str) -> bool:
        """It stood in a block that is gone, and has been mined again since."""
        notes = await self.rows.notes(txid)
        return any(note["what"] == "reorg" for note in notes)

    async def _spent_by_the_living(self) -> set[tuple[str, int]]:
        rows = await self.rows.database.read(lambda unit: unit.rows(_ROWS))
        return {
            (each.outpoint.txid, each.outpoint.vout)
            for row in rows
            if row.status in LIVING
            for each in Transaction.from_bytes(row.rawTx).inputs
        }

    def _ever_reserved(self) -> set[tuple[str, int]]:
        return {(each.outpoint.txid, each.outpoint.vout) for signed in self.signed for each in signed.inputs}

    async def _settle_down(self) -> None:
        """With every service well again, everything comes to an end that agrees with the chain."""
        self.network.down.clear()
        self.network.scripted.clear()
        for _ in range(12):
            self.clock.tick(hours=1)
            await self.backend.send_waiting(min_age=timedelta(0), limit=100)
            self.network.mine()
            self.network.mine([])
            await self.backend.follow_tip(Tip(self.network.height, self.network.chain[-1][0].hash()))
            await self.backend.check_for_proofs(up_to_height=self.network.height, limit=100)
            await self.backend.fail_abandoned(older_than=timedelta(minutes=5), limit=100)
        await self._check()
        for transaction in self.signed:
            request, users = await self.rows.statuses(transaction.txid())
            mined = self.network.block_of(transaction.txid()) is not None
            why = [(note["what"], note.get("status_now")) for note in await self.rows.notes(transaction.txid())]
            assert (request == "completed") == mined or request == "nosend", (request, mined, why)
            assert request in ("completed", "invalid", "doubleSpend", "nosend"), (
                request,
                why,
                await self.rows.notes(transaction.txid()),
            )
            assert set(users) <= {{"completed": "completed", "nosend": "nosend"}.get(request, "failed"), *users[1:]}


Lives.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestLives = Lives.TestCase
