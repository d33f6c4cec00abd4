"""What a store holds, told without opening it for writing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sdk.chaintracks.consensus.fields import display, header_time
from sdk.chaintracks.store.reading import FolderReader

if TYPE_CHECKING:
    from pathlib import Path

    from sdk.chaintracks.store.ports import Live, State


async def store_info(live: Live, folder: Path | None, chain: str) -> dict[str, object]:
    """JSON values: tip with height, hash, time and work; what lies in files and in rows. Raises ``StorageError``,
    ``StoreCorrupted`` or ``ConfigurationError`` for those of another network."""
    state, span = await live.state(), await live.span()
    if state is not None:
        state.require(chain)
    files: dict[str, object] | None = None
    reader = None
    if folder is not None:
        try:
            reader = FolderReader(folder, chain)
            files = {"folder": str(folder), "headers": reader.count}
        except OSError as error:
            files = {"folder": str(folder), "error": error.strerror}
    return {
        "network": chain,
        "tip": None if state is None else await _tip(state, live, reader),
        "events": 0 if state is None else state.event,
        "rows": None if span is None else {"from": span[0], "to": span[1], "database": live.name},
        "files": files,
    }


async def _tip(state: State, live: Live, reader: FolderReader | None) -> dict[str, object]:
    found: dict[str, object] = {"hash": display(state.tip), "height": None, "time": None, "work": f"{state.work:064x}"}
    row = await live.find(state.tip)
    height, raw = (None, b"") if row is None else (row.height, row.raw)
    if row is None and reader is not None and reader.tip == state.tip:
        height, raw = reader.count - 1, reader.header(reader.count - 1)
    if height is None:
        return found
    return {**found, "height": height, "time": datetime.fromtimestamp(header_time(raw), UTC).isoformat()}
