"""Required bits for a run of headers, without asking ``required_bits`` where the answer is plain. Pure.

Works on columns that hold the window followed by the run; ``start`` is the position of the run's first header and
``base`` the height of position 0. Each function gives the first position whose bits are wrong (or the columns'
length), and appends to ``unchecked`` the positions whose history is missing.
"""

from __future__ import annotations

from itertools import accumulate, compress
from operator import lt, ne, sub
from typing import TYPE_CHECKING

from sdk.chaintracks.consensus.compact import work_of
from sdk.chaintracks.consensus.difficulty import (
    DAA_SPAN,
    EDA_BLOCKS,
    EDA_SECONDS,
    INTERVAL,
    daa_target_bits,
    required_bits,
    suitable,
)
from sdk.chaintracks.consensus.window import MEDIAN_SPAN, MissingHistory

_FLOAT_SAFE = 1 << 60
"""Work from which on rounding it to a whole number is far below what a mantissa shows."""
_DOUBT = 1e-6
_SURE = 1 - _DOUBT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sdk.chaintracks.consensus.rules import Rules
    from sdk.chaintracks.consensus.window import Window


def first_wrong_bits(rules: Rules, columns: Window, start: int, unchecked: list[int]) -> int:
    """Position of the first header from ``start`` on whose bits are not those required, or the number of columns."""
    end = len(columns.bits)
    if not rules.check_bits:
        unchecked.extend(range(start, end))
        return end
    if columns.first + start == 0:
        start += 1  # genesis is exempt
    if rules.no_retargeting:
        return _first_changed(columns, start, unchecked)
    switch = max(rules.daa_height, INTERVAL) + 1 - columns.first
    switch = min(max(switch, start), end)
    legacy = _first_wrong_legacy(rules, columns, start, switch, unchecked)
    return legacy if legacy < switch else _first_wrong_daa(rules, columns, switch, unchecked)


def _first_changed(columns: Window, start: int, unchecked: list[int]) -> int:
    bits = columns.bits
    if start == 0:
        unchecked.append(0)
        start = 1
    if bits[start - 1 :].count(bits[start - 1]) == len(bits) - start + 1:
        return len(bits)
    return next(each for each in range(start, len(bits)) if bits[each] != bits[each - 1])


def _first_wrong(rules: Rules, columns: Window, positions: Iterable[int], end: int, unchecked: list[int]) -> int:
    """The plain way: one by one."""
    times, bits, base = columns.times, columns.bits, columns.first
    for each in positions:
        try:
            if bits[each] != required_bits(rules, base + each, times[each], columns):
                return each
        except MissingHistory:
            unchecked.append(each)
    return end


def _first_wrong_legacy(rules: Rules, columns: Window, start: int, end: int, unchecked: list[int]) -> int:
    if start >= end:
        return end
    if rules.allow_min_difficulty:
        return _first_wrong_min_difficulty(rules, columns, start, end, unchecked)
    return _first_wrong(rules, columns, _unplain(rules, columns, start, end), end, unchecked)


def _unplain(rules: Rules, columns: Window, start: int, end: int) -> Iterable[int]:
    """Positions at which the bits are not plainly those of the parent."""
    times, bits = columns.times, columns.bits
    edge = MEDIAN_SPAN + EDA_BLOCKS + 1  # before it the parent has medians that need more than the columns hold
    found = {*range(start, min(edge, end)), *range(start + -(columns.first + start) % INTERVAL, end, INTERVAL)}
    begin = max(start, edge)
    if begin < end:
        found.update(compress(range(begin, end), map(ne, bits[begin:end], bits[begin - 1 : end - 1])))
        shift = begin - 1 - EDA_BLOCKS
        medians = _medians(times, shift, end - 1)
        slow = map(EDA_SECONDS.__le__, map(sub, medians[EDA_BLOCKS:], medians))
        found.update(at for at in compress(range(begin, end), slow) if bits[at] != rules.pow_limit_bits)
    return sorted(found)


