"""Many consecutive headers at once, column by column: the verdicts of ``check_header``, many times faster. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, compress, count, repeat
from operator import gt, le
from struct import iter_unpack
from typing import TYPE_CHECKING, cast

from sdk.chaintracks.consensus.batch_bits import first_wrong_bits
from sdk.chaintracks.consensus.compact import target_of, work_of
from sdk.chaintracks.consensus.fields import HEADER, number_columns, split
from sdk.chaintracks.consensus.header import BITS, FUTURE, FUTURE_LIMIT, LINKAGE, MEDIAN_TIME, check_header
from sdk.chaintracks.consensus.window import MEDIAN_SPAN, Window
from sdk.core.errors import ParseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sdk.chaintracks.consensus.rules import Rules


_FEW = 4

_number = cast("Callable[[bytes, str], int]", int.from_bytes)


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A rule that could not be checked at heights ``first .. last``, for want of history or of a clock."""

    rule: str
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.rule} of {self.first}" if self.first == self.last else f"{self.rule} of {self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class Batch:
    """Headers from height ``first`` on that hold: their hashes, the sum of their work, the window after them."""

    first: int
    hashes: list[bytes]
    work: int
    window: Window
    unchecked: tuple[Unchecked, ...]

    @property
    def last(self) -> int:
        return self.first + len(self.hashes) - 1


def check_batch(
    rules: Rules, raw: bytes, first: int, parent_hash: bytes | None, window: Window, now: int | None
) -> Batch:
    """Check ``n * 80`` bytes as the headers from height ``first`` on; the arguments are those of ``check_header``.

    Raises ``InvalidHeader`` for the lowest height that breaks a rule, ``ParseError`` for a broken length.
    """
    if len(raw) % HEADER:
        raise ParseError("block headers", f"{len(raw)} bytes are no multiple of {HEADER}", len(raw) // HEADER * HEADER)
    if not raw:
        return Batch(first, [], 0, window, ())
    if len(raw) <= _FEW * HEADER:
        return _check_few(rules, raw, first, parent_hash, window, now)
    hashes = [sha256(sha256(header).digest()).digest() for (header,) in iter_unpack("80s", raw)]
    previous = [each for (each,) in iter_unpack("4x32s44x", raw)]
    versions, times, bits = number_columns(raw)
    columns = Window(window.first, [*window.times, *times], [*window.bits, *bits])
    start = len(window.times)
    bits_unchecked: list[int] = []
    fault = min(
        len(hashes) if first or raw[:HEADER] == rules.genesis else 0,
        _first_without_work(rules, hashes, bits),
        _first_unlinked(hashes, previous, None if first == 0 else parent_hash),
        _first_off_checkpoint(rules, hashes, first),
        first_wrong_bits(rules, columns, start, bits_unchecked) - start,
        _first_too_old(columns, start),
        len(hashes) if now is None else _first_ahead(times, first, now + FUTURE_LIMIT),
        _first_low_version(rules, versions, first),
    )
    if fault < len(hashes):
        before = Window(columns.first, columns.times[: start + fault], columns.bits[: start + fault])
        parent = hashes[fault - 1] if fault else parent_hash
        check_header(rules, raw[fault * HEADER : (fault + 1) * HEADER], first + fault, parent, before, now)
        raise AssertionError(f"the batch refuses height {first + fault}, which holds alone: please report this")
    unchecked = [
        *([Unchecked(LINKAGE, first, first)] if parent_hash is None and first else []),
        *(Unchecked(BITS, columns.first + a, columns.first + b) for a, b in _runs(bits_unchecked)),
        *_medians_unchecked(columns, start),
        *([Unchecked(FUTURE, first, first + len(hashes) - 1)] if now is None else []),
    ]
    work = sum(work_of(each) * times_seen for each, times_seen in Counter(bits).items())
    return Batch(first, hashes, work, columns.cut(), tuple(unchecked))


def _check_few(
    rules: Rules, raw: bytes, first: int, parent_hash: bytes | None, window: Window, now: int | None
) -> Batch:
    """One by one, where looking through the columns would cost more."""
    hashes, work, unchecked = [], 0, []
    for height, header in enumerate(split(raw), first):
        found = check_header(rules, header, height, parent_hash, window, now)
        unchecked += [Unchecked(rule, height, height) for rule in found.unchecked]
        parent_hash, window = found.hash, window.followed_by([found.time], [found.bits])
        hashes.append(found.hash)
        work += found.work
    return Batch(first, hashes, work, window, tuple(join(unchecked)))


def join(unchecked: Iterable[Unchecked]) -> list[Unchecked]:
    """What goes on from one height to the next as one."""
    found: list[Unchecked] = []
    for each in unchecked:
        for at, known in enumerate(found):
            if known.rule == each.rule and known.last + 1 == each.first:
                found[at] = Unchecked(known.rule, known.first, each.last)
                break
        else:
            found.append(each)
    return found


def _first_true(found: Iterable[object], otherwise: int) -> int:
    return next(compress(count(), found), otherwise)


def _first_without_work(rules: Rules, hashes: list[bytes], bits: list[int]) -> int:
    distinct = {each: target_of(each) for each in set(bits)}
    unfit = [each for each, target in distinct.items() if not 0 < target <= rules.pow_limit]
    targets = map(distinct.__getitem__, bits)
    fault = len(hashes)
    if not all(map(le, map(_number, hashes, repeat("little")), targets)):
        targets = map(distinct.__getitem__, bits)
        fault = _first_true(map(gt, map(_number, hashes, repeat("little")), targets), fault)
    if not rules.forbidden.isdisjoint(hashes):
        fault = min(fault, _first_true(map(rules.forbidden.__contains__, hashes), fault))
    return min([fault, *map(bits.index, unfit)])


def _first_unlinked(hashes: list[bytes], previous: list[bytes], parent_hash: bytes | None) -> int:
    if parent_hash is not None and previous[0] != parent_hash:
        return 0
    if hashes[:-1] == previous[1:]:
        return len(hashes)
    return next(at for at in range(1, len(hashes)) if previous[at] != hashes[at - 1])


def _first_off_checkpoint(rules: Rules, hashes: list[bytes], first: int) -> int:
    within = (height - first for height in sorted(rules.checkpoints) if first <= height < first + len(hashes))
    return next((at for at in within if hashes[at] != rules.checkpoints[first + at]), len(hashes))


def _first_too_old(columns: Window, start: int) -> int:
    """A time after every earlier one is after any median of them; only the others are looked at closely."""
    times = columns.times
    latest = list(accumulate(times, max))
    suspects = compress(range(1, len(times)), map(le, times[1:], latest))
    known = MEDIAN_SPAN if columns.first else 0
    for at in suspects:
        if at >= max(start, known) and times[at] <= columns.median_time(columns.first + at - 1):
            return at - start
    return len(times) - start


def _medians_unchecked(columns: Window, start: int) -> Iterable[Unchecked]:
    last = min(MEDIAN_SPAN, len(columns.times)) - 1
    if columns.first and start <= last:
        yield Unchecked(MEDIAN_TIME, columns.first + start, columns.first + last)


def _first_ahead(times: list[int], first: int, latest: int) -> int:
    exempt = 1 if first == 0 else 0  # genesis
    return exempt + _first_true(map(gt, times[exempt:], repeat(latest)), len(times) - exempt)


def _first_low_version(rules: Rules, versions: list[int], first: int) -> int:
    """Minima rise with height, so only a run with something below its highest minimum is looked at closely."""
    if min(versions) >= rules.minimum_version(first + len(versions) - 1):
        return len(versions)
    low = (first + at > 0 and version < rules.minimum_version(first + at) for at, version in enumerate(versions))
    return _first_true(low, len(versions))


def _runs(positions: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Ascending positions as (first, last) of each unbroken run."""
    begin = 0
    for at in range(1, len(positions) + 1):
        if at == len(positions) or positions[at] != positions[at - 1] + 1:
            yield positions[begin], positions[at - 1]
            begin = at
