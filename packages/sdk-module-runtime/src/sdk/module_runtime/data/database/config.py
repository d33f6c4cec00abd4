"""How to reach a database: the reference's DatabaseConfig, member by member (spec 3.1)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sdk.module_runtime.data.pool import PoolConfig


class DatabaseConfig(BaseModel):
    """``database`` is a name, or for SQLite a path or ``:memory:``. The password is not shown by ``repr``."""

    model_config = ConfigDict(frozen=True)

    db_type: Literal["postgres", "mysql", "sqlite"]
    host: str | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    database: str
    username: str | None = None
    password: str | None = Field(default=None, repr=False)
    ssl_mode: str | None = None
    pool: PoolConfig = PoolConfig()
    extra_params: dict[str, str] = {}
