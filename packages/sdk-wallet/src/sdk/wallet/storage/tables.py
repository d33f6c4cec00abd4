"""The wallet's tables.

Names of tables and columns are the reference toolbox's (spec/wallet-stack.md §2.1), so that its databases can be
adopted. Columns it declares too narrow for what its own validators allow are wider here (docs/adr/0020). Tables
that are ours alone begin with ``wallet_``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    type_coerce,
)
from sqlalchemy.types import NullType

from sdk.service.database.types import NAMING_CONVENTION, Key, LongBinary, LongText, Timestamp

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

metadata = MetaData(naming_convention=NAMING_CONVENTION)

# Binary collation: a base64 reference differs from its lower-cased twin, a label from its accented one.
_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}


def _timestamps() -> tuple[Column[Any], Column[Any]]:
    return Column("created_at", Timestamp, nullable=False), Column("updated_at", Timestamp, nullable=False)


def _table(name: str, *items: Any) -> Table[Any]:
    return _own_table(name, *_timestamps(), *items)


def _own_table(name: str, *items: Any, **options: Any) -> Table[Any]:
    table: Table[Any] = Table(name, metadata, *items, **_MYSQL, **options)
    return table


def _key(name: str) -> Column[Any]:
    return Column(name, Key, primary_key=True, autoincrement=True)


def _flag(name: str) -> Column[Any]:
    return Column(name, Boolean, nullable=False, default=False)


def _references(name: str, target: str, *, nullable: bool = False, **options: Any) -> Column[Any]:
    return Column(name, Key, ForeignKey(target), nullable=nullable, **options)


settings = _table(
    "settings",
    Column("storageIdentityKey", String(130), primary_key=True),
    Column("storageName", String(128), nullable=False),
    Column("chain", String(10), nullable=False),
    Column("dbtype", String(10), nullable=False),
    Column("maxOutputScript", Integer, nullable=False),
)

users = _table(
    "users",
    _key("userId"),
    Column("identityKey", String(130), nullable=False, unique=True),
    Column("activeStorage", String(255), nullable=False, default=""),
)

proven_txs = _table(
    "proven_txs",
    _key("provenTxId"),
    Column("txid", String(64), nullable=False, unique=True),
    Column("height", BigInteger, nullable=False),
    Column("index", BigInteger, nullable=False),
    Column("merklePath", LongBinary, nullable=False),
    Column("rawTx", LongBinary, nullable=False),
    Column("blockHash", String(64), nullable=False, index=True),
    Column("merkleRoot", String(64), nullable=False),
    Index("idx_wallet_proven_txs_height", "height"),
)

proven_tx_reqs = _table(
    "proven_tx_reqs",
    _key("provenTxReqId"),
    _references("provenTxId", "proven_txs.provenTxId", nullable=True),
    Column("status", String(16), nullable=False, default="unknown", index=True),
    Column("attempts", Integer, nullable=False, default=0),
    _flag("notified"),
    Column("txid", String(64), nullable=False, unique=True),
    Column("batch", String(64), nullable=True, index=True),
    Column("history", LongText, nullable=False),
    Column("notify", LongText, nullable=False),
    Column("rawTx", LongBinary, nullable=False),
    Column("inputBEEF", LongBinary, nullable=True),
    _flag("wasBroadcast"),
    Column("rebroadcastAttempts", Integer, nullable=False, default=0),
)

output_baskets = _table(
    "output_baskets",
    _key("basketId"),
    _references("userId", "users.userId"),
    Column("name", String(300), nullable=False),
    Column("numberOfDesiredUTXOs", BigInteger, nullable=False, default=6),
    Column("minimumDesiredUTXOValue", BigInteger, nullable=False, default=10000),
    _flag("isDeleted"),
    UniqueConstraint("name", "userId"),
)

transactions = _table(
    "transactions",
    _key("transactionId"),
    _references("userId", "users.userId"),
    _references("provenTxId", "proven_txs.provenTxId", nullable=True, index=True),
    Column("status", String(64), nullable=False, index=True),
    Column("reference", String(64), nullable=False, unique=True),
    Column("isOutgoing", Boolean, nullable=False),
    Column("satoshis", BigInteger, nullable=False, default=0),
    Column("version", BigInteger, nullable=True),
    Column("lockTime", BigInteger, nullable=True),
    Column("description", String(2048), nullable=True),
    Column("txid", String(64), nullable=True, index=True),
    Column("inputBEEF", LongBinary, nullable=True),
    Column("rawTx", LongBinary, nullable=True),
    Index("idx_wallet_transactions_user", "userId", "transactionId", "status"),
)

commissions = _table(
    "commissions",
    _key("commissionId"),
    _references("userId", "users.userId"),
    _references("transactionId", "transactions.transactionId", unique=True),
    Column("satoshis", BigInteger, nullable=False),
    Column("keyOffset", String(130), nullable=False),
    _flag("isRedeemed"),
    Column("lockingScript", LongBinary, nullable=False),
)

outputs = _table(
    "outputs",
    _key("outputId"),
    _references("userId", "users.userId"),
    _references("transactionId", "transactions.transactionId"),
    _references("basketId", "output_baskets.basketId", nullable=True),
    _flag("spendable"),
    _flag("change"),
    Column("vout", BigInteger, nullable=False),
    Column("satoshis", BigInteger, nullable=False),
    Column("providedBy", String(130), nullable=False),
    Column("purpose", String(20), nullable=False),
    Column("type", String(50), nullable=False),
    Column("outputDescription", String(2048), nullable=True),
    Column("txid", String(64), nullable=True),
    Column("senderIdentityKey", String(130), nullable=True),
    Column("derivationPrefix", String(200), nullable=True),
    Column("derivationSuffix", String(200), nullable=True),
    Column("customInstructions", String(2500), nullable=True),
    _references("spentBy", "transactions.transactionId", nullable=True),
    Column("sequenceNumber", BigInteger, nullable=True),
    Column("spendingDescription", String(2048), nullable=True),
    Column("scriptLength", BigInteger, nullable=True),
    Column("scriptOffset", BigInteger, nullable=True),
    Column("lockingScript", LongBinary, nullable=True),
    UniqueConstraint("transactionId", "vout", "userId"),
    Index("idx_outputs_user_spendable_outputid", "userId", "spendable", "outputId"),
    Index("idx_outputs_user_basket_spendable_outputid", "userId", "basketId", "spendable", "outputId"),
    Index("idx_wallet_outputs_coins", "userId", "basketId", "spendable", "satoshis", "transactionId"),
    Index("idx_outputs_spentby", "spentBy"),
    Index("idx_wallet_outputs_txid", "txid", "vout"),
)

output_tags = _table(
    "output_tags",
    _key("outputTagId"),
    _references("userId", "users.userId"),
    Column("tag", String(300), nullable=False),
    _flag("isDeleted"),
    UniqueConstraint("tag", "userId"),
)

output_tags_map = _table(
    "output_tags_map",
    _references("outputTagId", "output_tags.outputTagId"),
    _references("outputId", "outputs.outputId", index=True),
    _flag("isDeleted"),
    PrimaryKeyConstraint("outputTagId", "outputId"),
    Index("idx_output_tags_map_output_deleted_tag", "outputId", "isDeleted", "outputTagId"),
)

tx_labels = _table(
    "tx_labels",
    _key("txLabelId"),
    _references("userId", "users.userId"),
    Column("label", String(300), nullable=False),
    _flag("isDeleted"),
    UniqueConstraint("label", "userId"),
)

tx_labels_map = _table(
    "tx_labels_map",
    _references("txLabelId", "tx_labels.txLabelId"),
    _references("transactionId", "transactions.transactionId", index=True),
    _flag("isDeleted"),
    PrimaryKeyConstraint("txLabelId", "transactionId"),
    Index("idx_tx_labels_map_tx_deleted", "transactionId", "isDeleted"),
)

certificates = _table(
    "certificates",
    _key("certificateId"),
    _references("userId", "users.userId"),
    Column("serialNumber", String(100), nullable=False),
    Column("type", String(100), nullable=False),
    Column("certifier", String(100), nullable=False),
    Column("subject", String(100), nullable=False),
    Column("verifier", String(100), nullable=True),
    Column("revocationOutpoint", String(100), nullable=False),
    Column("signature", String(255), nullable=False),
    _flag("isDeleted"),
    UniqueConstraint("userId", "type", "certifier", "serialNumber"),
)

certificate_fields = _table(
    "certificate_fields",
    _references("userId", "users.userId"),
    _references("certificateId", "certificates.certificateId"),
    Column("fieldName", String(100), nullable=False),
    Column("fieldValue", LongText, nullable=False),
    Column("masterKey", LongText, nullable=False),
    PrimaryKeyConstraint("fieldName", "certificateId"),
)

sync_states = _table(
    "sync_states",
    _key("syncStateId"),
    _references("userId", "users.userId"),
    Column("storageIdentityKey", String(130), nullable=False, default=""),
    Column("storageName", String(128), nullable=False),
    Column("status", String(64), nullable=False, default="unknown", index=True),
    _flag("init"),
    Column("refNum", String(100), nullable=False, unique=True),
    Column("syncMap", LongText, nullable=False),
    Column("when", Timestamp, nullable=True),
    Column("satoshis", BigInteger, nullable=True),
    Column("errorLocal", LongText, nullable=True),
    Column("errorOther", LongText, nullable=True),
)

monitor_events = _table(
    "monitor_events",
    _key("id"),
    Column("event", String(64), nullable=False, index=True),
    Column("details", LongText, nullable=True),
    Index("idx_wallet_monitor_events_created", "created_at"),
)

# --- ours alone ---------------------------------------------------------------------------------------------------

wallet_ancestors = _own_table(
    "wallet_ancestors",
    Column("txid", String(64), primary_key=True),
    Column("created_at", Timestamp, nullable=False),
    Column("rawTx", LongBinary, nullable=False),
    comment="Unproven transactions of others that ours descend from, each once, so that no row carries a BEEF.",
)

wallet_parents = _own_table(
    "wallet_parents",
    Column("txid", String(64), nullable=False),
    Column("parentTxid", String(64), nullable=False),
    PrimaryKeyConstraint("txid", "parentTxid"),
    sqlite_with_rowid=False,
    comment="Which transactions an unproven one spends from: ancestry is one recursive query (R34).",
)

wallet_action_inputs = _own_table(
    "wallet_action_inputs",
    _references("transactionId", "transactions.transactionId"),
    Column("vin", Integer, nullable=False),
    Column("txid", String(64), nullable=False),
    Column("vout", BigInteger, nullable=False),
    Column("satoshis", BigInteger, nullable=False),
    Column("lockingScript", LongBinary, nullable=False),
    Column("sequenceNumber", BigInteger, nullable=False),
    Column("unlockingScriptLength", BigInteger, nullable=False),
    Column("inputDescription", String(2048), nullable=False),
    PrimaryKeyConstraint("transactionId", "vin"),
    Index("idx_wallet_action_inputs_outpoint", "txid", "vout"),
    comment="Inputs the caller of createAction named: what its signed transaction must spend, in this order (R79).",
)

wallet_pending_actions = _own_table(
    "wallet_pending_actions",
    Column(
        "transactionId",
        Key,
        ForeignKey("transactions.transactionId", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("args", LongText, nullable=False),
    Column("result", LongText, nullable=False),
    comment="What createAction asked and answered, without BEEF, while signAction is awaited (R78).",
)

TABLE_NAMES = frozenset(metadata.tables)


def raw(column: Column[Any]) -> ColumnElement[Any]:
    """The column as the driver gives it: bytes stay bytes, a flag may be 0 or 1. Rows need no work then."""
    return type_coerce(column, NullType()).label(column.key)


def mine(table: Table[Any]) -> ColumnElement[bool]:
    """The row is that of ``:user`` (R65), as a check and not as the way to find it.

    For statements that have a narrower key: without statistics SQLite would rather walk all rows of the user.
    """
    owned: ColumnElement[bool] = (table.c.userId + 0) == bindparam("user")
    return owned