def _medians(times: Sequence[int], first: int, end: int) -> list[int]:
    """Of the eleven times up to each position from ``first`` (at least 10) on; times mostly rise, so few are sorted."""
    begin = first - MEDIAN_SPAN + 1
    medians = [*times[first - MEDIAN_SPAN // 2 : end - MEDIAN_SPAN // 2]]
    falls = compress(range(begin + 1, end), map(lt, times[begin + 1 : end], times[begin : end - 1]))
    for at in {each for fall in falls for each in range(max(fall, first), min(fall + MEDIAN_SPAN - 1, end))}:
        medians[at - first] = sorted(times[at - MEDIAN_SPAN + 1 : at + 1])[MEDIAN_SPAN // 2]
    return medians


def _first_wrong_min_difficulty(rules: Rules, columns: Window, start: int, end: int, unchecked: list[int]) -> int:
    times, bits, base, limit = columns.times, columns.bits, columns.first, rules.pow_limit_bits
    late = 2 * rules.target_spacing
    real = _last_real_bits(rules, columns, start - 1)
    for at in range(start, end):
        if (base + at) % INTERVAL == 0 or real is None:
            if _first_wrong(rules, columns, (at,), end, unchecked) != end:
                return at
        elif bits[at] != (limit if times[at] > times[at - 1] + late else real):
            return at
        if (base + at) % INTERVAL == 0 or bits[at] != limit:
            real = bits[at]
    return end


def _last_real_bits(rules: Rules, columns: Window, at: int) -> int | None:
    """Bits of the last header up to ``at`` that is no min-difficulty exception; None when it is before the columns."""
    while at >= 0:
        height = columns.first + at
        if height % INTERVAL == 0 or columns.bits[at] != rules.pow_limit_bits:
            return columns.bits[at]
        at -= 1
    return None


def _first_wrong_daa(rules: Rules, columns: Window, start: int, unchecked: list[int]) -> int:
    times, bits = columns.times, columns.bits
    end = len(bits)
    reach = DAA_SPAN + 3  # headers before the one checked
    known = min(max(start, reach), end)
    fault = _first_wrong(rules, columns, range(start, known), known, unchecked)
    if fault < known or known == end:
        return fault
    total = list(accumulate(map(work_of, bits)))
    chosen = [
        at - 1 if times[at - 2] <= times[at - 1] <= times[at] else suitable(times, at)
        for at in range(known - reach + 2, end)
    ]
    shift = known - reach + 2
    late = 2 * rules.target_spacing if rules.allow_min_difficulty else None
    shortest, longest = DAA_SPAN // 2 * rules.target_spacing, DAA_SPAN * 2 * rules.target_spacing
    scale = 2.0**256 / rules.target_spacing
    units = _units(rules)
    for at in range(known, end):
        if late is not None and times[at] > times[at - 1] + late:
            if bits[at] != rules.pow_limit_bits:
                return at
            continue
        first, last = chosen[at - 1 - DAA_SPAN - shift], chosen[at - 1 - shift]
        work, seconds = total[last] - total[first], times[last] - times[first]
        span = shortest if seconds < shortest else longest if seconds > longest else seconds
        mantissa = bits[at] & 0x00FF_FFFF
        found = scale * span / work * units[bits[at] >> 24]
        if mantissa + _DOUBT < found < mantissa + _SURE and 0x8000 <= mantissa < 0x80_0000 and work > _FLOAT_SAFE:
            continue  # beyond doubt, and many times quicker than in whole numbers
        if bits[at] != daa_target_bits(rules, work, seconds):
            return at
    return end


def _units(rules: Rules) -> list[float]:
    """By the size that ``bits`` begin with, what turns a target into a mantissa; 0 near the network's limit."""
    limit = rules.pow_limit_bits >> 24
    return [256.0 ** (3 - size) if 4 <= size < limit else 0.0 for size in range(256)]
