"""Writes a chain of headers as a folder that header CDNs serve, or as one file."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import orjson

from sdk.chaintracks.consensus.compact import work_of
from sdk.chaintracks.consensus.fields import HEADER, display, header_hash, number_columns
from sdk.chaintracks.store.index_entry import index_entry
from sdk.chaintracks.store.segments import PER_FILE, sync_folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sdk.chaintracks.store.reading import Stretch

_NEW: Final = ".new"


@dataclass(frozen=True, slots=True)
class Exported:
    """``tip`` in display hex; ``written`` counts the files that were not there already."""

    first: int
    count: int
    tip: str
    written: int

    @property
    def last(self) -> int:
        return self.first + self.count - 1


async def export_folder(
    chain: str,
    headers: AsyncIterator[Stretch],
    folder: Path,
    *,
    last: int | None = None,
    per_file: int = PER_FILE,
    url: str = "",
) -> Exported:
    """``<chain>Net_<i>.headers`` and their index (spec/wallet-stack.md §6.1), from height 0 to ``last``.

    Each file takes its name when it is whole, the index last; files that are there and right are left alone. ``url`` is
    where the folder will be served. Raises ``OSError``.
    """
    _make(folder)
    files: list[dict[str, Any]] = []
    written = 0
    held = bytearray()
    work = count = 0
    tip = ""

    def flush(size: int) -> None:
        nonlocal work, count, written, tip
        raw = bytes(held[:size])
        del held[:size]
        described = _described(chain, len(files), raw, count, work, url)
        work, tip = int(described["lastChainWork"], 16), described["lastHash"]
        count += len(raw) // HEADER
        files.append(described)
        written += _replace(folder / described["fileName"], raw)

    async for each in headers:
        taken = len(each.raw) if last is None else max(0, last + 1 - count - len(held) // HEADER) * HEADER
        held += each.raw[:taken]
        while len(held) >= per_file * HEADER:
            flush(per_file * HEADER)
        if taken < len(each.raw):
            break
    if held:
        flush(len(held))
    name = f"{chain}NetBlockHeaders.json"
    index = {"rootFolder": url, "jsonFilename": name, "headersPerFile": per_file, "files": files}
    written += _replace(folder / name, orjson.dumps(index))
    return Exported(0, count, tip, written)


async def export_file(
    headers: AsyncIterator[Stretch], path: Path, *, first: int = 0, last: int | None = None
) -> Exported:
    """The 80-byte headers from ``first`` to ``last``; the file takes its name when it is whole, and none is made where
    there are none. Raises ``OSError``."""
    fresh = path.with_name(path.name + _NEW)
    at = count = 0
    tip = b""
    with fresh.open("wb") as file:
        async for each in headers:
            start = max(0, first - at) * HEADER
            stop = len(each.raw) if last is None else max(0, last + 1 - at) * HEADER
            part = each.raw[start:stop]
            file.write(part)
            tip = part[-HEADER:] or tip
            count += len(part) // HEADER
            at += len(each.raw) // HEADER
            if last is not None and at > last:
                break
        file.flush()
        os.fsync(file.fileno())
    if not count:
        fresh.unlink()
        return Exported(first, 0, "", 0)
    fresh.replace(path)
    sync_folder(path.parent)
    return Exported(first, count, display(header_hash(tip)), 1)


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)


def _described(chain: str, number: int, raw: bytes, first: int, work_before: int, url: str) -> dict[str, Any]:
    _, _, bits = number_columns(raw)
    work = work_before + sum(work_of(each) * times for each, times in Counter(bits).items())
    entry = index_entry(chain, number, raw, sha256(raw).digest(), first, (work_before, work))
    return {**entry, "sourceUrl": url}


def _replace(path: Path, data: bytes) -> bool:
    """Whether it had to be written."""
    if path.exists() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return False
    fresh = path.with_name(path.name + _NEW)
    with fresh.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)
    return True
