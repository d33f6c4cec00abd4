"""A wallet storage over a real database, and a client that signs with placeholders: storage judges no signature."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, update

from sdk.core.merkle_path import MerklePath
from sdk.core.script import Script
from sdk.core.storage import AuthId, StorageProcessActionArgs
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.core.wallet import validate_create_action
from sdk.service.database import Prepared
from sdk.wallet.funding import FeeModel
from sdk.wallet.storage.names import find_change_basket
from sdk.wallet.storage.provider import StorageOptions, StorageProvider
from sdk.wallet.storage.tables import metadata, output_baskets, outputs, proven_txs, transactions
from sdk.wallet.storage.users import StorageIdentity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sdk.core.storage import StorageCreateActionResult, StorageProcessActionResults
    from sdk.service.database import Database, Unit

ALICE = "02" + "a1" * 32
BOB = "03" + "b0" * 32
STORAGE = StorageIdentity("02" + "5e" * 32, "test storage", "mock")
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DATA = "006a0461626364"

_INSERT_PROOF = Prepared(insert(proven_txs))
_INSERT_TRANSACTION = Prepared(insert(transactions))
_INSERT_OUTPUT = Prepared(insert(outputs))
_WANT_CHANGE = Prepared(
    update(output_baskets).where(output_baskets.c.name == "default").values(numberOfDesiredUTXOs=bindparam("wanted"))
)


class Clock:
    """Time stands still until it is moved."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        self.now += timedelta(**by)


def p2pkh(seed: object) -> Script:
    digest = hashlib.sha256(repr(seed).encode()).digest()[:20]
    return Script(b"\x76\xa9\x14" + digest + b"\x88\xac")


def mined_transaction(amounts: Sequence[int], seed: int, height: int) -> tuple[Transaction, MerklePath]:
    """A transaction that pays ``amounts`` to as many scripts, in a block of three."""
    source = hashlib.sha256(f"source {seed}".encode()).hexdigest()
    funding = Transaction(
        1,
        [TransactionInput(OutPoint(source, 0), Script(b"\x51"))],
        [TransactionOutput(amount, p2pkh((seed, vout))) for vout, amount in enumerate(amounts)],
    )
    others = [hashlib.sha256(f"{kind} {seed}".encode()).hexdigest() for kind in ("coinbase", "other")]
    block = [others[0], funding.txid(), others[1]]
    return funding, MerklePath.from_block(height, block, [funding.txid()])


