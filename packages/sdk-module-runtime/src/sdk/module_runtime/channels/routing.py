"""Which channel takes a message: a decision of this end alone, nothing of it is on the wire (spec §1.14)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.module_runtime.channels.preferences import ChannelKind

REST: Final = 30.0
LONGEST_REST: Final = 300.0


@dataclass(frozen=True, slots=True)
class Ranking:
    """``well`` in the order to try them; ``resting`` only where nothing else is left."""

    well: tuple[ChannelKind, ...]
    resting: tuple[ChannelKind, ...]


@dataclass(slots=True)
class _Condition:
    rests_until: float = 0.0
    silences: int = 0


@dataclass(slots=True)
class Conditions:
    """How the channels have done. Times are seconds of whoever calls."""

    _of: dict[ChannelKind, _Condition] = field(default_factory=dict)

    def silent(self, kind: ChannelKind, now: float) -> None:
        """A request had no answer, and nothing else was heard meanwhile: it rests, each time for twice as long."""
        condition = self._of.setdefault(kind, _Condition())
        if now >= condition.rests_until:
            condition.rests_until = now + min(LONGEST_REST, REST * 2**condition.silences)
            condition.silences += 1

    @property
    def are_good(self) -> bool:
        """No channel has anything to be forgiven."""
        return not self._of

    def heard(self, kind: ChannelKind) -> None:
        """It answers: whatever it did before is forgotten."""
        if self._of:
            self._of.pop(kind, None)

    def rank(self, open_: Sequence[ChannelKind], now: float, *, is_bulk: bool = False) -> Ranking:
        """``open_`` by preference. Bulk leaves the first free for what is short, if there is another."""
        well = [kind for kind in open_ if kind not in self._of or self._of[kind].rests_until <= now]
        resting = tuple(kind for kind in open_ if kind not in well)
        if is_bulk and len(well) > 1:
            well.append(well.pop(0))
        return Ranking(tuple(well), resting)
