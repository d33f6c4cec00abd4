"""What a stack lends a module: databases and caches by name, and how much of each."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.data.cache.config import CacheConfig
from sdk.module_runtime.data.database.config import DatabaseConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

Some = Annotated[int, Field(ge=1, le=1_000_000)]
Bytes = Annotated[int, Field(ge=1024, le=1 << 30)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class DatabaseLimits(BaseModel):
    """``connections`` of the module to the service and ``transactions`` it may have open at a time; ``rows`` and
    ``bytes`` of one result; and seconds of one statement, of one transaction, and of a transaction that does nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    connections: Some = 16
    transactions: Some = 8
    rows: Some = 10_000
    bytes: Bytes = 8 * 1024 * 1024
    statement_seconds: Seconds = 30.0
    transaction_seconds: Seconds = 300.0
    idle_seconds: Seconds = 30.0


class _Guarded(BaseModel):
    """Its password stands in a variable of the orchestrator's environment, or is a secret of its store."""

    password_environment: str | None = None
    password_secret: str | None = None

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password_environment is not None and self.password_secret is not None:
            raise ValueError("give one of password_environment and password_secret")
        return self

    def password_source(self, environ: Mapping[str, str], secrets: Mapping[str, str]) -> Callable[[], str] | None:
        """Tells the password as it is now, or raises ``ConfigurationError``; None if there is none to tell."""
        if self.password_secret is not None:
            return partial(_value, "password_secret", self.password_secret, secrets)
        if self.password_environment is not None:
            return partial(_value, "password_environment", self.password_environment, environ)
        return None


class DatabaseScope(DatabaseConfig, _Guarded):
    """One database of one module.

    The module reaches what the server lets this user reach; of SQLite, its file. A user that may do more than that is
    refused unless ``trusted``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    password: None = None
    trusted: bool = False
    access: Literal["proxied", "direct"] = "proxied"
    """``direct``: the module is told the whole URL, password included, and reaches the database itself."""
    url_environment: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """The variable in which the module finds the URL: ``lent+…`` where it is proxied."""
    limits: DatabaseLimits = DatabaseLimits()

    @model_validator(mode="after")
    def _direct_is_told(self) -> Self:
        if self.access == "direct" and self.url_environment is None:
            raise ValueError("with access direct, say in url_environment where the module finds the URL")
        if self.access == "direct" and self.password_secret is not None:
            raise ValueError("a module with direct access reads its password once: give it in password_environment")
        return self

    @model_validator(mode="after")
    def _room_beside_transactions(self) -> Self:
        """A statement that stands alone must find a connection while all transactions are open."""
        if self.db_type != "sqlite" and self.limits.transactions >= self.pool.max_connections:
            raise ValueError("limits.transactions must be smaller than pool.max_connections")
        return self

    def placed(self, folder: Path | None) -> DatabaseScope:
        """With the path of a SQLite file from there."""
        if self.db_type != "sqlite" or folder is None or self.database == ":memory:":
            return self
        return self.model_copy(update={"database": str(folder / self.database)})

    def config(self) -> DatabaseConfig:
        """Without a password."""
        return DatabaseConfig(**self.model_dump(include=set(DatabaseConfig.model_fields)))


class CacheLimits(BaseModel):
    """``value_bytes`` of one value, ``keys`` and ``bytes`` of all the values of one operation, and how many
    ``operations`` of the module are done at a time; more wait.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    connections: Some = 16
    operations: Some = 64
    value_bytes: Bytes = 1024 * 1024
    keys: Some = 1000
    bytes: Bytes = 8 * 1024 * 1024


class CacheScope(CacheConfig, _Guarded):
    """One cache of one module, in a namespace that is the module's own unless ``namespace`` names one to share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    password: None = None
    limits: CacheLimits = CacheLimits()

    def config(self, module_id: str, name: str) -> CacheConfig:
        """Without a password."""
        given = self.model_dump(include=set(CacheConfig.model_fields), exclude={"namespace"})
        return CacheConfig(**given, namespace=self.namespace or f"{module_id}/{name}")


def _value(key: str, name: str, values: Mapping[str, str]) -> str:
    if name not in values:
        raise ConfigurationError(f"{key} names {name}, which is not set")
    return values[name]
