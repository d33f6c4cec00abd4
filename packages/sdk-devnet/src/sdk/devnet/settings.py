"""Settings of the devnet: ``SDK_DEVNET_<NAME>``, or ``[devnet]`` in the settings file."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from sdk.service.settings import Settings


class DevnetSettings(Settings, component="devnet"):
    """``mine_every`` is in seconds; ``directory`` keeps the chain over restarts; the fee is ``fee_satoshis`` for
    ``fee_bytes`` bytes; ``arc_pace`` seconds pass between two statuses of ARC's ladder.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8090, ge=0, le=65535)
    p2p_port: int | None = Field(default=None, ge=0, le=65535)
    mine_every: float | None = Field(default=None, gt=0, le=86_400)
    directory: Path | None = None
    premine: int = Field(default=110, ge=0, le=10_000)
    fee_satoshis: int = Field(default=1, ge=0, le=1_000_000)
    fee_bytes: int = Field(default=1000, ge=1, le=1_000_000)
    arc_pace: float = Field(default=0.0, ge=0, le=60)
    arc_api_key: SecretStr | None = None
