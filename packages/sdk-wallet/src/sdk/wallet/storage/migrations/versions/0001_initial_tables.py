"""The tables of the reference toolbox and those that are ours alone.

Revision ID: 0001
Revises: nothing
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

from sdk.service.database.types import Key, LongBinary, LongText, Timestamp

revision: Final = "0001"
down_revision: Final = None
branch_labels: Final = None
depends_on: Final = None


def upgrade() -> None:
    op.create_table(
        "monitor_events",
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("id", Key, autoincrement=True, nullable=False),
        sa.Column("event", sa.String(length=64), nullable=False),
        sa.Column("details", LongText, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_monitor_events")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index("idx_wallet_monitor_events_created", "monitor_events", ["created_at"], unique=False)
    op.create_index(op.f("ix_monitor_events_event"), "monitor_events", ["event"], unique=False)
    op.create_table(
        "proven_txs",
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("provenTxId", Key, autoincrement=True, nullable=False),
        sa.Column("txid", sa.String(length=64), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("index", sa.BigInteger(), nullable=False),
        sa.Column("merklePath", LongBinary, nullable=False),
        sa.Column("rawTx", LongBinary, nullable=False),
        sa.Column("blockHash", sa.String(length=64), nullable=False),
        sa.Column("merkleRoot", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("provenTxId", name=op.f("pk_proven_txs")),
        sa.UniqueConstraint("txid", name=op.f("uq_proven_txs_txid")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index("idx_wallet_proven_txs_height", "proven_txs", ["height"], unique=False)
    op.create_index(op.f("ix_proven_txs_blockHash"), "proven_txs", ["blockHash"], unique=False)
    op.create_table(
        "settings",
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("storageIdentityKey", sa.String(length=130), nullable=False),
        sa.Column("storageName", sa.String(length=128), nullable=False),
        sa.Column("chain", sa.String(length=10), nullable=False),
        sa.Column("dbtype", sa.String(length=10), nullable=False),
        sa.Column("maxOutputScript", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("storageIdentityKey", name=op.f("pk_settings")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "users",
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("userId", Key, autoincrement=True, nullable=False),
        sa.Column("identityKey", sa.String(length=130), nullable=False),
        sa.Column("activeStorage", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("userId", name=op.f("pk_users")),
        sa.UniqueConstraint("identityKey", name=op.f("uq_users_identityKey")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "wallet_ancestors",
        sa.Column("txid", sa.String(length=64), nullable=False),
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("rawTx", LongBinary, nullable=False),
        sa.PrimaryKeyConstraint("txid", name=op.f("pk_wallet_ancestors")),
        comment="Unproven transactions of others that ours descend from, each once, so that no row carries a BEEF.",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "wallet_checkpoints",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_wallet_checkpoints")),
        comment="How far a task that follows the chain has got; written with what it did.",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "wallet_parents",
        sa.Column("txid", sa.String(length=64), nullable=False),
        sa.Column("parentTxid", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("txid", "parentTxid", name=op.f("pk_wallet_parents")),
        comment="Which transactions an unproven one spends from: ancestry is one recursive query (R34).",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
        sqlite_with_rowid=False,
    )
    op.create_table(
        "certificates",
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("certificateId", Key, autoincrement=True, nullable=False),
        sa.Column("userId", Key, nullable=False),
        sa.Column("serialNumber", sa.String(length=100), nullable=False),
        sa.Column("type", sa.String(length=100), nullable=False),
        sa.Column("certifier", sa.String(length=100), nullable=False),
        sa.Column("subject", sa.String(length=100), nullable=False),
        sa.Column("verifier", sa.String(length=100), nullable=True),
        sa.Column("revocationOutpoint", sa.String(length=100), nullable=False),
        sa.Column("signature", sa.String(length=255), nullable=False),
        sa.Column("isDeleted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["userId"], ["users.userId"], name=op.f("fk_certificates_userId_users")),
        sa.PrimaryKeyConstraint("certificateId", name=op.f("pk_certificates")),
        sa.UniqueConstraint(
            "userId",
            "type",
            "certifier",
            "serialNumber",
            name=op.f("uq_certificates_userId_type_certifier_serialNumber"),
        ),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "output_baskets",
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("basketId", Key, autoincrement=True, nullable=False),
        sa.Column("userId", Key, nullable=False),
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("numberOfDesiredUTXOs", sa.BigInteger(), nullable=False),
        sa.Column("minimumDesiredUTXOValue", sa.BigInteger(), nullable=False),
        sa.Column("isDeleted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["userId"], ["users.userId"], name=op.f("fk_output_baskets_userId_users")),
        sa.PrimaryKeyConstraint("basketId", name=op.f("pk_output_baskets")),
        sa.UniqueConstraint("name", "userId", name=op.f("uq_output_baskets_name_userId")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "output_tags",
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("outputTagId", Key, autoincrement=True, nullable=False),
        sa.Column("userId", Key, nullable=False),
        sa.Column("tag", sa.String(length=300), nullable=False),
        sa.Column("isDeleted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["userId"], ["users.userId"], name=op.f("fk_output_tags_userId_users")),
        sa.PrimaryKeyConstraint("outputTagId", name=op.f("pk_output_tags")),
        sa.UniqueConstraint("tag", "userId", name=op.f("uq_output_tags_tag_userId")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "proven_tx_reqs",
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("provenTxReqId", Key, autoincrement=True, nullable=False),
        sa.Column("provenTxId", Key, nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("notified", sa.Boolean(), nullable=False),
        sa.Column("txid", sa.String(length=64), nullable=False),
        sa.Column("batch", sa.String(length=64), nullable=True),
        sa.Column("history", LongText, nullable=False),
        sa.Column("notify", LongText, nullable=False),
        sa.Column("rawTx", LongBinary, nullable=False),
        sa.Column("inputBEEF", LongBinary, nullable=True),
        sa.Column("wasBroadcast", sa.Boolean(), nullable=False),
        sa.Column("rebroadcastAttempts", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["provenTxId"], ["proven_txs.provenTxId"], name=op.f("fk_proven_tx_reqs_provenTxId_proven_txs")
        ),
        sa.PrimaryKeyConstraint("provenTxReqId", name=op.f("pk_proven_tx_reqs")),
        sa.UniqueConstraint("txid", name=op.f("uq_proven_tx_reqs_txid")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_proven_tx_reqs_batch"), "proven_tx_reqs", ["batch"], unique=False)
    op.create_index(op.f("ix_proven_tx_reqs_status"), "proven_tx_reqs", ["status"], unique=False)
    op.create_table(
        "sync_states",
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("syncStateId", Key, autoincrement=True, nullable=False),
        sa.Column("userId", Key, nullable=False),
        sa.Column("storageIdentityKey", sa.String(length=130), nullable=False),
        sa.Column("storageName", sa.String(length=128), nullable=False),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("init", sa.Boolean(), nullable=False),
        sa.Column("refNum", sa.String(length=100), nullable=False),
        sa.Column("syncMap", LongText, nullable=False),
        sa.Column("when", Timestamp(), nullable=True),
        sa.Column("satoshis", sa.BigInteger(), nullable=True),
        sa.Column("errorLocal", LongText, nullable=True),
        sa.Column("errorOther", LongText, nullable=True),
        sa.ForeignKeyConstraint(["userId"], ["users.userId"], name=op.f("fk_sync_states_userId_users")),
        sa.PrimaryKeyConstraint("syncStateId", name=op.f("pk_sync_states")),
        sa.UniqueConstraint("refNum", name=op.f("uq_sync_states_refNum")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_sync_states_status"), "sync_states", ["status"], unique=False)
    op.create_table(
        "transactions",
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("transactionId", Key, autoincrement=True, nullable=False),
        sa.Column("userId", Key, nullable=False),
        sa.Column("provenTxId", Key, nullable=True),
        sa.Column("status", sa.String(length=64), nullable=False),
        sa.Column("reference", sa.String(length=64), nullable=False),
        sa.Column("isOutgoing", sa.Boolean(), nullable=False),
        sa.Column("satoshis", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("lockTime", sa.BigInteger(), nullable=True),
        sa.Column("description", sa.String(length=2048), nullable=True),
        sa.Column("txid", sa.String(length=64), nullable=True),
        sa.Column("inputBEEF", LongBinary, nullable=True),
        sa.Column("rawTx", LongBinary, nullable=True),
        sa.ForeignKeyConstraint(
            ["provenTxId"], ["proven_txs.provenTxId"], name=op.f("fk_transactions_provenTxId_proven_txs")
        ),
        sa.ForeignKeyConstraint(["userId"], ["users.userId"], name=op.f("fk_transactions_userId_users")),
        sa.PrimaryKeyConstraint("transactionId", name=op.f("pk_transactions")),
        sa.UniqueConstraint("reference", name=op.f("uq_transactions_reference")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index("idx_wallet_transactions_user", "transactions", ["userId", "transactionId", "status"], unique=False)
    op.create_index(op.f("ix_transactions_provenTxId"), "transactions", ["provenTxId"], unique=False)
    op.create_index(op.f("ix_transactions_status"), "transactions", ["status"], unique=False)
    op.create_index(op.f("ix_transactions_txid"), "transactions", ["txid"], unique=False)
    op.create_table(
        "tx_labels",
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("txLabelId", Key, autoincrement=True, nullable=False),
        sa.Column("userId", Key, nullable=False),
        sa.Column("label", sa.String(length=300), nullable=False),
        sa.Column("isDeleted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["userId"], ["users.userId"], name=op.f("fk_tx_labels_userId_users")),
        sa.PrimaryKeyConstraint("txLabelId", name=op.f("pk_tx_labels")),
        sa.UniqueConstraint("label", "userId", name=op.f("uq_tx_labels_label_userId")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "certificate_fields",
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("userId", Key, nullable=False),
        sa.Column("certificateId", Key, nullable=False),
        sa.Column("fieldName", sa.String(length=100), nullable=False),
        sa.Column("fieldValue", LongText, nullable=False),
        sa.Column("masterKey", LongText, nullable=False),
        sa.ForeignKeyConstraint(
            ["certificateId"],
            ["certificates.certificateId"],
            name=op.f("fk_certificate_fields_certificateId_certificates"),
        ),
        sa.ForeignKeyConstraint(["userId"], ["users.userId"], name=op.f("fk_certificate_fields_userId_users")),
        sa.PrimaryKeyConstraint("fieldName", "certificateId", name=op.f("pk_certificate_fields")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "commissions",
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("commissionId", Key, autoincrement=True, nullable=False),
        sa.Column("userId", Key, nullable=False),
        sa.Column("transactionId", Key, nullable=False),
        sa.Column("satoshis", sa.BigInteger(), nullable=False),
        sa.Column("keyOffset", sa.String(length=130), nullable=False),
        sa.Column("isRedeemed", sa.Boolean(), nullable=False),
        sa.Column("lockingScript", LongBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["transactionId"], ["transactions.transactionId"], name=op.f("fk_commissions_transactionId_transactions")
        ),
        sa.ForeignKeyConstraint(["userId"], ["users.userId"], name=op.f("fk_commissions_userId_users")),
        sa.PrimaryKeyConstraint("commissionId", name=op.f("pk_commissions")),
        sa.UniqueConstraint("transactionId", name=op.f("uq_commissions_transactionId")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "outputs",
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("outputId", Key, autoincrement=True, nullable=False),
        sa.Column("userId", Key, nullable=False),
        sa.Column("transactionId", Key, nullable=False),
        sa.Column("basketId", Key, nullable=True),
        sa.Column("spendable", sa.Boolean(), nullable=False),
        sa.Column("change", sa.Boolean(), nullable=False),
        sa.Column("vout", sa.BigInteger(), nullable=False),
        sa.Column("satoshis", sa.BigInteger(), nullable=False),
        sa.Column("providedBy", sa.String(length=130), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("type", sa.String(length=50), nullable=False),
        sa.Column("outputDescription", sa.String(length=2048), nullable=True),
        sa.Column("txid", sa.String(length=64), nullable=True),
        sa.Column("senderIdentityKey", sa.String(length=130), nullable=True),
        sa.Column("derivationPrefix", sa.String(length=200), nullable=True),
        sa.Column("derivationSuffix", sa.String(length=200), nullable=True),
        sa.Column("customInstructions", sa.String(length=2500), nullable=True),
        sa.Column("spentBy", Key, nullable=True),
        sa.Column("sequenceNumber", sa.BigInteger(), nullable=True),
        sa.Column("spendingDescription", sa.String(length=2048), nullable=True),
        sa.Column("scriptLength", sa.BigInteger(), nullable=True),
        sa.Column("scriptOffset", sa.BigInteger(), nullable=True),
        sa.Column("lockingScript", LongBinary, nullable=True),
        sa.ForeignKeyConstraint(
            ["basketId"], ["output_baskets.basketId"], name=op.f("fk_outputs_basketId_output_baskets")
        ),
        sa.ForeignKeyConstraint(
            ["spentBy"], ["transactions.transactionId"], name=op.f("fk_outputs_spentBy_transactions")
        ),
        sa.ForeignKeyConstraint(
            ["transactionId"], ["transactions.transactionId"], name=op.f("fk_outputs_transactionId_transactions")
        ),
        sa.ForeignKeyConstraint(["userId"], ["users.userId"], name=op.f("fk_outputs_userId_users")),
        sa.PrimaryKeyConstraint("outputId", name=op.f("pk_outputs")),
        sa.UniqueConstraint("transactionId", "vout", "userId", name=op.f("uq_outputs_transactionId_vout_userId")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index("idx_outputs_spentby", "outputs", ["spentBy"], unique=False)
    op.create_index(
        "idx_outputs_user_basket_spendable_outputid",
        "outputs",
        ["userId", "basketId", "spendable", "outputId"],
        unique=False,
    )
    op.create_index("idx_outputs_user_spendable_outputid", "outputs", ["userId", "spendable", "outputId"], unique=False)
    op.create_index(
        "idx_wallet_outputs_coins",
        "outputs",
        ["userId", "basketId", "spendable", "satoshis", "transactionId"],
        unique=False,
    )
    op.create_index("idx_wallet_outputs_txid", "outputs", ["txid", "vout"], unique=False)
    op.create_table(
        "tx_labels_map",
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("txLabelId", Key, nullable=False),
        sa.Column("transactionId", Key, nullable=False),
        sa.Column("isDeleted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["transactionId"], ["transactions.transactionId"], name=op.f("fk_tx_labels_map_transactionId_transactions")
        ),
        sa.ForeignKeyConstraint(
            ["txLabelId"], ["tx_labels.txLabelId"], name=op.f("fk_tx_labels_map_txLabelId_tx_labels")
        ),
        sa.PrimaryKeyConstraint("txLabelId", "transactionId", name=op.f("pk_tx_labels_map")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index("idx_tx_labels_map_tx_deleted", "tx_labels_map", ["transactionId", "isDeleted"], unique=False)
    op.create_index(op.f("ix_tx_labels_map_transactionId"), "tx_labels_map", ["transactionId"], unique=False)
    op.create_table(
        "wallet_action_inputs",
        sa.Column("transactionId", Key, nullable=False),
        sa.Column("vin", sa.Integer(), nullable=False),
        sa.Column("txid", sa.String(length=64), nullable=False),
        sa.Column("vout", sa.BigInteger(), nullable=False),
        sa.Column("satoshis", sa.BigInteger(), nullable=False),
        sa.Column("lockingScript", LongBinary, nullable=False),
        sa.Column("sequenceNumber", sa.BigInteger(), nullable=False),
        sa.Column("unlockingScriptLength", sa.BigInteger(), nullable=False),
        sa.Column("inputDescription", sa.String(length=2048), nullable=False),
        sa.ForeignKeyConstraint(
            ["transactionId"],
            ["transactions.transactionId"],
            name=op.f("fk_wallet_action_inputs_transactionId_transactions"),
        ),
        sa.PrimaryKeyConstraint("transactionId", "vin", name=op.f("pk_wallet_action_inputs")),
        comment="Inputs the caller of createAction named: what its signed transaction must spend, in this order (R79).",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index("idx_wallet_action_inputs_outpoint", "wallet_action_inputs", ["txid", "vout"], unique=False)
    op.create_table(
        "wallet_pending_actions",
        sa.Column("transactionId", Key, autoincrement=False, nullable=False),
        sa.Column("args", LongText, nullable=False),
        sa.Column("result", LongText, nullable=False),
        sa.ForeignKeyConstraint(
            ["transactionId"],
            ["transactions.transactionId"],
            name=op.f("fk_wallet_pending_actions_transactionId_transactions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("transactionId", name=op.f("pk_wallet_pending_actions")),
        comment="What createAction asked and answered, without BEEF, while signAction is awaited (R78).",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "wallet_request_schedule",
        sa.Column("provenTxReqId", Key, nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("leaseUntil", Timestamp(), nullable=True),
        sa.Column("nextSend", Timestamp(), nullable=True),
        sa.Column("nextProof", Timestamp(), nullable=True),
        sa.Column("checkedHeight", sa.BigInteger(), nullable=True),
        sa.Column("proofMisses", sa.Integer(), nullable=False),
        sa.Column("propagated", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["provenTxReqId"],
            ["proven_tx_reqs.provenTxReqId"],
            name=op.f("fk_wallet_request_schedule_provenTxReqId_proven_tx_reqs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("provenTxReqId", name=op.f("pk_wallet_request_schedule")),
        comment="Who works on a request and until when, and when it is next to be sent, proven or (failed) reviewed.",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index("idx_wallet_request_schedule_proof", "wallet_request_schedule", ["nextProof"], unique=False)
    op.create_index("idx_wallet_request_schedule_send", "wallet_request_schedule", ["nextSend"], unique=False)
    op.create_table(
        "output_tags_map",
        sa.Column("created_at", Timestamp(), nullable=False),
        sa.Column("updated_at", Timestamp(), nullable=False),
        sa.Column("outputTagId", Key, nullable=False),
        sa.Column("outputId", Key, nullable=False),
        sa.Column("isDeleted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["outputId"], ["outputs.outputId"], name=op.f("fk_output_tags_map_outputId_outputs")),
        sa.ForeignKeyConstraint(
            ["outputTagId"], ["output_tags.outputTagId"], name=op.f("fk_output_tags_map_outputTagId_output_tags")
        ),
        sa.PrimaryKeyConstraint("outputTagId", "outputId", name=op.f("pk_output_tags_map")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index(
        "idx_output_tags_map_output_deleted_tag",
        "output_tags_map",
        ["outputId", "isDeleted", "outputTagId"],
        unique=False,
    )
    op.create_index(op.f("ix_output_tags_map_outputId"), "output_tags_map", ["outputId"], unique=False)


def downgrade() -> None:
    op.drop_table("output_tags_map")
    op.drop_table("wallet_request_schedule")
    op.drop_table("wallet_pending_actions")
    op.drop_table("wallet_action_inputs")
    op.drop_table("tx_labels_map")
    op.drop_table("outputs")
    op.drop_table("commissions")
    op.drop_table("certificate_fields")
    op.drop_table("tx_labels")
    op.drop_table("transactions")
    op.drop_table("sync_states")
    op.drop_table("proven_tx_reqs")
    op.drop_table("output_tags")
    op.drop_table("output_baskets")
    op.drop_table("certificates")
    op.drop_table("wallet_parents")
    op.drop_table("wallet_checkpoints")
    op.drop_table("wallet_ancestors")
    op.drop_table("users")
    op.drop_table("settings")
    op.drop_table("proven_txs")
    op.drop_table("monitor_events")
