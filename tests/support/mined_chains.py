"""Chains mined at an easy limit under the rules of the public networks, and the required bits by brute force.

``reference_bits`` is written from spec/consensus.md §2.3-2.6 alone, in whole numbers over a list of headers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sdk.chaintracks.consensus import Rules
from sdk.chaintracks.consensus.fields import header_hash, pack_header
from sdk.core.chain import MAIN, MOCK, TEST
from sdk.core.header import decode_target, encode_compact, work_of_bits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EASY: Final = 0x207FFFFF
_START: Final = MOCK.genesis.time


class Missing(Exception):
    """A header before the first one was needed."""


@dataclass
class History:
    """Times and bits from height ``first`` on."""

    times: list[int]
    bits: list[int]
    first: int = 0

    def at(self, height: int) -> tuple[int, int]:
        if height < self.first:
            raise Missing
        return self.times[height - self.first], self.bits[height - self.first]

    def median(self, height: int) -> int:
        return sorted(self.at(each)[0] for each in range(max(0, height - 10), height + 1))[min(11, height + 1) // 2]


def reference_bits(rules: Rules, history: History, height: int, time: int) -> int:
    """Raises ``Missing``."""
    parent = height - 1
    limit = rules.pow_limit
    late = rules.allow_min_difficulty and time > history.at(parent)[0] + 1200
    if rules.no_retargeting:
        return history.at(parent)[1]
    if parent >= rules.daa_height and parent >= 2016:
        if late:
            return rules.pow_limit_bits
        last, first = (_middle(history, each) for each in (parent, parent - 144))
        span = history.at(last)[0] - history.at(first)[0]
        span = min(max(span, 72 * 600), 288 * 600)
        work = sum(work_of_bits(history.at(each)[1]) for each in range(first + 1, last + 1)) * 600 // span
        return encode_compact(min((2**256 - work) // work, limit))
    if height % 2016 == 0:
        span = min(max(history.at(parent)[0] - history.at(height - 2016)[0], 302_400), 4_838_400)
        return encode_compact(min(_target(history.at(parent)[1]) * span // 1_209_600, limit))
    if rules.allow_min_difficulty:
        if late:
            return rules.pow_limit_bits
        while parent > 0 and parent % 2016 and history.at(parent)[1] == rules.pow_limit_bits:
            parent -= 1
        return history.at(parent)[1]
    bits = history.at(parent)[1]
    if bits == rules.pow_limit_bits or parent < 6:
        return bits
    if history.median(parent) - history.median(parent - 6) < 12 * 3600:
        return bits
    return encode_compact(min(_target(bits) + _target(bits) // 4, limit))


def _target(bits: int) -> int:
    found = decode_target(bits)
    assert found is not None
    return found


def _middle(history: History, height: int) -> int:
    """The node's three compare-and-swaps over the last three blocks (§2.6)."""
    blocks = [height - 2, height - 1, height]
    for left, right in ((0, 2), (0, 1), (1, 2)):
        if history.at(blocks[left])[0] > history.at(blocks[right])[0]:
            blocks[left], blocks[right] = blocks[right], blocks[left]
    return blocks[1]


def easy(rules: Rules, **changes: object) -> Rules:
    """The rules of a public network from a genesis of our own, at a limit that every second hash meets."""
    base = Rules.of(MOCK)
    plain = {
        "genesis": base.genesis,
        "pow_limit": base.pow_limit,
        "pow_limit_bits": base.pow_limit_bits,
        "checkpoints": {},
        "minimum_work": 0,
        "bip34_height": 30,
        "bip66_height": 40,
        "bip65_height": 50,
    }
    return replace(rules, **{**plain, **changes})  # type: ignore[arg-type]


LEGACY: Final = easy(Rules.of(MAIN), daa_height=10**6)
DAA: Final = easy(Rules.of(MAIN), daa_height=2100)
TESTNET: Final = easy(Rules.of(TEST), daa_height=2100)
REGTEST: Final = easy(Rules.of(MOCK))


def mine(previous: bytes, time: int, bits: int, *, version: int = 4, root: int = 1, works: bool = True) -> bytes:
    """80 bytes whose hash meets the target of ``bits``, if they encode one, or misses it."""
    target = decode_target(bits) or 1 << 256
    for nonce in range(1 << 20):
        raw = pack_header(version, previous, root.to_bytes(32, "little"), time, bits, nonce)
        if (int.from_bytes(header_hash(raw), "little") <= target) is works:
            return raw
    raise AssertionError("no nonce does")


def mined_chain(rules: Rules, steps: Sequence[int] | Callable[[int], int], count: int) -> list[bytes]:
    """``count`` headers after genesis, each ``steps`` seconds after the one before."""
    chain = [rules.genesis]
    history = History([_START], [rules.pow_limit_bits])
    for height in range(1, count + 1):
        step = steps(height) if callable(steps) else steps[(height - 1) % len(steps)]
        time = max(history.times[-1] + step, history.median(height - 1) + 1)
        bits = reference_bits(rules, history, height, time)
        chain.append(mine(header_hash(chain[-1]), time, bits, root=height))
        history.times.append(time)
        history.bits.append(bits)
    return chain
