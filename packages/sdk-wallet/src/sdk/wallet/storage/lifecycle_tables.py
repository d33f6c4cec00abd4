"""Tables of the background work on requests; ours alone, in the same ``MetaData`` as ``tables``."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table

from sdk.service.database.types import Key, Timestamp
from sdk.wallet.storage.tables import metadata

_MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}

wallet_request_schedule: Table[Any] = Table(
    "wallet_request_schedule",
    metadata,
    Column("provenTxReqId", Key, ForeignKey("proven_tx_reqs.provenTxReqId", ondelete="CASCADE"), primary_key=True),
    Column("owner", String(64), nullable=True),
    Column("leaseUntil", Timestamp, nullable=True),
    Column("nextSend", Timestamp, nullable=True),
    Column("nextProof", Timestamp, nullable=True),
    Column("checkedHeight", BigInteger, nullable=True),
    Column("proofMisses", Integer, nullable=False, default=0),
    Column("propagated", Boolean, nullable=False, default=False),
    Index("idx_wallet_request_schedule_send", "nextSend"),
    Index("idx_wallet_request_schedule_proof", "nextProof"),
    comment="Who works on a request and until when, and when it is next to be sent, proven or (failed) reviewed.",
    **_MYSQL,
)

wallet_checkpoints: Table[Any] = Table(
    "wallet_checkpoints",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("updated_at", Timestamp, nullable=False),
    Column("height", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    comment="How far a task that follows the chain has got; written with what it did.",
    **_MYSQL,
)
