"""Mutation fuzzing of parsers: bounded in the tests, for hours in ``scripts/soak``.

A target's parser must refuse with a typed error or give back exactly what it read, quickly, whatever the bytes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from sdk.core.errors import SdkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SLOWEST = 2.0
"""Processor seconds a parser may take for one input (of at most some 100 KiB)."""

EDGES = [bytes.fromhex(text) for text in (
    "00", "01", "02", "03", "7f", "80", "fc", "fd", "fe", "ff", "fd0000", "fdfc00", "fdfd00", "fdffff", "fe00000000",
    "feffff0000", "fe00000100", "feffffffff", "ff0000000000000000", "ffffffffff00000000", "ffffffffffffffffff",
    "0000000000ef", "01010101", "0100beef", "0200beef", "ffffffff", "00000000",
)]  # fmt: skip


@dataclass(frozen=True)
class Target:
    """``parse`` may raise ``SdkError``; ``write`` is its inverse, or ``None`` where text or order may change."""

    name: str
    parse: Callable[[bytes], Any]
    write: Callable[[Any], bytes] | None
    seeds: Sequence[bytes]
    look: Callable[[Any], object] | None = None
    """Reads all of the value, so that what is taken apart late is taken apart."""


def mutate(random: Random, seeds: Sequence[bytes]) -> bytes:
    """One of ``seeds`` with a few random changes, or two of them spliced."""
    data = bytearray(random.choice(seeds))
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        _change(random, data, seeds)
    return bytes(data[:200_000])


def _change(random: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    at = random.randrange(len(data) + 1)
    kind = random.randrange(8)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << random.randrange(8)
    elif kind == 1 and at < len(data):
        data[at] = random.randrange(256)
    elif kind == 2:
        edge = random.choice(EDGES)
        data[at : at + len(edge)] = edge
    elif kind == 3:
        data[at:at] = random.choice(EDGES)
    elif kind == 4:
        del data[at : at + random.choice((1, 2, 4, 32, 36))]
    elif kind == 5:
        data[at:at] = data[at : at + random.choice((1, 2, 4, 32, 40, 1000))]
    elif kind == 6:
        del data[at:]
    else:
        other = random.choice(seeds)
        data[at:] = other[random.randrange(len(other) + 1) :]


def try_once(target: Target, data: bytes) -> bool:
    """Whether it parsed. Raises ``AssertionError`` with the input if the parser misbehaves."""
    started = time.process_time()
    try:
        value = target.parse(data)
    except SdkError:
        parsed = False
    except Exception as error:
        raise AssertionError(f"{target.name}: {error!r} for {data.hex()}") from error
    else:
        parsed = True
        assert target.write is None or target.write(value) == data, f"{target.name} changed {data.hex()}"
        if target.look is not None:
            try:
                target.look(value)
            except Exception as error:
                raise AssertionError(f"{target.name}: looking at {data.hex()}: {error!r}") from error
    spent = time.process_time() - started
    assert spent < SLOWEST, f"{target.name} took {spent:.1f} s for {data.hex()}"
    return parsed


def inputs(target: Target, seed: int) -> Iterator[bytes]:
    """Endless mutations; those that parsed become seeds, so that the search goes deeper."""
    random, seeds = Random(seed), list(target.seeds)
    while True:
        data = mutate(random, seeds)
        yield data
        if len(seeds) < 500 and random.random() < 0.05 and try_once(target, data):
            seeds.append(data)


def fuzz(target: Target, seed: int, *, count: int | None = None, deadline: float | None = None) -> tuple[int, int]:
    """Inputs tried and inputs that parsed; until ``count``, or ``deadline`` on the monotonic clock."""
    tried = parsed = 0
    for data in inputs(target, seed):
        if (count is not None and tried >= count) or (deadline is not None and time.monotonic() >= deadline):
            break
        tried += 1
        parsed += try_once(target, data)
    return tried, parsed
