"""How to reach a cache: the reference's CacheConfig, member by member (spec 3.2)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sdk.module_runtime.data.pool import Count, PoolConfig, Seconds


class Duration(BaseModel):
    model_config = ConfigDict(frozen=True)

    secs: Seconds
    nanos: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0

    @property
    def seconds(self) -> float:
        return self.secs + self.nanos / 1e9


class CacheConfig(BaseModel):
    """``max_size_bytes`` bounds each value, and all of a cache that is ours to bound: in memory and in files.

    ``default_ttl`` goes before ``default_ttl_seconds``; with neither (0) an entry without a TTL of its own never
    expires. ``policy`` says what gives way when a cache is full; ``None``: nothing, and ``CacheFull`` is raised. A
    server evicts as it was set up to, whatever ``policy`` says. The password is not shown by ``repr``.
    """

    model_config = ConfigDict(frozen=True)

    cache_type: Literal["InMemory", "Redis", "Memcached", "File"] = "InMemory"
    policy: Literal["LRU", "FIFO", "MRU", "LFU", "None"] = "LRU"
    max_size_bytes: Annotated[int, Field(ge=0, le=2**63 - 1)] = 10 * 1024 * 1024
    default_ttl_seconds: Count = 300
    default_ttl: Duration | None = None
    hosts: list[str] = ["localhost"]
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    connection_timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 5
    operation_timeout_seconds: Annotated[int, Field(ge=1, le=3600)] = 2
    username: str | None = None
    password: str | None = Field(default=None, repr=False)
    tls_enabled: bool = False
    database: Annotated[int, Field(ge=0, le=255)] | None = None
    file_path: str | None = None
    namespace: str | None = None
    pool: PoolConfig = PoolConfig()
    extra_params: dict[str, str] = {}

    @property
    def ttl(self) -> float | None:
        """Seconds that an entry without a TTL of its own lives."""
        return (self.default_ttl.seconds if self.default_ttl is not None else self.default_ttl_seconds) or None
