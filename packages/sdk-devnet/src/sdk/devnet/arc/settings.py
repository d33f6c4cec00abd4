"""How this ARC behaves; times in seconds. The defaults suit tests and play, the comments give the real service's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ArcSettings:
    api_key: str | None = None
    pace: float = 0.0  # between two rungs of the status ladder
    mined_after: float = 0.05  # until a transaction that was mined before it was submitted says so
    accept_beef_v2: bool = True
    refused_callback_urls: tuple[str, ...] = ()  # ARC: http://localhost, https://localhost
    callback_spacing: float = 0.0  # 5
    callback_batch_interval: float = 0.25  # 5
    callback_batch_size: int = 50
    callback_retries: int = 10
    callback_retry_delay: float = 0.5
    callback_timeout: float = 5.0
    max_body: int = 64 * 1024 * 1024
    max_batch: int = 10_000
    max_records: int = 500_000  # transactions it remembers; the oldest is forgotten first
    max_receivers: int = 16  # of one transaction
