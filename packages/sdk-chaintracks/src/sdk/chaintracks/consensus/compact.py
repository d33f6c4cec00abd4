"""Targets and work of ``bits``, cached: a chain has few distinct ones (spec/consensus.md §2.1, §2.2)."""

from __future__ import annotations

from functools import lru_cache

from sdk.core.header import decode_target

_ALL = 1 << 256


@lru_cache(maxsize=1 << 16)
def target_of(bits: int) -> int:
    """The target, or 0 when ``bits`` encodes none (negative, overflowing or zero)."""
    size = bits >> 24
    if 3 <= size <= 32 and not bits & 0x0080_0000:  # neither negative nor overflowing: no need to look closely
        return (bits & 0x007F_FFFF) << 8 * (size - 3)
    return decode_target(bits) or 0


@lru_cache(maxsize=1 << 16)
def work_of(bits: int) -> int:
    """Expected hashes to meet the target; 0 when ``bits`` encodes none."""
    target = target_of(bits)
    return _ALL // (target + 1) if target else 0
