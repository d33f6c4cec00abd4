"""Where a process keeps its buried headers when no folder was named.

A folder has one writer. A second process over the same database takes the next folder (``…-2``), and copies what the
others have instead of asking the network again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sdk.chaintracks.consensus.fields import HEADER, header_hash
from sdk.chaintracks.store.commit_record import CommitRecord
from sdk.chaintracks.store.files import FileBulk, FolderTaken
from sdk.chaintracks.store.flat import hashes_of
from sdk.chaintracks.store.segments import PER_FILE, segment_name
from sdk.core.errors import ConfigurationError
from sdk.service.database.database import parse_url
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from pathlib import Path

_MOST: Final = 32
"""Processes of one machine over one database, each with its folder."""
_STEP: Final = 8192

log = get_logger(__name__)


def beside(database_url: str, chain: str, here: Path) -> Path:
    """``x-headers`` for ``sqlite:///x.sqlite``; for a database server ``chaintracks-<chain>-headers`` in ``here``."""
    url = parse_url(database_url)
    if url.drivername == "sqlite" and url.database:
        path = here / url.database
        return path.with_name(f"{path.stem}-headers")
    return here / f"chaintracks-{chain}-headers"


def open_first_free(folder: Path, chain: str) -> FileBulk:
    """The headers of the first of ``folder``, ``folder-2``, … that no process writes to.

    Raises ``ConfigurationError`` when none can be used.
    """
    taken: list[Path] = []
    for number in range(1, _MOST + 1):
        place = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            bulk = FileBulk(place, chain)
        except FolderTaken:
            taken.append(place)
            continue
        for each in taken:
            _copy(each, chain, bulk)
        return bulk
    raise ConfigurationError(f"{_MOST} processes have folders of headers like {folder}: name one with --store")


def _copy(folder: Path, chain: str, bulk: FileBulk) -> None:
    """Add the acknowledged headers of a folder that go on from those of ``bulk``; its writer may be at work.

    The files are read, not mapped: a map of a file that its writer cuts off would end this process.
    """
    try:
        record = CommitRecord(folder / "committed", writable=False)
        record.close()
        known = 0 if record.last is None else record.last.headers
        started = bulk.count
        while bulk.count < known:
            number, at = divmod(bulk.count, PER_FILE)
            with (folder / segment_name(chain, number)).open("rb") as file:
                file.seek(at * HEADER)
                raw = file.read(min(_STEP, known - bulk.count, PER_FILE - at) * HEADER)
            raw = raw[: len(raw) // HEADER * HEADER]
            hashes = hashes_of(raw)
            tip = bulk.header(bulk.count - 1)
            if not _follow(bytes(32) if tip is None else header_hash(tip), raw, hashes):
                break
            bulk.append(raw, hashes)
    except OSError as error:  # the sources have the headers too
        log.warning("headers of another process were not copied", folder=str(folder), reason=str(error))
        return
    if bulk.count > started:
        log.info("headers of another process copied", folder=str(folder), headers=bulk.count - started)


def _follow(before: bytes, raw: bytes, hashes: bytes) -> bool:
    """Whether each header names the one before it, and there is one."""
    chained = before + hashes
    return bool(raw) and all(
        raw[at * HEADER + 4 : at * HEADER + 36] == chained[at * 32 : at * 32 + 32] for at in range(len(raw) // HEADER)
    )
