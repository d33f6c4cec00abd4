"""Each rule on chains that are right but for that one rule, mined at an easy limit; bits against brute force.

A corrupted header of the real chain fails its proof of work first, so that no other rule is ever seen to work on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.chaintracks.chain import HeaderChain
from sdk.chaintracks.consensus import Window, check_batch, check_header
from sdk.chaintracks.consensus import header as header_module
from sdk.chaintracks.consensus.fields import header_bits, header_hash, header_time, previous_hash
from sdk.chaintracks.errors import ChaintracksError, InvalidHeader, UnknownParent
from sdk.chaintracks.store.opening import memory_store
from support.mined_chains import (
    DAA,
    EASY,
    LEGACY,
    REGTEST,
    TESTNET,
    History,
    Missing,
    mine,
    mined_chain,
    reference_bits,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.chaintracks.consensus import Rules


def _legacy_steps(height: int) -> int:
    """Fast until the first retarget, then slow enough for emergency adjustments, with times that fall back."""
    if height < 2016:
        return (300, 301, 250, -100, 420)[height % 5]
    return (300, 9000, 9000, 9000, 8000, -500, 9000)[height % 7] if height % 100 > 60 else 400


def _daa_steps(height: int) -> int:
    if height < 2100:
        return _legacy_steps(height) if height < 2016 else 200
    return (500, 900, -300, 800, 1350)[height % 5]


def _test_steps(height: int) -> int:
    if height < 2016:
        return 1300 if height % 40 == 0 else 250
    return (400, 1201, 1200, 300, -50, 3000)[height % 6] if height % 50 < 30 else 200


CHAINS: dict[str, tuple[Rules, Callable[[int], int], int]] = {
    "legacy": (LEGACY, _legacy_steps, 2500),
    "daa": (DAA, _daa_steps, 2500),
    "test": (TESTNET, _test_steps, 2500),
    "regtest": (REGTEST, lambda _: 600, 200),
}


@cache
def chain_of(name: str) -> tuple[bytes, ...]:
    rules, steps, count = CHAINS[name]
    return tuple(mined_chain(rules, steps, count))


def history_of(chain: tuple[bytes, ...], first: int = 0) -> History:
    return History([*map(header_time, chain[first:])], [*map(header_bits, chain[first:])], first)


def window_before(chain: tuple[bytes, ...], height: int) -> Window:
    found = history_of(chain[:height])
    return Window(0, found.times, found.bits)


@pytest.mark.parametrize("name", CHAINS)
def test_right_chains_hold_however_they_are_cut(name: str) -> None:
    rules, _, _ = CHAINS[name]
    chain = chain_of(name)
    random = Random(name)
    for _ in range(3):
        at, parent, window = 0, None, Window(0)
        while at < len(chain):
            count = random.choice((1, 3, 5, 60, 700, 2000))
            batch = check_batch(rules, b"".join(chain[at : at + count]), at, parent, window, 2**32)
            assert batch.unchecked == ()
            parent, window, at = batch.hashes[-1], batch.window, at + count


def test_the_chains_go_through_every_kind_of_adjustment() -> None:
    legacy, daa, test = (history_of(chain_of(name)).bits for name in ("legacy", "daa", "test"))
    assert legacy[2015] == EASY != legacy[2016]
    changes = [height for height in range(2017, len(legacy)) if legacy[height] != legacy[height - 1]]
    assert len(changes) > 2  # emergencies
    assert len({*daa[2101:]}) > 4  # easy work is a small number, so targets come in steps
    assert {bits == EASY for bits in test[2017:2100]} == {True, False}


@pytest.mark.parametrize("name", CHAINS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_a_partial_window_cannot_judge_is_said_and_nothing_else(name: str, data: st.DataObject) -> None:
    rules, _, _ = CHAINS[name]
    chain = chain_of(name)
    first = data.draw(st.integers(1, len(chain) - 2), "first")
    count = data.draw(st.integers(1, min(len(chain) - first, 2300)), "count")
    history = history_of(chain, first)
    lacking = []
    for height in range(first, first + count):
        try:
            reference_bits(rules, history, height, header_time(chain[height]))
        except Missing:
            lacking.append(height)
    batch = check_batch(rules, b"".join(chain[first : first + count]), first, None, Window(first), None)
    said = {rule: set[int]() for rule in ("linkage", "required bits", "median time past", "future limit")}
    for each in batch.unchecked:
        said[each.rule] |= set(range(each.first, each.last + 1))
    assert said["required bits"] == set(lacking)
    assert said["linkage"] == {first}
    medians = {height for height in range(first, first + count) if max(0, height - 11) < first}
    assert said["median time past"] == medians
    assert said["future limit"] == set(range(first, first + count))


@dataclass(frozen=True)
class Violation:
    """``make(chain, height)`` gives the header that breaks ``rule`` at ``height``, and the rules it breaks it under."""

    rule: str
    chain: str
    height: int
    make: Callable[[tuple[bytes, ...], int, Rules], tuple[bytes, Rules]]


def _other(**changes: int) -> Callable[[tuple[bytes, ...], int, Rules], tuple[bytes, Rules]]:
    def make(chain: tuple[bytes, ...], height: int, rules: Rules) -> tuple[bytes, Rules]:
        time, bits = header_time(chain[height]), header_bits(chain[height])
        values = {"time": time, "bits": bits, **changes}
        return mine(header_hash(chain[height - 1]), root=99, **values), rules  # type: ignore[arg-type]

    return make


def _without_work(chain: tuple[bytes, ...], height: int, rules: Rules) -> tuple[bytes, Rules]:
    time, bits = header_time(chain[height]), header_bits(chain[height])
    return mine(header_hash(chain[height - 1]), time, bits, works=False), rules


def _elsewhere(chain: tuple[bytes, ...], height: int, rules: Rules) -> tuple[bytes, Rules]:
    return mine(bytes(range(32)), header_time(chain[height]), header_bits(chain[height])), rules


def _bits(change: Callable[[int, int], int]) -> Callable[[tuple[bytes, ...], int, Rules], tuple[bytes, Rules]]:
    """``change(required, bits of the parent)``."""

    def make(chain: tuple[bytes, ...], height: int, rules: Rules) -> tuple[bytes, Rules]:
        wrong = change(header_bits(chain[height]), header_bits(chain[height - 1]))
        assert wrong != header_bits(chain[height])
        return mine(header_hash(chain[height - 1]), header_time(chain[height]), wrong, root=99), rules

    return make


def _time(offset: int) -> Callable[[tuple[bytes, ...], int, Rules], tuple[bytes, Rules]]:
    """Seconds after the median of the eleven before."""

    def make(chain: tuple[bytes, ...], height: int, rules: Rules) -> tuple[bytes, Rules]:
        history = history_of(chain)
        time = history.median(height - 1) + offset
        bits = reference_bits(rules, history, height, time)
        return mine(header_hash(chain[height - 1]), time, bits, root=99), rules

    return make


def _ahead(seconds: int) -> Callable[[tuple[bytes, ...], int, Rules], tuple[bytes, Rules]]:
    def make(chain: tuple[bytes, ...], height: int, rules: Rules) -> tuple[bytes, Rules]:
        time = NOW + seconds
        bits = reference_bits(rules, history_of(chain), height, time)
        return mine(header_hash(chain[height - 1]), time, bits, root=99), rules

    return make


def _checkpoint(chain: tuple[bytes, ...], height: int, rules: Rules) -> tuple[bytes, Rules]:
    header, _ = _other()(chain, height, rules)
    return header, replace(rules, checkpoints={height: header_hash(chain[height])})


def _foreign(chain: tuple[bytes, ...], height: int, rules: Rules) -> tuple[bytes, Rules]:
    header, _ = _other()(chain, height, rules)
    return header, replace(rules, forbidden=frozenset({header_hash(header)}))


NOW = 1_700_000_000


def emergency() -> int:
    """A height at which the emergency adjustment applies."""
    bits = history_of(chain_of("legacy")).bits
    return next(height for height in range(2017, 2500) if bits[height] != bits[height - 1])


def _late(name: str, start: int, late: bool) -> int:
    """A height of the test network whose bits are those of a late block, or whose parent's were."""
    found = history_of(chain_of(name))
    heights = range(start, 2500)
    if late:
        return next(
            each
            for each in heights
            if found.bits[each] == EASY and found.times[each] > found.times[each - 1] + 1200 and each % 2016
        )
    return next(each for each in heights if found.bits[each] != EASY and found.bits[each - 1] == EASY)


