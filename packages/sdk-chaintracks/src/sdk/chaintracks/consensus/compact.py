"""Targets and work of ``bits``, cached: a chain has few distinct ones (spec/consensus.md §2.1, §2.2)."""

from __future__ import annotations

from functools import lru_cache

from sdk.core.header import decode_target, work_of_bits


@lru_cache(maxsize=1 << 16)
def target_of(bits: int) -> int:
    """The target, or 0 when ``bits`` encodes none (negative, overflowing or zero)."""
    return decode_target(bits) or 0


@lru_cache(maxsize=1 << 16)
def work_of(bits: int) -> int:
    """Expected hashes to meet the target; 0 when ``bits`` encodes none."""
    return work_of_bits(bits)
