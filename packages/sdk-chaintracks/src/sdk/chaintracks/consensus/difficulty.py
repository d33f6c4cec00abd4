"""The ``bits`` a header must carry, per network (spec/consensus.md §2.3-2.6). Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sdk.chaintracks.consensus.compact import target_of, work_of
from sdk.core.header import encode_compact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.chaintracks.consensus.rules import Rules
    from sdk.chaintracks.consensus.window import Window

INTERVAL = 2016
DAA_SPAN = 144
EDA_BLOCKS = 6
EDA_SECONDS = 12 * 3600
_ALL = 1 << 256


def required_bits(rules: Rules, height: int, time: int, window: Window) -> int:
    """The compact target of the header at ``height`` (> 0) with ``time``, after the headers of ``window``.

    Raises ``MissingHistory`` when the window does not reach back far enough.
    """
    parent = height - 1
    if rules.no_retargeting:
        return window.bits[window.index(parent)]
    if uses_daa(rules, parent):
        return _daa_bits(rules, parent, time, window)
    if height % INTERVAL == 0:
        return _retarget_bits(rules, height, window)
    if rules.allow_min_difficulty:
        return _min_difficulty_bits(rules, parent, time, window)
    return _emergency_bits(rules, parent, window)


def uses_daa(rules: Rules, parent: int) -> bool:
    return parent >= rules.daa_height and parent >= INTERVAL


def _is_late(rules: Rules, parent_time: int, time: int) -> bool:
    return rules.allow_min_difficulty and time > parent_time + 2 * rules.target_spacing


def _retarget_bits(rules: Rules, height: int, window: Window) -> int:
    first = window.times[window.index(height - INTERVAL)]
    parent = window.index(height - 1)
    span = window.times[parent] - first
    span = min(max(span, rules.target_timespan // 4), rules.target_timespan * 4)
    target = target_of(window.bits[parent]) * span // rules.target_timespan
    return encode_compact(min(target, rules.pow_limit))


def _min_difficulty_bits(rules: Rules, parent: int, time: int, window: Window) -> int:
    if _is_late(rules, window.times[window.index(parent)], time):
        return rules.pow_limit_bits
    while True:
        bits = window.bits[window.index(parent)]
        if parent == 0 or parent % INTERVAL == 0 or bits != rules.pow_limit_bits:
            return bits
        parent -= 1


def _emergency_bits(rules: Rules, parent: int, window: Window) -> int:
    bits = window.bits[window.index(parent)]
    if bits == rules.pow_limit_bits:
        return bits
    if parent < EDA_BLOCKS:
        return bits
    if window.median_time(parent) - window.median_time(parent - EDA_BLOCKS) < EDA_SECONDS:
        return bits
    target = target_of(bits)
    return encode_compact(min(target + (target >> 2), rules.pow_limit))


def suitable(times: Sequence[int], last: int) -> int:
    """Index of the median-time one of ``last-2 .. last``; ties fall as the node's sorting network makes them."""
    a, b, c = last - 2, last - 1, last
    if times[a] > times[c]:
        a, c = c, a
    if times[a] > times[b]:
        a, b = b, a
    if times[b] > times[c]:
        b, c = c, b
    return b


def _daa_bits(rules: Rules, parent: int, time: int, window: Window) -> int:
    times, bits = window.times, window.bits
    if _is_late(rules, times[window.index(parent)], time):
        return rules.pow_limit_bits
    first = suitable(times, window.index(parent - DAA_SPAN - 2) + 2)
    last = suitable(times, window.index(parent))
    work = sum(map(work_of, bits[first + 1 : last + 1]))
    return daa_target_bits(rules, work, times[last] - times[first])


def daa_target_bits(rules: Rules, work: int, seconds: int) -> int:
    """Compact target after ``work`` done in ``seconds`` between the two suitable blocks."""
    return _daa_target_bits(rules.target_spacing, rules.pow_limit, work, seconds)


@lru_cache(maxsize=1 << 12)
def _daa_target_bits(spacing: int, limit: int, work: int, seconds: int) -> int:
    if not DAA_SPAN // 2 * spacing <= seconds <= DAA_SPAN * 2 * spacing:
        seconds = DAA_SPAN // 2 * spacing if seconds < DAA_SPAN * spacing else DAA_SPAN * 2 * spacing
    per_block = work * spacing // seconds
    target = (_ALL - per_block) // per_block
    return encode_compact(target if target < limit else limit)
