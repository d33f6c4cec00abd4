"""What a source of headers offers; found by the entry-point group ``sdk.chaintracks.sources``."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class SourceTip(NamedTuple):
    """What a source says is the best block; ``hash`` in wire order."""

    height: int
    hash: bytes


class HeaderSource(Protocol):
    """Raises ``SourceUnavailable`` when it cannot tell, and for answers that make no sense."""

    name: str

    async def tip(self) -> SourceTip: ...

    async def headers(self, first: int, last: int) -> bytes:
        """The 80-byte headers of its best chain at ``first .. last``, all of them."""
        ...

    async def close(self) -> None: ...
