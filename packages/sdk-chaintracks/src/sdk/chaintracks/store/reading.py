"""What a store holds, read without writing a byte of it, whether or not a service has it open.

Files are read, not mapped: a map of a file that its writer cuts off would end this process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sdk.chaintracks.consensus.fields import HEADER, ZERO_HASH
from sdk.chaintracks.errors import StoreMoved
from sdk.chaintracks.store.commit_record import CommitRecord
from sdk.chaintracks.store.flat import hashes_of
from sdk.chaintracks.store.segments import PER_FILE, refuse_another_network, segment_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from sdk.chaintracks.store.ports import Live

_STEP: Final = 8192


class Stretch(NamedTuple):
    """Headers that follow one another, and their hashes, 32 bytes each."""

    raw: bytes
    hashes: bytes


class FolderReader:
    """Acknowledged headers of a folder that another process may write to.

    Raises ``OSError``, and ``ConfigurationError`` for a folder of another network.
    """

    def __init__(self, folder: Path, chain: str) -> None:
        refuse_another_network(folder, chain)
        self._folder, self._chain = folder, chain
        record = CommitRecord(folder / "committed", writable=False)
        record.close()
        self.count = 0 if record.last is None else record.last.headers
        self.tip = ZERO_HASH if record.last is None else record.last.tip

    def header(self, height: int) -> bytes:
        """One of those below ``count``."""
        return self._read(height, 1)

    def stretches(self, first: int, before: bytes, end: int | None = None) -> Iterator[Stretch]:
        """Headers from ``first`` on, the first after ``before``; stops before ``end``, or where they do not go on."""
        end = self.count if end is None else min(self.count, end)
        while first < end:
            raw = self._read(first, min(_STEP, end - first))
            hashes = hashes_of(raw)
            if not _follow(before, raw, hashes):
                return
            yield Stretch(raw, hashes)
            before = hashes[-32:]
            first += len(raw) // HEADER

    def _read(self, first: int, count: int) -> bytes:
        """Fewer at the end of a file, none where there is no file any more."""
        number, at = divmod(first, PER_FILE)
        try:
            with (self._folder / segment_name(self._chain, number)).open("rb") as file:
                file.seek(at * HEADER)
                raw = file.read(min(count, PER_FILE - at) * HEADER)
        except FileNotFoundError:
            return b""
        return raw[: len(raw) // HEADER * HEADER]


async def stored_chain(live: Live, folder: Path | None, chain: str) -> AsyncIterator[Stretch]:
    """The whole chain, from height 0 to the tip: buried headers from ``folder``, the others from the database.

    Raises ``StoreMoved`` when a service changes it meanwhile, or when the files are behind the database; ``OSError``.
    """
    state, span = await live.state(), await live.span()
    if state is None or span is None:
        return
    state.require(chain)
    before, at, found = ZERO_HASH, 0, False
    if folder is not None:
        reader = FolderReader(folder, chain)
        for each in reader.stretches(0, before, await _agreed(reader, live, span)):
            yield each
            before, at, found = each.hashes[-32:], at + len(each.hashes) // 32, found or state.tip in each.hashes
    while at <= span[1] and before != state.tip:
        rows = await live.active(at, min(at + _STEP - 1, span[1]))
        part = Stretch(b"".join(each.raw for each in rows), b"".join(each.hash for each in rows))
        if not _follow(before, *part):
            break
        yield part
        before, at, found = rows[-1].hash, at + len(rows), found or state.tip in part.hashes
    if not found:
        raise StoreMoved(
            f"the stored headers go on above height {at - 1}, but were changed while they were read, or are not in "
            f"{folder or 'the database'}: try again, or let the service run until it is current"
        )


async def _agreed(reader: FolderReader, live: Live, span: tuple[int, int]) -> int:
    """Headers of the files up to the first that differs from a row, which knows better (see ``loading``)."""
    high, agreed = min(reader.count - 1, span[1]), reader.count
    while high >= span[0]:
        low = max(span[0], high - _STEP + 1)
        for row in reversed(await live.active(low, high)):
            if reader.header(row.height) == row.raw:
                return agreed
            agreed = row.height
        high = low - 1
    return agreed


def _follow(before: bytes, raw: bytes, hashes: bytes) -> bool:
    """Whether each header names the one before it, and there is one."""
    chained = before + hashes
    return bool(raw) and all(
        raw[at * HEADER + 4 : at * HEADER + 36] == chained[at * 32 : at * 32 + 32] for at in range(len(raw) // HEADER)
    )
