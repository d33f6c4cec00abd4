"""Takes batches of headers into a store, in a child that may be killed. ``python -m support.header_runner``.

``folder`` holds ``h.sqlite`` and the batches, ``*.batch``; ``store`` is the address of the store.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sdk.chaintracks.chain import HeaderChain
from sdk.chaintracks.store.opening import StoreContext, open_store
from sdk.service.database import Database, sqlite
from support.forked import main

PRELOADED = (sqlite,)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _batches(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.batch"))]


async def work(given: dict[str, Any]) -> None:
    folder = Path(given["folder"])
    async with await Database.open(f"sqlite:///{folder}/h.sqlite") as database:
        store = open_store(given["store"], StoreContext("mock", database))
        chain = await HeaderChain.open("mock", store, clock=lambda: NOW, keep=20)
        for batch in _batches(folder):
            await chain.extend(batch)


if __name__ == "__main__":
    main(work)
