"""Where a process keeps its buried headers when no folder was named.

A folder has one writer. A second process over the same database takes the next folder (``…-2``), and copies what the
others have instead of asking the network again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sdk.chaintracks.consensus.fields import ZERO_HASH, header_hash
from sdk.chaintracks.store.files import FileBulk, FolderTaken
from sdk.chaintracks.store.reading import FolderReader
from sdk.core.errors import ConfigurationError
from sdk.service.database.database import parse_url
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from pathlib import Path

_MOST: Final = 32
"""Processes of one machine over one database, each with its folder."""

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
    """Add the acknowledged headers of a folder that go on from those of ``bulk``; its writer may be at work."""
    started = bulk.count
    tip = bulk.header(started - 1)
    try:
        for each in FolderReader(folder, chain).stretches(started, ZERO_HASH if tip is None else header_hash(tip)):
            bulk.append(each.raw, each.hashes)
    except OSError as error:  # the sources have the headers too
        log.warning("headers of another process were not copied", folder=str(folder), reason=str(error))
    if bulk.count > started:
        log.info("headers of another process copied", folder=str(folder), headers=bulk.count - started)
