"""What the monitor is given by the wallet: the work behind ``sdk.monitor.ports.Backend``.

Found by the entry-point group ``sdk.monitor.backends``; neither distribution imports the other.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from sdk.core.errors import ConfigurationError
from sdk.wallet.broadcasting.broadcaster import Broadcaster
from sdk.wallet.broadcasting.policy import SendPolicy
from sdk.wallet.broadcasting.prover import Prover
from sdk.wallet.broadcasting.reorgs import ReorgFollower
from sdk.wallet.broadcasting.reports import WorkReport
from sdk.wallet.services.composition import build_services
from sdk.wallet.settings import WalletSettings
from sdk.wallet.storage.abandoned import give_up_abandoned
from sdk.wallet.storage.opening import open_current

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import timedelta

    from sdk.core.ports import Clock
    from sdk.service.database import Database
    from sdk.wallet.broadcasting.reorgs import Tip
    from sdk.wallet.services.ports import WalletServices


@dataclass(frozen=True, slots=True)
class ChainTip:
    """Height and hash (display hex) of the newest block."""

    height: int
    hash: str


def utc_now() -> datetime:
    return datetime.now(UTC)


def worker_name() -> str:
    """Unique to this process: two workers of one name would share their leases."""
    return f"{socket.gethostname()[:24]}:{os.getpid()}:{uuid4().hex[:12]}"


class WalletBackend:
    """The background work of one wallet database. ``database`` is where a monitor may keep its own tables too."""

    def __init__(
        self,
        database: Database,
        services: WalletServices,
        *,
        clock: Clock = utc_now,
        owner: str | None = None,
        policy: SendPolicy | None = None,
        closing: Sequence[Callable[[], Awaitable[None]]] = (),
    ) -> None:
        policy = policy or SendPolicy()
        self.database = database
        self._services, self._clock, self._closing = services, clock, tuple(closing)
        self.broadcaster = Broadcaster(database, services, clock=clock, owner=owner or worker_name(), policy=policy)
        self._prover = Prover(database, services, clock=clock, policy=policy)
        self._follower = ReorgFollower(database, services, self._prover, clock=clock)

    async def send_waiting(self, *, min_age: timedelta, limit: int) -> WorkReport:
        """Post what was queued at least ``min_age`` ago, and what is due for another try."""
        return await self.broadcaster.send_waiting(min_age=min_age, limit=limit)

    async def check_for_proofs(self, *, up_to_height: int, limit: int) -> WorkReport:
        return await self._prover.check(up_to_height=up_to_height, limit=limit)

    async def fail_abandoned(self, *, older_than: timedelta, limit: int) -> WorkReport:
        """Give up actions begun and never signed; then ask after inputs that failed transactions still hold."""
        failed, released = await self.database.write(
            give_up_abandoned, now=self._clock(), older_than=older_than, limit=limit
        )
        review = await self.broadcaster.review_failed(limit=limit)
        detail = Counter(review.detail)
        detail.update({name: count for name, count in (("abandoned", failed), ("released", released)) if count})
        return WorkReport(failed + review.processed, failed >= limit or review.more, dict(detail))

    async def tip(self) -> ChainTip:
        """Raises ``ServiceUnavailable``."""
        height = await self._services.get_height()
        header = await self._services.get_header_for_height(height)
        return ChainTip(height, header.hash())

    async def follow_tip(self, tip: Tip) -> WorkReport:
        return await self._follower.follow(tip)

    async def close(self) -> None:
        for close in self._closing:
            await close()


async def open_backend(settings: WalletSettings | None = None) -> WalletBackend:
    """A backend over the database and the services that the settings (else the environment) name.

    Raises ``ConfigurationError``, ``StorageUnavailable``, ``NotMigrated`` or ``SchemaTooNew``.
    """
    settings = settings or WalletSettings.load()
    services = build_services(settings)
    if services is None:
        raise ConfigurationError(
            f"chain {settings.chain!r} has no public services: set SDK_WALLET_ARC_URL and SDK_WALLET_HEADERS_URL"
        )
    try:
        database = await open_current(settings)
    except BaseException:
        await services.close()
        raise
    return WalletBackend(database, services, closing=(services.close, database.close))
