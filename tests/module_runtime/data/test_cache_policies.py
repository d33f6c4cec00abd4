"""What a full cache in memory evicts, against a model that looks at everything; and what its statistics say."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from sdk.module_runtime.data.cache.errors import CacheFull
from sdk.module_runtime.data.cache.memory import MOST_LOCKS, OVERHEAD, MemoryBackend

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")
KEYS = st.sampled_from([f"k{number}" for number in range(6)])
SIZES = st.integers(0, 60)
LIMIT = 4 * (OVERHEAD + 2) + 100


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """What a coroutine answers that never waits."""
    with pytest.raises(StopIteration) as ended:
        work.send(None)
    return ended.value.value  # type: ignore[no-any-return]


@dataclass
class Held:
    size: int
    end: float | None
    added: int
    used: int
    count: int = 1


@dataclass
class Model:
    """Finds victims by looking at every entry."""

    policy: str
    now: float = 1000.0
    tick: int = 0
    held: dict[str, Held] = field(default_factory=dict)

    def expire(self) -> None:
        self.held = {key: each for key, each in self.held.items() if each.end is None or self.now < each.end}

    def read(self, key: str) -> bool:
        self.expire()
        self.tick += 1
        if key in self.held:
            self.held[key].used = self.tick
            self.held[key].count += 1
        return key in self.held

    def write(self, key: str, length: int, ttl: float | None) -> bool:
        """Whether there was room."""
        self.expire()
        self.tick += 1
        size = len(key) + length + OVERHEAD
        old = self.held.get(key)
        others = {name: each for name, each in self.held.items() if name != key}
        while sum(each.size for each in others.values()) + size > LIMIT:
            if self.policy == "None":
                return False
            rank = {
                "FIFO": lambda item: item[1].added,
                "LRU": lambda item: item[1].used,
                "MRU": lambda item: -item[1].used,
                "LFU": lambda item: (item[1].count, item[1].used),
            }[self.policy]
            del others[min(others.items(), key=rank)[0]]
        self.held = others
        end = None if ttl is None else self.now + ttl
        self.held[key] = Held(size, end, self.tick, self.tick, 1 if old is None else old.count + 1)
        return True


class Eviction(RuleBasedStateMachine):
    policy: str

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(self.policy)
        self.cache = MemoryBackend(self.policy, LIMIT, lambda: self.model.now, lambda: self.model.now)

    @rule(key=KEYS, length=SIZES, ttl=st.one_of(st.none(), st.integers(1, 10)))
    def set(self, key: str, length: int, ttl: int | None) -> None:
        if self.model.write(key, length, ttl):
            at_once(self.cache.set(key, b"x" * length, ttl))
        else:
            with pytest.raises(CacheFull):
                at_once(self.cache.set(key, b"x" * length, ttl))

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        assert (at_once(self.cache.get(key)) is not None) == self.model.read(key)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        self.model.expire()
        assert at_once(self.cache.delete(key)) == (self.model.held.pop(key, None) is not None)

    @precondition(lambda self: self.model.held)
    @rule(seconds=st.integers(1, 5))
    def pass_time(self, seconds: int) -> None:
        self.model.now += seconds

    @invariant()
    def holds_the_same_within_the_limit(self) -> None:
        self.model.expire()
        usage = at_once(self.cache.usage())
        assert usage.item_count == len(self.model.held)
        assert usage.memory_used_bytes == sum(each.size for each in self.model.held.values()) <= LIMIT
        assert {key for key in self.model.held if at_once(self.cache.exists(key))} == set(self.model.held)


@pytest.mark.parametrize("policy", ["LRU", "FIFO", "MRU", "LFU", "None"])
def test_eviction_follows_the_policy(policy: str) -> None:
    machine = type(f"Eviction{policy}", (Eviction,), {"policy": policy})
    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=40, deadline=None))


@pytest.mark.parametrize("policy", ["LRU", "FIFO", "MRU", "LFU"])
def test_a_full_cache_costs_no_more_than_a_small_one(policy: str) -> None:
    """Eviction takes constant time: with two hundred times as many entries, less than forty times as long."""

    async def cost(entries: int) -> float:
        cache = MemoryBackend(policy, entries * (OVERHEAD + 8), time.monotonic, time.time)
        for number in range(entries):
            await cache.set(f"{number:08}", b"", 3000)
            await cache.get(f"{number // 2:08}")
        begun = time.process_time()
        for number in range(2000):
            await cache.set(f"n{number:07}", b"", 3000)
        return time.process_time() - begun

    small, large = at_once(cost(500)), at_once(cost(100_000))
    assert large < 40 * small


@given(st.lists(st.tuples(KEYS, st.integers(1, 5)), max_size=200))
def test_what_is_remembered_of_ends_stays_bounded(sets: list[tuple[str, int]]) -> None:
    cache = MemoryBackend("LRU", 10_000, lambda: 0.0, lambda: 0.0)
    for key, ttl in sets:
        at_once(cache.set(key, b"", ttl))
    assert len(cache._ends) <= 2 * len(cache._entries) + 65


async def test_a_flood_of_locks_is_refused_until_some_end() -> None:
    now = 0.0
    cache = MemoryBackend("LRU", 1000, lambda: now, lambda: now)
    for number in range(MOST_LOCKS):
        assert await cache.lock(f"{number}", 10)
    with pytest.raises(CacheFull, match="locks are held"):
        await cache.lock("one more", 10)
    now = 11.0
    assert await cache.lock("one more", 10)