def violations() -> list[Violation]:
    grow = lambda required, _: required - 1  # noqa: E731
    keep = lambda _, before: before  # noqa: E731
    limit = lambda *_: EASY  # noqa: E731
    calm = next(each for each in range(2030, 2500) if each % 100 < 50)
    return [
        *(Violation("high-hash", name, height, _without_work) for name, height in (("regtest", 9), ("daa", 2300))),
        Violation("high-hash", "legacy", 100, _bits(lambda *_: 0x2100FFFF)),  # easier than the limit
        Violation("high-hash", "legacy", 100, _bits(lambda *_: 0x20800001)),  # negative
        *(Violation("prev-blk-not-found", name, 150, _elsewhere) for name in CHAINS),
        Violation("bad-diffbits", "regtest", 60, _bits(grow)),
        Violation("bad-diffbits", "legacy", 2016, _bits(keep)),  # no retarget
        Violation("bad-diffbits", "legacy", 2016, _bits(grow)),
        Violation("bad-diffbits", "legacy", 2015, _bits(grow)),
        Violation("bad-diffbits", "legacy", 2016, _bits(limit)),
        Violation("bad-diffbits", "legacy", emergency(), _bits(keep)),
        Violation("bad-diffbits", "legacy", emergency(), _bits(grow)),
        Violation("bad-diffbits", "legacy", calm, _bits(lambda bits, _: bits + (bits & 0xFFFFFF) // 4)),  # no emergency
        Violation("bad-diffbits", "daa", 2101, _bits(keep)),
        Violation("bad-diffbits", "daa", 2101, _bits(grow)),
        Violation("bad-diffbits", "daa", 2400, _bits(grow)),
        Violation("bad-diffbits", "daa", 2400, _bits(lambda bits, _: bits + 1)),
        Violation("bad-diffbits", "test", _late("test", 2017, late=True), _bits(lambda *_: 0x1F7FFFFF)),
        Violation("bad-diffbits", "test", _late("test", 2017, late=False), _bits(limit)),  # not late
        Violation("bad-diffbits", "test", _late("test", 2110, late=True), _bits(lambda *_: 0x1F7FFFFF)),
        *(Violation("time-too-old", name, 190, _time(0)) for name in CHAINS),
        Violation("time-too-old", "regtest", 5, _time(0)),  # fewer than eleven before it
        Violation("time-too-old", "daa", 2400, _time(-1)),
        *(Violation("time-too-new", name, 195, _ahead(7201)) for name in CHAINS),
        *(
            Violation("bad-version", name, height, _other(version=version))
            for name in CHAINS
            for height, version in ((30, 1), (39, 1), (40, 2), (49, 2), (50, 3), (60, 3), (60, -1), (60, -(1 << 31)))
        ),
        Violation("checkpoint mismatch", "legacy", 77, _checkpoint),
        Violation("foreign-fork", "legacy", 77, _foreign),
    ]


def faults(rules: Rules, raw: bytes, height: int, parent: bytes, window: Window) -> set[str]:
    """Every rule that the header breaks, not the first alone."""
    time, bits, unsaid = header_time(raw), header_bits(raw), list[str]()
    found = [
        header_module._work_fault(rules, header_hash(raw), bits),
        header_module._place_fault(rules, raw, header_hash(raw), height, parent, unsaid),
        header_module._bits_fault(rules, height, time, bits, window, unsaid),
        header_module._past_fault(height, time, window, unsaid),
        header_module._future_fault(time, NOW, unsaid),
        header_module._version_fault(rules, raw, height),
    ]
    assert not unsaid
    return {each[0] for each in found if each is not None}


@pytest.mark.parametrize("violation", violations(), ids=lambda each: f"{each.rule}-{each.chain}-{each.height}")
async def test_a_header_that_breaks_one_rule_is_refused_for_it_alone_and_where_it_is(violation: Violation) -> None:
    base, chain, height = CHAINS[violation.chain][0], chain_of(violation.chain), violation.height
    bad, rules = violation.make(chain, height, base)
    window, parent = window_before(chain, height), header_hash(chain[height - 1])
    broken = faults(rules, bad, height, parent, window)
    assert violation.rule in broken
    if header_bits(bad) == header_bits(chain[height]) or violation.rule != "high-hash":  # bits that are none are two
        assert broken == {violation.rule}
    run = b"".join([*chain[:height], bad])
    for check in (
        lambda: check_header(rules, bad, height, parent, window, NOW),
        lambda: check_batch(rules, bad, height, parent, window, NOW),
        lambda: check_batch(rules, run, 0, None, Window(0), NOW),
        lambda: check_batch(
            rules, run[max(0, height - 9) * 80 :], max(0, height - 9), previous_hash(chain[max(0, height - 9)]),
            window_before(chain, max(0, height - 9)), NOW,
        ),
    ):  # fmt: skip
        with pytest.raises(InvalidHeader) as caught:
            check()
        assert (caught.value.rule, caught.value.height) == (violation.rule, height)
    headers = await HeaderChain.open(rules, memory_store(), clock=lambda: datetime.fromtimestamp(NOW, UTC))
    await headers.extend(b"".join(chain[1:height]))
    with pytest.raises(ChaintracksError) as refused:
        await headers.extend(bad)
    if violation.rule == "prev-blk-not-found":
        assert isinstance(refused.value, UnknownParent)
    else:
        assert isinstance(refused.value, InvalidHeader)
        assert refused.value.rule == violation.rule
    assert headers.tip.hash == header_hash(chain[height - 1])
    await headers.extend(
        b"".join(chain[height : height + 3]) if violation.rule != "checkpoint mismatch" else chain[height]
    )
    assert headers.tip.height >= height
    await headers.close()


@pytest.mark.parametrize(
    ("name", "height", "make"),
    [
        ("regtest", 190, _time(1)),
        ("daa", 2400, _time(1)),
        ("legacy", 195, _ahead(7200)),
        ("legacy", 29, _other(version=1)),
        ("legacy", 39, _other(version=2)),
        ("legacy", 49, _other(version=3)),
        ("legacy", 60, _other(version=0x7FFFFFFF)),
    ],
)
def test_the_last_value_that_a_rule_allows_is_allowed(
    name: str, height: int, make: Callable[[tuple[bytes, ...], int, Rules], tuple[bytes, Rules]]
) -> None:
    chain = chain_of(name)
    header, rules = make(chain, height, CHAINS[name][0])
    window, parent = window_before(chain, height), header_hash(chain[height - 1])
    assert not faults(rules, header, height, parent, window)
    check_batch(rules, b"".join([*chain[:height], header]), 0, None, Window(0), NOW)


@pytest.mark.parametrize("name", ["legacy", "daa", "test"])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_pace_of_blocks_gives_the_bits_of_brute_force(name: str, seed: int) -> None:
    """From a random height on, blocks at random intervals: batches demand what the reference does."""
    rules = CHAINS[name][0]
    chain = [*chain_of(name)[: Random(seed).choice((2010, 2095, 2300))]]
    random = Random(seed)
    history = history_of(tuple(chain))
    pace = random.choice((60, 600, 1200) if name == "test" else (60, 600, 1300, 8000))
    for height in range(len(chain), len(chain) + 60):
        step = int(random.uniform(-0.5, 2.0) * pace)
        time = max(history.times[-1] + step, history.median(height - 1) + 1)
        bits = reference_bits(rules, history, height, time)
        if bits >> 24 < 0x1F:  # harder than is worth mining
            break
        chain.append(mine(header_hash(chain[-1]), time, bits, root=height))
        history.times.append(time)
        history.bits.append(bits)
    first = len(chain) - 60
    window = window_before(tuple(chain), first)
    check_batch(rules, b"".join(chain[first:]), first, header_hash(chain[first - 1]), window, 2**32)
    parent = header_hash(chain[first - 1])
    for height in range(first, len(chain)):
        checked = check_header(rules, chain[height], height, parent, window, None)
        parent, window = checked.hash, window.followed_by([checked.time], [checked.bits])
