"""Time limits and numbers of tries of the background work. Durations are ``timedelta``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class SendPolicy:
    """``lease`` covers a post, its confirmations and the unit that records them, with room to spare.

    ``proof_misses``: new heights without a proof after which an accepted transaction is sent again (R18; the reference
    has 144 on main). ``doubt_misses``: after so many the network is asked whether it still knows it (R13).
    ``other_worker``: how long a caller who wants an answer at once waits for a worker that was quicker.
    """

    lease: timedelta = timedelta(minutes=5)
    post_timeout: timedelta = timedelta(seconds=60)
    question_timeout: timedelta = timedelta(seconds=30)
    other_worker: timedelta = timedelta(seconds=30)
    first_retry: timedelta = timedelta(seconds=10)
    longest_retry: timedelta = timedelta(minutes=10)
    concurrency: int = 4
    proof_misses: int = 144
    doubt_misses: int = 3
    first_proof_check: timedelta = timedelta(seconds=30)
    longest_proof_check: timedelta = timedelta(minutes=30)
    review_again: timedelta = timedelta(minutes=10)
    rivals: int = 24

    def __post_init__(self) -> None:
        if self.lease <= self.post_timeout + 4 * self.question_timeout:
            raise ValueError("a lease must outlast a post and the questions after it")

    def retry_after(self, attempts: int, asked: float | None) -> timedelta:
        """Doubling from ``first_retry``; never sooner than the ``asked`` seconds of a service (R14)."""
        wait = _doubled(self.first_retry, attempts, self.longest_retry)
        return max(wait, timedelta(seconds=min(asked, 86_400))) if asked is not None and asked > 0 else wait

    def check_after(self, misses: int) -> timedelta:
        return _doubled(self.first_proof_check, misses, self.longest_proof_check)


def _doubled(first: timedelta, times: int, most: timedelta) -> timedelta:
    return min(first * (1 << min(max(times, 0), 20)), most)
