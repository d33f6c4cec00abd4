"""What errors call a server's database: never with its user or password."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlalchemy as sa


def where(url: sa.URL, default_port: int) -> str:
    if url.drivername.startswith("lent+"):
        return f"the lent database {url.host}"
    return f"the database {url.database or ''} on {url.host or 'localhost'}:{url.port or default_port}"
