"""Small interfaces used by two or more components. They are satisfied structurally; nobody inherits them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from datetime import datetime


class Clock(Protocol):
    """The time, as an aware UTC datetime."""

    def __call__(self) -> datetime: ...


class Entropy(Protocol):
    """``size`` unpredictable bytes."""

    def __call__(self, size: int, /) -> bytes: ...


@runtime_checkable
class ChainTracker(Protocol):
    """Says which merkle roots the best chain holds.

    Both raise ``ServiceUnavailable`` when they cannot tell; ``False`` is a verdict (R52).
    """

    async def is_valid_root_for_height(self, root: str, height: int) -> bool:
        """Whether the block at ``height`` of the best chain has merkle root ``root`` (display hex)."""
        ...

    async def current_height(self) -> int: ...
