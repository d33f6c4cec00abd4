"""Settings of the header service: ``SDK_CHAINTRACKS_<NAME>``, or ``[chaintracks]`` in the settings file."""

from __future__ import annotations

from pydantic import Field, SecretStr

from sdk.service.settings import Settings


class ChaintracksSettings(Settings, component="chaintracks"):
    """Durations are in seconds. ``source`` lists kinds of source (``cdn``, ``whatsonchain``, ``p2p``, ``chaintracks``,
    ``devnet``), with a place after a colon where wanted, and bases of WhatsOnChain's wire; empty means the first three,
    for ``main`` and ``test`` (``stn`` has no CDN).
    ``store`` is ``files`` (flat files in a folder beside an SQLite database, or in the working directory),
    ``files:FOLDER``, or ``sql`` (everything in the database). What other processes have written to the database is
    looked for every ``refresh`` seconds, and at once when ``fanout`` (``redis://…``) tells of it."""

    network: str = "main"
    source: tuple[str, ...] = ()
    database: str = "sqlite:///chaintracks.sqlite"
    database_schema: str | None = None
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
