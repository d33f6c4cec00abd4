"""A database for one module on each server: with a user of its own, whose rights end there."""

from __future__ import annotations

import secrets
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from sdk.module_runtime.data.database import DatabaseConfig, PoolConfig
from support.requirements import server_url

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KINDS = ("sqlite", "postgres", "mysql")
BINARY = {"sqlite": "BLOB", "postgres": "BYTEA", "mysql": "LONGBLOB"}
POOL = PoolConfig(max_connections=4)


@contextmanager
def module_database(kind: str, folder: Path, pool: PoolConfig = POOL) -> Iterator[DatabaseConfig]:
    if kind == "sqlite":
        folder.mkdir(exist_ok=True)
        yield DatabaseConfig(db_type="sqlite", database=str(folder / "module.db"), pool=pool)
        return
    url = sa.make_url(server_url({"postgres": "postgresql", "mysql": "mariadb"}[kind]))
    name, password = f"m_{uuid.uuid4().hex[:12]}", secrets.token_hex(8)
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    make, drop, database = {
        "postgres": (
            [f"CREATE ROLE {name} LOGIN PASSWORD '{password}'", f"CREATE SCHEMA {name} AUTHORIZATION {name}"],
            [f"DROP SCHEMA {name} CASCADE", f"DROP OWNED BY {name}", f"DROP ROLE {name}"],
            url.database,
        ),
        "mysql": (
            [
                f"CREATE DATABASE {name}",
                f"CREATE USER '{name}'@'%%' IDENTIFIED BY '{password}'",
                f"GRANT ALL ON `{name}`.* TO '{name}'@'%%'",
            ],
            [f"DROP DATABASE {name}", f"DROP USER '{name}'@'%%'"],
            name,
        ),
    }[kind]
    with engine.connect() as connection:
        for statement in make:
            connection.exec_driver_sql(statement)
        try:
            yield DatabaseConfig(
                db_type=kind,  # type: ignore[arg-type]
                host=url.host,
                port=url.port,
                database=database or "",
                username=name,
                password=password,
                pool=pool,
            )
        finally:
            for statement in drop:
                connection.exec_driver_sql(statement)
    engine.dispose()