@dataclass
class Rig:
    database: Database
    clock: Clock = field(default_factory=Clock)
    seed: int = 1
    options: StorageOptions = field(default_factory=lambda: StorageOptions(fees=FeeModel(1)))
    services: Any = None
    broadcaster: Any = None

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.provider = StorageProvider(
            self.database,
            STORAGE,
            clock=self.clock,
            entropy=self.random.randbytes,
            services=self.services,
            broadcaster=self.broadcaster,
            options=self.options,
        )
        self.mined = 0

    async def user(self, key: str = ALICE) -> AuthId:
        found = await self.provider.find_or_insert_user(key)
        return AuthId(identity_key=key, user_id=found.user.user_id)

    async def mine(self, auth: AuthId, amounts: Sequence[int], *, per_transaction: int = 100) -> list[str]:
        """Give the user mined change outputs; the txids."""
        txids = []
        for start in range(0, len(amounts), per_transaction):
            self.mined += 1
            part = amounts[start : start + per_transaction]
            transaction, path = mined_transaction(part, self.mined * 1000 + self.seed, 100 + self.mined)
            await self.database.write(_insert_mined, auth.user_id or 0, transaction, path, self.clock(), self.mined)
            txids.append(transaction.txid())
        return txids

    async def create(
        self, auth: AuthId, args: Mapping[str, Any] | None = None, **more: Any
    ) -> StorageCreateActionResult:
        wanted = {"description": "a test action", **(args or {}), **more}
        if "outputs" not in wanted and "inputs" not in wanted:
            wanted["outputs"] = [pay(1_000)]
        return await self.provider.create_action(auth, validate_create_action(wanted).for_storage())

    async def process(
        self, auth: AuthId, created: StorageCreateActionResult, **flags: Any
    ) -> tuple[Transaction, StorageProcessActionResults]:
        transaction = sign(created)
        return transaction, await self.provider.process_action(auth, process_args(created, transaction, **flags))

    async def act(self, auth: AuthId, args: Mapping[str, Any] | None = None, **more: Any) -> Transaction:
        """Create and process, delayed; the transaction."""
        created = await self.create(auth, args, **more)
        return (await self.process(auth, created))[0]

    async def want_change(self, count: int) -> None:
        """How many change outputs every default basket would like to hold."""
        await self.database.write(lambda unit: unit.run(_WANT_CHANGE, wanted=count))

    async def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of all tables."""
        return await self.database.read(dump)


def pay(satoshis: int, script: str = DATA, **more: Any) -> dict[str, Any]:
    return {"satoshis": satoshis, "lockingScript": script, "outputDescription": "a payment", **more}


def sign(created: StorageCreateActionResult, unlocking: Mapping[int, bytes] | None = None) -> Transaction:
    """The transaction storage described, with placeholders for signatures and derived scripts."""
    given = unlocking or {}
    return Transaction(
        created.version,
        [
            TransactionInput(
                OutPoint(each.source_txid, each.source_vout),
                Script(given.get(each.vin, b"\x00" * min(each.unlocking_script_length, 107))),
                0xFFFFFFFF if each.sequence_number is None else each.sequence_number,
            )
            for each in created.inputs
        ],
        [
            TransactionOutput(
                each.satoshis,
                Script.from_hex(each.locking_script)
                if each.purpose != "change"
                else p2pkh((created.derivation_prefix, each.derivation_suffix)),
            )
            for each in created.outputs
        ],
        created.lock_time,
    )


def process_args(
    created: StorageCreateActionResult, transaction: Transaction, **flags: Any
) -> StorageProcessActionArgs:
    members = {
        "is_new_tx": True,
        "is_send_with": False,
        "is_no_send": False,
        "is_delayed": True,
        "reference": created.reference,
        "txid": transaction.txid(),
        "raw_tx": transaction.to_bytes(),
        "send_with": (),
        **flags,
    }
    return StorageProcessActionArgs(**members)


def fee_of(created: StorageCreateActionResult) -> int:
    return sum(each.source_satoshis for each in created.inputs) - sum(each.satoshis for each in created.outputs)


def dump(unit: Unit) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table.name: sorted((tuple(row) for row in unit.connection.execute(table.select())), key=repr)
        for table in metadata.sorted_tables
    }


def _insert_mined(
    unit: Unit,
    user_id: int,
    transaction: Transaction,
    path: MerklePath,
    now: datetime,
    number: int,
    block_hash: str | None = None,
) -> None:
    basket = find_change_basket(unit, user_id)
    assert basket is not None
    txid = transaction.txid()
    stamps = {"created_at": now, "updated_at": now}
    proof = unit.insert(
        _INSERT_PROOF,
        **stamps,
        txid=txid,
        height=path.block_height,
        index=path.offset(txid),
        merklePath=path.to_bytes(),
        rawTx=transaction.to_bytes(),
        blockHash=block_hash or f"{path.block_height:064x}",
        merkleRoot=path.compute_root(txid),
    )
    transaction_id = unit.insert(
        _INSERT_TRANSACTION,
        **stamps,
        userId=user_id,
        provenTxId=proof,
        status="completed",
        reference=f"mined{user_id}{number}",
        isOutgoing=False,
        satoshis=sum(each.satoshis for each in transaction.outputs),
        description="received from a block",
        version=1,
        lockTime=0,
        txid=txid,
    )
    unit.run_many(
        _INSERT_OUTPUT,
        [
            {
                **stamps,
                "userId": user_id,
                "transactionId": transaction_id,
                "basketId": basket.basket_id,
                "spendable": True,
                "change": True,
                "vout": vout,
                "satoshis": each.satoshis,
                "providedBy": "storage",
                "purpose": "change",
                "type": "P2PKH",
                "outputDescription": "",
                "txid": txid,
                "derivationPrefix": "cHJlZml4",
                "derivationSuffix": f"c3VmZml4{vout}",
                "lockingScript": each.locking_script.to_bytes(),
                "scriptLength": 25,
            }
            for vout, each in enumerate(transaction.outputs)
        ],
    )
