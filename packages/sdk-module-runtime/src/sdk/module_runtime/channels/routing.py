"""Which channel takes a message: a decision of this end alone, nothing of it is on the wire (spec §1.14).

What a message says of itself picks a rule of ``TABLE``, and the rule an order of channels; what is known of the
channels may change that order, but never leaves one out. Beside the reference: nobody takes turns (an urgent message
would go the slow way every second time), though what is not urgent leaves a crowded channel; of decisions only the rule
is kept, since how the channels do changes meanwhile; there are no weights to learn, for they never decided anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Self, get_args

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sdk.module_runtime.channels.preferences import ChannelKind

MessagePriority = Literal["critical", "high", "normal", "low", "bulk"]
MessageType = Literal["control", "data", "file_transfer", "stream", "real_time", "batch"]
PRIORITIES: Final[frozenset[str]] = frozenset(get_args(MessagePriority))
TYPES: Final[frozenset[str]] = frozenset(get_args(MessageType))

SMALL: Final = 1024
"""Bytes, below which a message of this machine is small."""
TINY: Final = 100
HUGE: Final = 1024 * 1024
CROWD: Final = 32
"""Requests that wait on a channel beyond those of another, from which what is not urgent takes the other."""
REST: Final = 30.0
LONGEST_REST: Final = 300.0


@dataclass(frozen=True, slots=True)
class Traits:
    """What a message says of itself. ``size`` in bytes, ``timeout`` in seconds.

    ``retryable``: whether it may be asked again when nobody knows if it was done. Only who says so may be.
    """

    priority: MessagePriority = "normal"
    type: MessageType = "data"
    size: int = 0
    timeout: float | None = None
    retryable: bool = False

    @classmethod
    def of(cls, size: int, properties: Mapping[str, Any] | None = None) -> Self:
        """From ``metadata.properties``: ``priority``, ``type``, ``timeout`` (ms), ``retryable``.

        A value that is none of ours is another's to read. Without properties the type follows from the size. Every
        question is answered, so that ``requires_ack`` changes nothing.
        """
        if properties is None:
            kind: MessageType = "file_transfer" if size > HUGE else "control" if size < TINY else "data"
            return cls(type=kind, size=size)
        priority, type_, timeout = (properties.get(name) for name in ("priority", "type", "timeout"))
        is_limit = isinstance(timeout, int) and not isinstance(timeout, bool) and timeout > 0
        return cls(
            priority=priority if isinstance(priority, str) and priority in PRIORITIES else "normal",  # type: ignore[arg-type]
            type=type_ if isinstance(type_, str) and type_ in TYPES else "data",  # type: ignore[arg-type]
            size=size,
            timeout=timeout / 1000 if is_limit else None,  # type: ignore[operator]
            retryable=properties.get("retryable") is True,
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """Applies where each of ``priority``, ``type``, ``is_local`` and ``below`` (bytes) that it names is met.

    ``within``: a channel is put back whose 95th percentile is over these seconds. ``shares``: whether a crowded channel
    gives way to the next.
    """

    name: str
    order: tuple[ChannelKind, ...]
    within: float | None = None
    shares: bool = False
    priority: MessagePriority | None = None
    type: MessageType | None = None
    is_local: bool | None = None
    below: int | None = None


TABLE: Final = (
    Rule("urgent", ("ipc", "tcp"), within=0.010, priority="critical"),
    Rule("real time", ("ipc", "tcp"), within=0.005, priority="high", type="real_time"),
    Rule("bulk", ("tcp", "ipc"), priority="bulk"),
    Rule("file", ("tcp", "ipc"), type="file_transfer"),
    Rule("local and small", ("ipc", "tcp"), shares=True, is_local=True, below=SMALL),
    Rule("local", ("tcp", "ipc"), shares=True, is_local=True),
    Rule("remote", ("tcp", "ipc"), is_local=False),
)
"""The first that applies."""


def is_local(target: str) -> bool:
    """Whether ``target``, a module or an address, is on this machine."""
    return target.startswith(("127.0.0.1", "localhost", "unix://")) or ":" not in target


def rule_of(traits: Traits, local: bool) -> Rule:
    return _rule_of(traits.priority, traits.type, traits.size < SMALL, local)


@cache  # at most 5 priorities × 6 types × 2 × 2
def _rule_of(priority: MessagePriority, type_: MessageType, is_small: bool, local: bool) -> Rule:
    size = 0 if is_small else SMALL
    return next(
        rule
        for rule in TABLE
        if rule.priority in (None, priority)
        and rule.type in (None, type_)
        and rule.is_local in (None, local)
        and (rule.below is None or size < rule.below)
    )


class Health(NamedTuple):
    """``p95``: seconds, None while nothing recent is known. ``rests``: it was silent through a request."""

    p95: float | None = None
    in_flight: int = 0
    rests: bool = False


@dataclass(frozen=True, slots=True)
class Ranking:
    """``well`` in the order to try them; ``resting`` only where nothing else is left."""

    well: tuple[ChannelKind, ...]
    resting: tuple[ChannelKind, ...]


def rank(rule: Rule, order: Sequence[ChannelKind], health: Mapping[ChannelKind, Health]) -> Ranking:
    """Each of ``order``, which is the rule's as far as the channels are open, exactly once."""
    well = [kind for kind in order if not health[kind].rests]
    if (within := rule.within) is not None:
        well.sort(key=lambda kind: (health[kind].p95 or 0.0) > within)  # stable: the rule's order within each
    elif rule.shares and len(well) > 1 and health[well[0]].in_flight >= health[well[1]].in_flight + CROWD:
        well[:2] = well[1], well[0]
    return Ranking(tuple(well), tuple(kind for kind in order if health[kind].rests))


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

    def rests(self, kind: ChannelKind, now: float) -> bool:
        return kind in self._of and now < self._of[kind].rests_until

    def rank(self, open_: Collection[ChannelKind], now: float) -> Ranking:
        """``open_`` by preference."""
        resting = tuple(kind for kind in open_ if self.rests(kind, now))
        return Ranking(tuple(kind for kind in open_ if kind not in resting), resting)
