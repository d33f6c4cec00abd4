"""What a source of headers offers; found by the entry-point group ``sdk.chaintracks.sources``."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence


class SourceTip(NamedTuple):
    """What a source says is the best block; ``hash`` in wire order."""

    height: int
    hash: bytes


class HeaderSource(Protocol):
    """Raises ``SourceUnavailable`` when it cannot tell, and for answers that make no sense.

    ``at_once`` is how many headers are worth asking for at a time. ``live`` says that its tip is the network's, so that
    it may confirm ours; a folder of files may be days behind.
    """

    name: str
    at_once: int
    live: bool

    async def tip(self) -> SourceTip: ...

    async def headers(self, first: int, last: int) -> bytes:
        """The 80-byte headers of its best chain at ``first .. last``, all of them."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class Announcing(Protocol):
    """A source that tells of new blocks by itself."""

    async def news(self) -> None:
        """Return when there may be something new."""
        ...


@runtime_checkable
class RunSource(Protocol):
    """A source that is asked what follows the blocks we have, as nodes are. Raises ``SourceUnavailable``."""

    name: str

    @property
    def claimed(self) -> int | None:
        """Height of the best block it says it has."""
        ...

    async def after(self, locator: Sequence[bytes], height: int) -> bytes:
        """Up to 2000 headers of 80 bytes after the first hash of ``locator`` that it knows; empty when there are none.

        ``locator`` goes from the last header we have or were given (at ``height``) back to the first block, in wire
        order.
        """
        ...

    @property
    def giver(self) -> Hashable:
        """Who gave the last answer."""
        ...

    async def refuse(self, giver: Hashable, reason: str) -> None:
        """What ``giver`` gave breaks the rules: ask someone else from now on."""
        ...

    async def news(self) -> None:
        """Return when there may be something new."""
        ...

    async def close(self) -> None: ...
