"""ARC's ladder of statuses (spec/arc.md §1.5)."""

from __future__ import annotations

from enum import IntEnum


class ArcStatus(IntEnum):
    UNKNOWN = 0
    QUEUED = 10
    RECEIVED = 20
    STORED = 30
    ANNOUNCED_TO_NETWORK = 40
    REQUESTED_BY_NETWORK = 50
    SENT_TO_NETWORK = 60
    ACCEPTED_BY_NETWORK = 70
    SEEN_IN_ORPHAN_MEMPOOL = 80
    SEEN_ON_NETWORK = 90
    DOUBLE_SPEND_ATTEMPTED = 100
    REJECTED = 110
    MINED_IN_STALE_BLOCK = 115
    MINED = 120


CLIMB = (
    ArcStatus.RECEIVED,
    ArcStatus.STORED,
    ArcStatus.ANNOUNCED_TO_NETWORK,
    ArcStatus.REQUESTED_BY_NETWORK,
    ArcStatus.SENT_TO_NETWORK,
    ArcStatus.ACCEPTED_BY_NETWORK,
    ArcStatus.SEEN_ON_NETWORK,
)
"""The way of a transaction that everybody likes."""

CALLBACK_FROM = ArcStatus.REJECTED
FULL_CALLBACK_FROM = ArcStatus.SEEN_IN_ORPHAN_MEMPOOL
BAD = (ArcStatus.REJECTED, ArcStatus.DOUBLE_SPEND_ATTEMPTED)
"""Nothing better comes while a request waits."""
