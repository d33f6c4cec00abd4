"""Settings of the header service: ``SDK_CHAINTRACKS_<NAME>``, or ``[chaintracks]`` in the settings file."""

from __future__ import annotations

from pydantic import Field, SecretStr

from sdk.service.settings import Settings


class ChaintracksSettings(Settings, component="chaintracks"):
    """Durations are in seconds. ``source`` lists kinds of source (``cdn``, ``whatsonchain``, ``p2p``, ``chaintracks``,
    ``devnet``, ``teranode``), with a place after a colon where wanted, and bases of WhatsOnChain's wire; empty means
    the first three, for ``main`` and ``test`` (``stn`` has no CDN).
    ``store`` is ``files`` (flat files in a folder beside an SQLite database, or in the working directory),
    ``files:FOLDER``, or ``sql`` (everything in the database). What other processes have written to the database is
    looked for every ``refresh`` seconds, and at once when ``fanout`` (``redis://…``) tells of it. ``transactions``
    names a plugin that answers ``/tx`` and ``/merkle``. ``database_timeout`` is the longest wait for a lock that
    another process holds.

    One client, known by its address, may make ``rate`` requests a second (0: any number) and ``burst`` at once, have
    ``in_flight_per_client`` of them answered at a time, and hold ``subscribers_per_client`` subscriptions; the other
    limits hold for all clients together. ``trusted_proxies`` is the number of reverse proxies in front, whose
    ``X-Forwarded-For`` tells the address. ``keepalive``, ``stall`` and ``drain``: see ``ServerOptions``."""

    network: str = "main"
    source: tuple[str, ...] = ()
    database: str = "sqlite:///chaintracks.sqlite"
    database_schema: str | None = None
    database_timeout: float = Field(default=5.0, ge=0, le=3600)
    store: str = "files"
    host: str = "127.0.0.1"
    port: int = Field(default=3011, ge=0, le=65535)
    interval: float = Field(default=10.0, gt=0, le=3600)
    max_backoff: float = Field(default=300.0, gt=0)
    stale_after: float = Field(default=900.0, gt=0)
    pause: float | None = Field(default=None, ge=0, le=60)
    refresh: float = Field(default=2.0, gt=0, le=3600)
    fanout: SecretStr | None = None
    api_key: SecretStr | None = None
    transactions: str | None = None

    trusted_proxies: int = Field(default=0, ge=0, le=16)
    rate: float = Field(default=100.0, ge=0)
    burst: int = Field(default=200, ge=1)
    in_flight: int = Field(default=256, ge=1)
    in_flight_per_client: int = Field(default=64, ge=1)
    connections: int = Field(default=5_000, ge=1)
    subscribers: int = Field(default=4_000, ge=0)
    subscribers_per_client: int = Field(default=100, ge=0)
    keepalive: float = Field(default=15.0, gt=0, le=3600)
    stall: float = Field(default=30.0, gt=0, le=3600)
    drain: float = Field(default=2.0, ge=0, le=60)
