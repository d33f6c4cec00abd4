"""A wallet with every kind of action, trouble and crash at once: no satoshi is lost, made or freed without evidence.

The bytes of the transactions are the witness: what the rows call spent is what live transactions spend.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test
from sqlalchemy import select

from sdk.core.errors import InsufficientFunds, InvalidOperation, InvalidParameter, ReviewActions, ServiceUnavailable
from sdk.core.merkle_path import MerklePath
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.service import failpoints
from sdk.service.database import Database, Prepared
from sdk.service.migrations import upgrade
from sdk.wallet.actions.coins import OwnCoins
from sdk.wallet.keys import KeyDeriver, PrivateKey
from sdk.wallet.lifecycle import predicates
from sdk.wallet.monitoring import WalletBackend
from sdk.wallet.script.templates import brc29
from sdk.wallet.storage.migrations import MIGRATIONS
from sdk.wallet.storage.provider import StorageProvider
from sdk.wallet.storage.review import find_faults
from sdk.wallet.storage.tables import outputs, proven_tx_reqs, proven_txs, transactions
from sdk.wallet.wallet import Wallet
from support.fake_network import FakeNetwork
from support.storage_rig import STORAGE, Clock, _insert_mined

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Sequence

    from sdk.core.beef import Beef
    from sdk.core.storage import AuthId
    from sdk.service.database import Row, Unit
    from sdk.wallet.services.ports import PostResult

EXAMPLES = int(os.environ.get("SDK_MONEY_EXAMPLES", "20"))
STEPS = int(os.environ.get("SDK_MONEY_STEPS", "30"))
PREFIX = "cHJlZml4"
LIVE = {
    status.value
    for status in predicates.TRANSACTIONS_HELD | predicates.TRANSACTIONS_IN_FLIGHT | predicates.TRANSACTIONS_FINAL_MINED
}
KINDS: list[dict[str, bool]] = [
    {"acceptDelayedBroadcast": True},
    {"acceptDelayedBroadcast": False},
    {"noSend": True},
    {"signAndProcess": False},
]
PAYEE = "76a914" + "ab" * 20 + "88ac"

_CHANGE = Prepared(
    select(
        outputs.c.userId,
        outputs.c.txid,
        outputs.c.vout,
        outputs.c.satoshis,
        outputs.c.spendable,
        outputs.c.spentBy,
        transactions.c.status,
    )
    .join(transactions, transactions.c.transactionId == outputs.c.transactionId)
    .where(outputs.c.change, outputs.c.txid.is_not(None))
)
_TRANSACTIONS = Prepared(
    select(
        transactions.c.transactionId,
        transactions.c.userId,
        transactions.c.txid,
        transactions.c.status,
        transactions.c.isOutgoing,
        proven_tx_reqs.c.rawTx,
        proven_txs.c.rawTx.label("provenTx"),
    )
    .outerjoin(proven_tx_reqs, proven_tx_reqs.c.txid == transactions.c.txid)
    .outerjoin(proven_txs, proven_txs.c.txid == transactions.c.txid)
)


def _look(unit: Unit) -> tuple[list[Row], dict[int, Row], list[Any]]:
    return (
        unit.rows(_CHANGE),
        {row.transactionId: row for row in unit.rows(_TRANSACTIONS)},
        find_faults(unit),
    )


class Wire(FakeNetwork):
    """Each post is a place to die at; a process that has died posts nothing more."""

    cut = False

    async def post_beef(self, beef: Beef, txids: Sequence[str]) -> list[PostResult]:
        failpoints.reach("http.before network POST")
        if self.cut:
            raise ServiceUnavailable("network", "its client is dead")
        answers = await super().post_beef(beef, txids)
        failpoints.reach("http.after network POST")
        return answers


class Death:
    """What ``kill -9`` at the ``step``-th fail point leaves: the files as they are then, and an answer nobody reads.

    The process lives on in truth; whatever it does to the old files is forgotten, and ``Wire`` lets it send nothing.
    """

    def __init__(self, step: int, folder: Path, network: Wire) -> None:
        self._step, self._folder, self._network = step, folder, network
        self.left = folder.with_name(f"{int(folder.name) + 1}")

    def reach(self, _name: str) -> None:
        """Called where the only writer stands still."""
        self._step -= 1
        if self._step == 0:
            shutil.copytree(self._folder, self.left, ignore=shutil.ignore_patterns("*-shm"))
            self._network.cut = True


class Money(RuleBasedStateMachine):
    migrated: Path
    unsigned = Bundle("unsigned")
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.entropy = random.Random(24).randbytes  # the same each time, or hypothesis could repeat nothing
        self.home = TemporaryDirectory()
        self.folder = Path(self.home.name) / "0"
        shutil.copytree(self.migrated, self.folder)
        self.spent_before: dict[tuple[int, str], str] = {}
        self.given_up: set[str] = set()
        self.rivals: set[str] = set()
        self.funded = 0
        self.run(self._open())

    def run(self, work: Awaitable[Any]) -> Any:
        return self.runner.run(work)  # type: ignore[arg-type]

    async def _open(self) -> None:
        self.network, self.clock = Wire(), Clock()
        await self._start()
        await self._fund(0, [20_000] * 4)

    async def _start(self) -> None:
        self.database = await Database.open(f"sqlite:///{self.folder}/test.db")
        self.backend = WalletBackend(self.database, self.network, clock=self.clock, owner="machine")
        self.storage = StorageProvider(
            self.database,
            STORAGE,
            clock=self.clock,
            entropy=self.entropy,
            services=self.network,
            broadcaster=self.backend.broadcaster,
        )
        self.roots = [PrivateKey.from_int(7), PrivateKey.from_int(11)]
        options: dict[str, Any] = {"chain": "mock", "services": self.network, "sends_delayed": True}
        self.wallets = [await Wallet.open(root, self.storage, **options) for root in self.roots]

    def teardown(self) -> None:
        try:
            self.run(self._settle())
            self.check()
            self.run(self._agrees_with_the_chain())
        finally:
            self.run(self.database.close())
            self.runner.close()
            self.home.cleanup()

    # money comes in

    async def _auth(self, who: int) -> AuthId:
        from sdk.core.storage import AuthId

        found = await self.storage.find_or_insert_user(self.wallets[who].identity_key)
        return AuthId(identity_key=found.user.identity_key, user_id=found.user.user_id)

    async def _fund(self, who: int, amounts: list[int]) -> None:
        self.funded += 1
        coins = OwnCoins(KeyDeriver(self.roots[who]))
        made = [
            TransactionOutput(amount, coins.key(PREFIX, f"c3VmZml4{vout}").locking_script)
            for vout, amount in enumerate(amounts)
        ]
        transaction = Transaction(1, [TransactionInput(OutPoint(f"{self.funded:064x}", 0), Script(b"\x51"))], made, 0)
        self.network.accept(transaction)
        self.network.mine([transaction.txid()])
        for _ in range(3):  # deep enough that no reorganisation of the test reaches it
            self.network.mine([])
        height = self.network.block_of(transaction.txid())
        assert height is not None
        path = MerklePath.from_block(height, self.network.chain[height][1], [transaction.txid()])
        user = (await self._auth(who)).user_id or 0
        block = self.network.chain[path.block_height][0].hash()
        await self.database.write(_insert_mined, user, transaction, path, self.clock(), self.funded, block)

    @rule(who=st.sampled_from([0, 1]), amounts=st.lists(st.integers(50, 30_000), min_size=1, max_size=4))
    def fund(self, who: int, amounts: list[int]) -> None:
        self.run(self._fund(who, amounts))

    # actions

    def attempt(self, work: Awaitable[Any]) -> Any:
        """What a caller may be told without harm."""
        try:
            return self.run(work)
        except (InsufficientFunds, InvalidOperation, InvalidParameter, ReviewActions, ServiceUnavailable):
            return None

    def _pay(self, who: int, satoshis: int, **options: Any) -> Any:
        output = {"satoshis": satoshis, "lockingScript": PAYEE, "outputDescription": "a payment"}
        args = {"description": "a payment", "outputs": [output], "options": options}
        return self.attempt(self.wallets[who].create_action(args))

    @rule(who=st.sampled_from([0, 1]), satoshis=st.integers(1, 25_000), delayed=st.booleans())
    def pay(self, who: int, satoshis: int, delayed: bool) -> None:
        self._pay(who, satoshis, acceptDelayedBroadcast=delayed)

    @rule(target=held, who=st.sampled_from([0, 1]), satoshis=st.integers(1, 25_000))
    def hold(self, who: int, satoshis: int) -> Any:
        result = self._pay(who, satoshis, noSend=True)
        return multiple() if result is None else (who, result.txid)

    @rule(action=held)
    def send_held(self, action: tuple[int, str]) -> None:
        who, txid = action
        args = {"description": "send what is held", "options": {"sendWith": [txid]}}
        self.attempt(self.wallets[who].create_action(args))

    @rule(target=unsigned, who=st.sampled_from([0, 1]), satoshis=st.integers(1, 25_000))
    def begin(self, who: int, satoshis: int) -> Any:
        result = self._pay(who, satoshis, signAndProcess=False)
        return multiple() if result is None else (who, result.signable_transaction.reference)

    @rule(action=unsigned, delayed=st.booleans())
    def sign(self, action: tuple[int, str], delayed: bool) -> None:
        who, reference = action
        options = {"acceptDelayedBroadcast": delayed}
        self.attempt(self.wallets[who].sign_action({"spends": {}, "reference": reference, "options": options}))

    @rule(action=st.one_of(unsigned, held))
    def abort(self, action: tuple[int, str]) -> None:
        who, reference = action
        if self.attempt(self.wallets[who].abort_action({"reference": reference})) is not None:
            self.given_up.add(reference)

    @rule(satoshis=st.integers(1, 20_000), delayed=st.booleans(), number=st.integers(0, 10**6))
    def pay_the_other(self, satoshis: int, delayed: bool, number: int) -> None:
        """A BRC-29 payment from the first user to the second, who takes it in."""
        suffix = f"c3Vm{number:08d}"
        lock = brc29.lock(KeyDeriver(self.roots[0]), self.wallets[1].identity_key, PREFIX, suffix)
        output = {"satoshis": satoshis, "lockingScript": lock.to_hex(), "outputDescription": "for the other"}
        options = {"acceptDelayedBroadcast": delayed, "randomizeOutputs": False}
        args = {"description": "for the other", "outputs": [output], "options": options}
        result = self.attempt(self.wallets[0].create_action(args))
        if result is None:
            return
        remittance = {
            "derivationPrefix": PREFIX,
            "derivationSuffix": suffix,
            "senderIdentityKey": self.wallets[0].identity_key,
        }
        taken = {"outputIndex": 0, "protocol": "wallet payment", "paymentRemittance": remittance}
        receipt = {"tx": result.tx, "description": "from the other", "outputs": [taken]}
        self.attempt(self.wallets[1].internalize_action(receipt))

    # the process dies

    @contextmanager
    def killed(self, step: int) -> Iterator[None]:
        """What is done within ends at its ``step``-th fail point, if it has so many; another process goes on."""
        death = Death(step, self.folder, self.network)
        with mock.patch.multiple(failpoints, reach=death.reach, active=True):
            yield
        if self.network.cut:
            self.network.cut = False
            self.run(self.database.close())
            self.folder = death.left
            self.run(self._start())

    @rule(
        step=st.integers(1, 10),
        who=st.sampled_from([0, 1]),
        satoshis=st.integers(1, 25_000),
        kind=st.sampled_from(KINDS),
    )
    def die_paying(self, step: int, who: int, satoshis: int, kind: dict[str, bool]) -> None:
        with self.killed(step):
            self._pay(who, satoshis, **kind)

    @rule(step=st.integers(1, 8), action=unsigned, delayed=st.booleans())
    def die_signing(self, step: int, action: tuple[int, str], delayed: bool) -> None:
        with self.killed(step):
            self.sign(action, delayed)

    @rule(step=st.integers(1, 6), action=held)
    def die_sending_what_is_held(self, step: int, action: tuple[int, str]) -> None:
        with self.killed(step):
            self.send_held(action)

    @rule(step=st.integers(1, 14), satoshis=st.integers(1, 20_000), delayed=st.booleans(), number=st.integers(0, 10**6))
    def die_paying_the_other(self, step: int, satoshis: int, delayed: bool, number: int) -> None:
        with self.killed(step):
            self.pay_the_other(satoshis, delayed, number)

    @rule(step=st.integers(1, 20), minutes=st.integers(1, 20))
    def die_in_the_background(self, step: int, minutes: int) -> None:
        with self.killed(step):
            self.work_in_the_background(minutes)

    # the world goes on

    @rule(what=st.sampled_from(["post", "statuses", "utxos", "proofs"]), down=st.booleans())
    def trouble(self, what: str, down: bool) -> None:
        (self.network.down.add if down else self.network.down.discard)(what)

    @rule(minutes=st.integers(1, 20))
    def work_in_the_background(self, minutes: int) -> None:
        self.clock.advance(minutes=minutes)
        self.run(self._work())

    async def _work(self) -> None:
        await self.backend.follow_tip(await self.backend.tip())
        await self.backend.send_waiting(min_age=timedelta(0), limit=50)
        await self.backend.check_for_proofs(up_to_height=self.network.height, limit=50)
        await self.backend.fail_abandoned(older_than=timedelta(minutes=5), limit=50)

    @rule(index=st.integers(0, 50))
    def rival(self, index: int) -> None:
        """The same keys elsewhere spend one of our coins, which we do not know of."""
        change, _, _ = self.run(self.database.read(_look))
        coins = [OutPoint(coin.txid, coin.vout) for coin in change if coin.txid in self.network.known]
        free = [each for each in coins if self.network.spender_of(each) is None]
        if free:
            spent = TransactionInput(free[index % len(free)], Script(b"\x51"))
            theirs = Transaction(2, [spent], [TransactionOutput(1, Script(b"\x51"))], index)
            self.rivals.add(theirs.txid())
            self.network.accept(theirs)

    @rule()
    def mine(self) -> None:
        self.network.mine()

    @rule()
    def reorg(self) -> None:
        if self.network.height > 4:
            self.network.reorg(2)
            for _ in range(3):
                self.network.mine([])

    # what holds

    @invariant()
    def check(self) -> None:
        change, found, faults = self.run(self.database.read(_look))
        assert faults == []
        live = {key: row for key, row in found.items() if row.status in LIVE}
        by_bytes: dict[tuple[int, str], str] = {}
        for row in live.values():
            if not row.isOutgoing:
                continue
            raw = row.rawTx if row.rawTx is not None else row.provenTx
            for each in Transaction.from_bytes(raw).inputs:
                place = (row.userId, str(each.outpoint))
                assert by_bytes.setdefault(place, row.txid) == row.txid, "one coin, two live transactions"
        spent: dict[tuple[int, str], str] = {}
        for coin in change:
            place = (coin.userId, f"{coin.txid}.{coin.vout}")
            spender = found.get(coin.spentBy)
            if spender is not None and spender.status in LIVE:
                spent[place] = spender.txid
            assert (place in spent) == (place in by_bytes), "rows and bytes disagree about what is spent"
            if coin.spendable and place in self.spent_before:
                self._freed_on_evidence(place, self.spent_before[place], found)
        self.spent_before = spent

    def _freed_on_evidence(self, place: tuple[int, str], spender: str, found: dict[int, Row]) -> None:
        assert all(row.status not in LIVE for row in found.values() if row.txid == spender and row.userId == place[0])
        references = {spender}
        outpoint = OutPoint.from_string(place[1])
        assert references & self.given_up or self.network.spender_of(outpoint) is None, "freed without evidence"

    # the end

    async def _settle(self) -> None:
        """All services answer, blocks come, and the background works until nothing is left to do."""
        self.network.down.clear()
        for _ in range(6):
            self.clock.advance(hours=1)
            await self._work()
            self.network.mine()
        self.clock.advance(hours=1)
        await self._work()

    async def _agrees_with_the_chain(self) -> None:
        change, found, _ = await self.database.read(_look)
        for row in found.values():
            assert row.status in ("completed", "failed", "nosend"), row
            if row.status == "completed":
                assert self.network.block_of(row.txid) is not None
        for coin in change:
            outpoint = OutPoint(coin.txid, coin.vout)
            spender = found.get(coin.spentBy)
            if coin.status != "completed":
                continue
            rivalled = self.network.spender_of(outpoint) is not None
            if coin.spendable:
                continue  # nobody has asked after it; if a rival has it, the next action finds out
            if spender is not None and spender.status == "completed":
                assert self.network.spender_of(outpoint) == spender.txid
            else:
                assert rivalled or (spender is not None and spender.status == "nosend"), "a coin that is lost"
        for who in (0, 1):
            auth = await self._auth(who)
            mine = sum(coin.satoshis for coin in change if coin.userId == auth.user_id and coin.spendable)
            failed = sum(
                coin.satoshis
                for coin in change
                if coin.userId == auth.user_id and coin.spendable and coin.status == "failed"
            )
            assert await self.storage.balance(auth) == mine - failed


def test_no_satoshi_is_lost_or_made(tmp_path: Path) -> None:
    Money.migrated = tmp_path
    asyncio.run(_migrate(f"sqlite:///{tmp_path}/test.db"))
    run_state_machine_as_test(
        Money,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_r24_an_action_that_is_not_signed_yet_fails_with_what_it_was_to_spend(tmp_path: Path) -> None:
    """Found by the machine: a payment is begun on change whose parent then loses to a rival."""
    Money.migrated = tmp_path
    asyncio.run(_migrate(f"sqlite:///{tmp_path}/test.db"))
    state = Money()
    try:
        state.die_paying_the_other(delayed=True, number=0, satoshis=14241, step=10)
        state.die_paying_the_other(delayed=False, number=0, satoshis=1, step=1)
        state.rival(index=23)
        state.rival(index=0)
        begun = state.begin(satoshis=1, who=1)
        for _ in range(3):
            state.mine()
        state.sign(action=begun, delayed=True)
        state.die_paying(kind={"signAndProcess": False}, satoshis=1, step=10, who=1)
        state.work_in_the_background(minutes=1)
        state.check()
    finally:
        state.teardown()


async def _migrate(url: str) -> None:
    async with await Database.open(url) as database:
        await upgrade(database, [MIGRATIONS])
