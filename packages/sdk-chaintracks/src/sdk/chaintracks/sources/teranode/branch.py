"""The way back from an announced block to one we have, fetched newest first and handed on oldest first."""

from __future__ import annotations

from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Final, Protocol

from sdk.chaintracks.consensus.fields import HEADER, ZERO_HASH, display, header_hash, previous_hash, split
from sdk.chaintracks.errors import SourceLied, SourceUnavailable
from sdk.core.header import BlockHeader

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sdk.chaintracks.sources.teranode.announcement import Announcement

RUN: Final = 2000
"""Headers that are handed on at a time."""
_FAR: Final = "where many are missing, follow another source too, or name a DataHub of your own choice"
_IN_MEMORY: Final = 4 * 1024 * 1024
"""Bytes; more lie in a file that has no name."""


class Pages(Protocol):
    async def headers(self, hub: str, block_hash: bytes) -> bytes: ...


class Branch:
    """Headers that follow one another, from after a block we have to ``tip``. ``close`` it."""

    def __init__(self, source: Announcement) -> None:
        self.author, self.hub, self.tip, self.height = source.author, source.hub, source.hash, source.height
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by close
        self._left = 0
        self.expects = b""

    def append(self, raw: bytes) -> None:
        """One header, the one before the last."""
        self._file.write(raw)
        self._left += 1

    def begin(self, parent: bytes) -> None:
        self.expects = parent

    @property
    def size(self) -> int:
        """Headers that are not handed on yet."""
        return self._left

    def next_run(self) -> bytes:
        """Up to ``RUN`` headers after ``expects``; empty at the end."""
        count = min(RUN, self._left)
        if not count:
            return b""
        self._left -= count
        self._file.seek(self._left * HEADER)
        raw = b"".join(reversed(split(self._file.read(count * HEADER))))
        self.expects = header_hash(raw[-HEADER:])
        return raw

    def close(self) -> None:
        self._file.close()


class Rules(Protocol):
    @property
    def pow_limit(self) -> int: ...

    @property
    def checkpoints(self) -> Mapping[int, bytes]: ...


async def fetch_branch(
    pages: Pages, source: Announcement, known: Collection[bytes], rules: Rules, *, most: int
) -> Branch:
    """Ask the DataHub of ``source`` until a header follows one of ``known``. ``source.height`` negative: not known.

    Every header must have the hash it was asked by, and prove its work. Raises ``SourceUnavailable``, also for a way
    of over ``most`` headers, and ``SourceLied`` that names the hub, or the author where the height it claims
    contradicts a checkpoint.
    """
    branch = Branch(source)
    wanted, height, count = source.hash, source.height, 0
    try:
        while True:
            for raw in split(await pages.headers(source.hub, wanted)):
                _check(raw, wanted, height, source, rules)
                branch.append(raw)
                wanted, height, count = previous_hash(raw), height - 1, count + 1
                if wanted in known:
                    branch.begin(wanted)
                    return branch
                if wanted == ZERO_HASH:
                    raise SourceLied(source.hub, "its chain begins with another block than ours")
                if count >= most:
                    raise SourceUnavailable(source.hub, f"sent {count} headers, none of which follows ours: {_FAR}")
    except OSError as error:
        branch.close()
        raise SourceUnavailable(source.author, f"its headers cannot be kept for a moment: {error}") from error
    except BaseException:
        branch.close()
        raise


def _check(raw: bytes, wanted: bytes, height: int, source: Announcement, rules: Rules) -> None:
    if header_hash(raw) != wanted:
        raise SourceLied(source.hub, f"sent another header than {display(wanted)}")
    if not BlockHeader.from_bytes(raw).meets_target(rules.pow_limit):
        raise SourceLied(source.hub, f"sent {display(wanted)}, which does not prove its work")
    if source.height >= 0 and rules.checkpoints.get(height, wanted) != wanted:
        raise SourceLied(source.author, f"claims height {height} for {display(wanted)}, where a checkpoint stands")
