"""How many connections a database or cache may have, member by member as the reference's PoolConfig (spec 3.1)."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0, le=2**32 - 1)]
Seconds = Annotated[int, Field(ge=0, le=2**63 - 1)]


class PoolConfig(BaseModel):
    """Connections are opened when needed and kept up to ``max_lifetime_seconds``.

    ``min_connections`` and ``idle_timeout_seconds`` are read for the wire's sake; a pool reached directly has no use
    for them.
    """

    model_config = ConfigDict(frozen=True)

    max_connections: Annotated[int, Field(ge=1, le=2**32 - 1)] = 10
    min_connections: Count = 2
    idle_timeout_seconds: Seconds = 300
    max_lifetime_seconds: Seconds = 1800
    acquire_timeout_seconds: Seconds = 30
