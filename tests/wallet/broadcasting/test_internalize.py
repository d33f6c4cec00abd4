"""internalizeAction in storage: nothing is believed, everything is recorded together (R2, R30, R41-R44, R48)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from sdk.core.beef import Beef
from sdk.core.errors import InvalidOperation, InvalidParameter, SdkError, ServiceUnavailable
from sdk.core.merkle_path import MerklePath
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.service.database import Prepared
from sdk.wallet.services.ports import Classification
from sdk.wallet.storage.internalize import InternalizeContext, internalize_action
from sdk.wallet.storage.list_outputs import balance_of
from sdk.wallet.storage.tables import metadata, output_baskets, outputs, proven_txs, transactions
from sdk.wallet.storage.users import StorageIdentity, initialize
from support.fake_network import answer
from support.wallet_rows import LOCK, Coin

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.core.storage import StorageInternalizeActionResult
    from sdk.wallet.broadcasting.broadcaster import Broadcaster
    from sdk.wallet.broadcasting.prover import Prover
    from support.fake_network import FakeNetwork
    from support.wallet_rows import Rows, TestClock

OPEN = Script(b"\x51")
SENDER = "02" + "aa" * 32
OUTPUTS = Prepared(
    select(
        outputs.c.userId,
        outputs.c.vout,
        outputs.c.satoshis,
        outputs.c.change,
        outputs.c.spendable,
        outputs.c.spentBy,
        outputs.c.type,
        outputs.c.derivationPrefix,
        outputs.c.derivationSuffix,
        outputs.c.senderIdentityKey,
        outputs.c.customInstructions,
        outputs.c.scriptOffset,
        outputs.c.scriptLength,
        outputs.c.txid,
        output_baskets.c.name.label("basket"),
    )
    .outerjoin(output_baskets, output_baskets.c.basketId == outputs.c.basketId)
    .order_by(outputs.c.outputId)
)
TRANSACTIONS = Prepared(
    select(transactions.c.userId, transactions.c.status, transactions.c.satoshis, transactions.c.txid).order_by(
        transactions.c.transactionId
    )
)


class Receiver:
    """A storage with a settings row, and payments to take in."""

    def __init__(self, rows: Rows, broadcaster: Broadcaster) -> None:
        self.rows, self.network = rows, rows.network
        self.context = InternalizeContext(
            database=rows.database,
            chain_tracker=rows.network,
            broadcaster=broadcaster,
            clock=rows.clock,
            entropy=os.urandom,
            header_for_height=rows.network.get_header_for_height,
        )

    def funding(self, satoshis: int = 10_000) -> Transaction:
        """A mined output that anybody can spend."""
        serial = self.rows.serial()
        made = Transaction(
            1,
            [TransactionInput(OutPoint(f"{serial:064x}", 0), OPEN)],
            [TransactionOutput(satoshis, OPEN)],
            serial,
        )
        self.network.accept(made)
        self.network.mine([made.txid()])
        return made

    def payment(self, source: Transaction, *amounts: int) -> Transaction:
        return Transaction(
            1,
            [TransactionInput(OutPoint(source.txid(), 0), Script(b""))],
            [TransactionOutput(amount, LOCK) for amount in amounts or (9_000,)],
            self.rows.serial(),
        )

    def path(self, txid: str) -> MerklePath:
        height = self.network.block_of(txid)
        assert height is not None
        return MerklePath.from_block(height, self.network.chain[height][1], [txid])

    def beef(self, *chain: Transaction, proven: bool = False) -> bytes:
        """AtomicBEEF of the last of ``chain``, whose first is mined; with ``proven`` the last one is too."""
        beef = Beef()
        beef.merge_path(self.path(chain[0].txid()))
        for each in chain:
            beef.merge_transaction(each)
        if proven:
            beef.merge_path(self.path(chain[-1].txid()))
            beef.merge_transaction(chain[-1])
        return beef.to_atomic(chain[-1].txid())

    async def receive(
        self, user: int, tx: bytes, *given: dict[str, Any], **more: Any
    ) -> StorageInternalizeActionResult:
        args = {"tx": list(tx), "outputs": list(given or (pay(0),)), "description": "a payment", **more}
        return await internalize_action(self.context, user, args)  # type: ignore[arg-type]

    async def outputs(self) -> list[Any]:
        return await self.rows.database.read(lambda unit: unit.rows(OUTPUTS))

    async def transactions(self) -> list[Any]:
        return await self.rows.database.read(lambda unit: unit.rows(TRANSACTIONS))

    async def balance(self, user: int) -> int:
        return await self.rows.database.read(balance_of, user, "default")

    async def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        tables = {name: Prepared(select(table)) for name, table in metadata.tables.items()}
        return await self.rows.database.read(
            lambda unit: {name: [tuple(row) for row in unit.rows(statement)] for name, statement in tables.items()}
        )


def pay(vout: int, prefix: str = "cHJl", suffix: str = "c3Vm") -> dict[str, Any]:
    remittance = {"derivationPrefix": prefix, "derivationSuffix": suffix, "senderIdentityKey": SENDER}
    return {"outputIndex": vout, "protocol": "wallet payment", "paymentRemittance": remittance}


def insert(vout: int, basket: str = "tokens", **more: Any) -> dict[str, Any]:
    return {"outputIndex": vout, "protocol": "basket insertion", "insertionRemittance": {"basket": basket, **more}}


@pytest.fixture
async def receiver(rows: Rows, broadcaster: Broadcaster) -> Receiver:
    await rows.database.write(initialize, StorageIdentity("02" + "5e" * 32, "test", "mock"), rows.clock())
    return Receiver(rows, broadcaster)


@pytest.fixture
async def alice(rows: Rows) -> int:
    return await rows.user("alice")


@pytest.fixture
async def bob(rows: Rows) -> int:
    return await rows.user("bob")


async def test_r43_an_unproven_payment_is_stored_and_posted_at_once(receiver: Receiver, alice: int) -> None:
    source = receiver.funding()
    payment = receiver.payment(source, 5_000, 4_000)
    result = await receiver.receive(alice, receiver.beef(source, payment), labels=["rent"])
    assert (result.is_merge, result.txid, result.satoshis) == (False, payment.txid(), 5_000)
    assert result.send_with_results is not None
    assert [each.status for each in result.send_with_results] == ["unproven"]
    assert receiver.network.posts == [(payment.txid(),)]
    assert await receiver.rows.statuses(payment.txid()) == ("unmined", ["unproven"])
    (row,) = await receiver.outputs()
    assert (row.basket, row.change, row.spendable, row.type) == ("default", True, True, "P2PKH")
    assert (row.derivationPrefix, row.derivationSuffix, row.senderIdentityKey) == ("cHJl", "c3Vm", SENDER)
    raw = payment.to_bytes()
    assert raw[row.scriptOffset : row.scriptOffset + row.scriptLength] == LOCK.to_bytes()
    assert await receiver.balance(alice) == 5_000


async def test_r1_a_proven_payment_is_completed_with_its_proof(receiver: Receiver, alice: int) -> None:
    source = receiver.funding()
    payment = receiver.payment(source)
    receiver.network.accept(payment)
    header = receiver.network.mine()
    result = await receiver.receive(alice, receiver.beef(source, payment, proven=True))
    assert result.send_with_results is None
    assert receiver.network.posts == []
    assert [row.status for row in await receiver.transactions()] == ["completed"]
    proofs = await receiver.rows.database.read(lambda unit: unit.rows(Prepared(select(proven_txs))))
    assert {(row.txid, row.blockHash, row.merkleRoot) for row in proofs} == {
        (payment.txid(), header.hash(), header.merkle_root)
    }
    assert await receiver.rows.broken_invariants() == []


async def test_r43_a_transient_failure_keeps_the_receipt_and_it_is_sent_later(
    receiver: Receiver, alice: int, broadcaster: Broadcaster, clock: TestClock
) -> None:
    from datetime import timedelta

    source = receiver.funding()
    payment = receiver.payment(source)
    receiver.network.down.add("post")
    result = await receiver.receive(alice, receiver.beef(source, payment))
    assert result.send_with_results is not None
    assert result.send_with_results[0].status == "sending"
    assert await receiver.rows.statuses(payment.txid()) == ("sending", ["sending"])
    receiver.network.down.clear()
    clock.tick(minutes=1)
    report = await broadcaster.send_waiting(min_age=timedelta(seconds=7), limit=10)
    assert dict(report.detail) == {"success": 1}
    assert await receiver.rows.statuses(payment.txid()) == ("unmined", ["unproven"])


async def test_r43_a_confirmed_refusal_ends_the_receipt(receiver: Receiver, alice: int) -> None:
    source = receiver.funding()
    receiver.network.accept(receiver.payment(source))
    payment = receiver.payment(source)
    result = await receiver.receive(alice, receiver.beef(source, payment))
    assert result.send_with_results is not None
    assert result.send_with_results[0].status == "failed"
    assert result.not_delayed_results is not None
    assert result.not_delayed_results[0].status == "doubleSpend"
    assert await receiver.rows.statuses(payment.txid()) == ("doubleSpend", ["failed"])
    assert await receiver.balance(alice) == 0
    with pytest.raises(InvalidOperation, match="refused before"):
        await receiver.receive(alice, receiver.beef(source, payment))


async def test_a_refused_receipt_that_is_mined_after_all_comes_back(receiver: Receiver, alice: int, rows: Rows) -> None:
    source = receiver.funding()
    payment = receiver.payment(source)
    receiver.network.scripted.append(lambda _beef, txids: [answer(txids[0], Classification.INVALID)])
    await receiver.receive(alice, receiver.beef(source, payment))
    assert await rows.statuses(payment.txid()) == ("invalid", ["failed"])
    receiver.network.accept(payment)
    receiver.network.mine()
    await receiver.receive(alice, receiver.beef(source, payment, proven=True))
    assert await rows.statuses(payment.txid()) == ("completed", ["completed"])
    assert await receiver.balance(alice) == 9_000
    assert await rows.broken_invariants() == []


async def test_basket_insertion(receiver: Receiver, alice: int) -> None:
    source = receiver.funding()
    payment = receiver.payment(source, 1, 8_000)
    given = insert(0, customInstructions="keep", tags=["gold", "round"])
    result = await receiver.receive(alice, receiver.beef(source, payment), given, pay(1))
    assert result.satoshis == 8_000
    token, coin = await receiver.outputs()
    assert (token.basket, token.change, token.type, token.customInstructions) == ("tokens", False, "custom", "keep")
    assert token.derivationPrefix is None
    assert coin.basket == "default"
    assert await receiver.balance(alice) == 8_000


async def test_r42_a_second_receipt_never_replaces_a_derivation(receiver: Receiver, alice: int) -> None:
    source = receiver.funding()
    tx = receiver.beef(source, receiver.payment(source))
    await receiver.receive(alice, tx)
    again = await receiver.receive(alice, tx, pay(0, "b3RoZXI=", "b3RoZXI="))
    assert (again.is_merge, again.satoshis) == (True, 0)
    (row,) = await receiver.outputs()
    assert (row.derivationPrefix, row.derivationSuffix) == ("cHJl", "c3Vm")
    assert await receiver.balance(alice) == 9_000


async def test_a_coin_that_moves_to_a_basket_keeps_its_derivation_and_back_it_counts_no_more(
    receiver: Receiver, alice: int
) -> None:
    source = receiver.funding()
    tx = receiver.beef(source, receiver.payment(source))
    await receiver.receive(alice, tx)
    moved = await receiver.receive(alice, tx, insert(0))
    assert (moved.is_merge, moved.satoshis) == (True, -9_000)
    (row,) = await receiver.outputs()
    assert (row.basket, row.change, row.derivationPrefix) == ("tokens", False, "cHJl")
    assert await receiver.balance(alice) == 0
    assert [each.satoshis for each in await receiver.transactions()] == [0]


async def test_an_inserted_output_that_turns_out_to_be_a_payment_counts(receiver: Receiver, alice: int) -> None:
    source = receiver.funding()
    tx = receiver.beef(source, receiver.payment(source))
    await receiver.receive(alice, tx, insert(0))
    result = await receiver.receive(alice, tx, pay(0))
    assert (result.is_merge, result.satoshis) == (True, 9_000)
    assert await receiver.balance(alice) == 9_000


async def test_a_merge_that_brings_the_proof_completes_every_user(
    receiver: Receiver, alice: int, bob: int, rows: Rows
) -> None:
    source = receiver.funding()
    payment = receiver.payment(source, 5_000, 4_000)
    tx = receiver.beef(source, payment)
    await receiver.receive(alice, tx, pay(0))
    await receiver.receive(bob, tx, pay(1))
    assert receiver.network.posts == [(payment.txid(),)]
    assert await rows.statuses(payment.txid()) == ("unmined", ["unproven", "unproven"])
    receiver.network.mine()
    await receiver.receive(bob, receiver.beef(source, payment, proven=True), pay(1))
    assert await rows.statuses(payment.txid()) == ("completed", ["completed", "completed"])
    assert (await receiver.balance(alice), await receiver.balance(bob)) == (5_000, 4_000)


async def test_what_is_proven_here_already_needs_no_proof_again(
    receiver: Receiver, alice: int, bob: int, rows: Rows
) -> None:
    source = receiver.funding()
    payment = receiver.payment(source, 5_000, 4_000)
    receiver.network.accept(payment)
    receiver.network.mine()
    await receiver.receive(alice, receiver.beef(source, payment, proven=True), pay(0))
    await receiver.receive(bob, receiver.beef(source, payment), pay(1))
    assert receiver.network.posts == []
    assert [row.status for row in await receiver.transactions()] == ["completed", "completed"]
    assert await rows.broken_invariants() == []


async def test_r44_a_held_transaction_received_by_another_user_is_released(
    receiver: Receiver, alice: int, bob: int, rows: Rows
) -> None:
    from sdk.wallet.lifecycle import evidence as by
    from sdk.wallet.storage.requests import open_request

    source = receiver.funding()
    payment = receiver.payment(source)
    await rows.receive(alice, payment)

    await rows.database.write(
        lambda unit: open_request(
            unit,
            txid=payment.txid(),
            raw_tx=payment.to_bytes(),
            signed=by.SignedToHold(),
            now=rows.clock(),
            transaction_ids=[1],
        )
    )
    result = await receiver.receive(bob, receiver.beef(source, payment))
    assert result.send_with_results is not None
    assert result.send_with_results[0].status == "unproven"
    assert await rows.statuses(payment.txid()) == ("unmined", ["unproven", "unproven"])


async def test_r30_what_a_received_transaction_spends_is_spent_for_every_user(
    receiver: Receiver, alice: int, bob: int, rows: Rows
) -> None:
    source = receiver.funding()
    shared = Transaction(
        1, [TransactionInput(OutPoint(source.txid(), 0), Script(b""))], [TransactionOutput(9_500, OPEN)], 77
    )
    carol = await rows.user("carol")
    tx = receiver.beef(source, shared)
    for user in (alice, bob):
        await receiver.receive(user, tx, insert(0))
    spender = receiver.payment(shared)
    await receiver.receive(alice, receiver.beef(source, shared, spender))
    held = [row for row in await receiver.outputs() if row.txid == shared.txid()]
    assert [(row.userId, row.spendable) for row in held] == [(alice, False), (bob, False)]
    assert held[0].spentBy is not None
    assert carol not in {row.userId for row in await receiver.outputs()}


async def test_a_chain_of_unproven_ancestors_is_kept_and_can_be_spent(
    receiver: Receiver, alice: int, rows: Rows, broadcaster: Broadcaster
) -> None:
    source = receiver.funding()
    middle = Transaction(
        1, [TransactionInput(OutPoint(source.txid(), 0), Script(b""))], [TransactionOutput(9_500, OPEN)], 5
    )
    payment = receiver.payment(middle)
    receiver.network.accept(middle)
    await receiver.receive(alice, receiver.beef(source, middle, payment))
    (row,) = await receiver.outputs()
    onward, _ = await rows.sign(alice, [Coin(alice, OutPoint(row.txid, 0), 1)], amounts=(100,))
    (outcome,) = await broadcaster.send([onward.txid()])
    assert outcome.result == "success"
    assert set(receiver.network.beefs[-1].txids()) == {each.txid() for each in (source, middle, payment, onward)}


def _edited(tx: bytes, change: Callable[[Beef], Beef]) -> bytes:
    beef = Beef.from_bytes(tx)
    subject = beef.atomic_txid
    assert subject is not None
    return change(beef).to_atomic(subject)


async def _forgeries(receiver: Receiver) -> dict[str, tuple[bytes, str]]:
    source = receiver.funding()
    payment = receiver.payment(source)
    good = receiver.beef(source, payment)
    other = receiver.funding()
    overspending = receiver.payment(source, 10_001)
    locked = Transaction(
        1, [TransactionInput(OutPoint(source.txid(), 0), Script(b""))], [TransactionOutput(9_900, Script(b"\x00"))], 1
    )
    invented = Beef()
    invented.merge_path(MerklePath.from_block(1, [source.txid(), "ab" * 32], [source.txid()]))
    invented.merge_transaction(source)
    invented.merge_transaction(payment)
    above = Beef()
    above.merge_path(MerklePath.from_block(5_000, [source.txid()], [source.txid()]))
    above.merge_transaction(source)
    above.merge_transaction(payment)
    missing = Beef()
    missing.merge_path(receiver.path(other.txid()))
    missing.merge_transaction(other)
    missing.merge_transaction(payment)
    bare = Beef()
    bare.merge_txid_only(source.txid())
    bare.merge_transaction(payment)
    return {
        "invented path": (invented.to_atomic(payment.txid()), "tx"),
        "a block above the tip": (above.to_atomic(payment.txid()), "tx"),
        "outputs above inputs": (receiver.beef(source, overspending), "tx"),
        "wrong script": (receiver.beef(source, locked, receiver.payment(locked)), "tx"),
        "missing ancestor": (b"\x01\x01\x01\x01" + bytes.fromhex(payment.txid())[::-1] + missing.to_bytes(), "tx"),
        "txid-only ancestor": (b"\x01\x01\x01\x01" + bytes.fromhex(payment.txid())[::-1] + bare.to_bytes(), "tx"),
        "wrong subject": (b"\x01\x01\x01\x01" + b"\xee" * 32 + good[36:], "tx"),
        "plain BEEF": (good[36:], "tx"),
        "trailing bytes": (good + b"\x00", "tx"),
        "cut": (good[:-9], "tx"),
        "not BEEF": (b"\x00" * 40, "tx"),
    }


FORGERIES = (
    "invented path",
    "a block above the tip",
    "outputs above inputs",
    "wrong script",
    "missing ancestor",
    "txid-only ancestor",
    "wrong subject",
    "plain BEEF",
    "trailing bytes",
    "cut",
    "not BEEF",
)


@pytest.mark.parametrize("name", FORGERIES)
async def test_r41_a_forged_beef_changes_nothing(receiver: Receiver, alice: int, name: str) -> None:
    tx, field = (await _forgeries(receiver))[name]
    before = await receiver.everything()
    with pytest.raises(InvalidParameter) as caught:
        await receiver.receive(alice, tx)
    assert caught.value.parameter == field
    assert await receiver.everything() == before
    assert receiver.network.posts == []


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ([pay(1)], "outputs[0].outputIndex"),
        ([pay(0), pay(0)], "outputs[1].outputIndex"),
        ([insert(0, "default")], "outputs[0].insertionRemittance.basket"),
        ([], "outputs"),
        ([{"outputIndex": 0, "protocol": "wallet payment"}], "outputs[0].paymentRemittance"),
    ],
)
async def test_r48_bad_outputs_change_nothing(
    receiver: Receiver, alice: int, given: list[dict[str, Any]], field: str
) -> None:
    source = receiver.funding()
    tx = receiver.beef(source, receiver.payment(source))
    before = await receiver.everything()
    args = {"tx": list(tx), "outputs": given, "description": "a payment"}
    with pytest.raises(SdkError) as caught:
        await internalize_action(receiver.context, alice, args)  # type: ignore[arg-type]
    assert getattr(caught.value, "parameter", None) == field
    assert await receiver.everything() == before


async def test_r52_an_outage_of_the_headers_is_no_verdict(receiver: Receiver, alice: int) -> None:
    source = receiver.funding()
    tx = receiver.beef(source, receiver.payment(source))
    before = await receiver.everything()
    receiver.network.down.add("headers")
    with pytest.raises(ServiceUnavailable):
        await receiver.receive(alice, tx)
    assert await receiver.everything() == before
    receiver.network.down.clear()
    assert (await receiver.receive(alice, tx)).satoshis == 9_000


async def test_a_payment_to_a_script_that_is_no_payment_is_refused(receiver: Receiver, alice: int) -> None:
    source = receiver.funding()
    odd = Transaction(1, [TransactionInput(OutPoint(source.txid(), 0), Script(b""))], [TransactionOutput(100, OPEN)], 3)
    with pytest.raises(InvalidParameter, match="P2PKH"):
        await receiver.receive(alice, receiver.beef(source, odd))


async def test_an_unproven_receipt_is_proven_later(
    receiver: Receiver, alice: int, prover: Prover, rows: Rows, network: FakeNetwork
) -> None:
    source = receiver.funding()
    payment = receiver.payment(source)
    await receiver.receive(alice, receiver.beef(source, payment))
    network.mine()
    await prover.check(up_to_height=network.height, limit=10)
    assert await rows.statuses(payment.txid()) == ("completed", ["completed"])
    assert await rows.broken_invariants() == []
