"""Whether one header may follow its parent (spec/consensus.md §2.8). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdk.chaintracks.consensus.compact import target_of, work_of
from sdk.chaintracks.consensus.difficulty import required_bits
from sdk.chaintracks.consensus.fields import (
    display,
    header_bits,
    header_hash,
    header_time,
    header_version,
    previous_hash,
)
from sdk.chaintracks.consensus.window import MEDIAN_SPAN, MissingHistory
from sdk.chaintracks.errors import InvalidHeader

if TYPE_CHECKING:
    from sdk.chaintracks.consensus.rules import Rules
    from sdk.chaintracks.consensus.window import Window

FUTURE_LIMIT = 7200
"""Seconds a header may be ahead of the clock."""

LINKAGE, BITS, MEDIAN_TIME, FUTURE = "linkage", "required bits", "median time past", "future limit"
"""Rules that may go unchecked, for want of history or of a clock."""

Fault = tuple[str, str]
"""The rule broken and how."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A header that holds. ``unchecked`` names the rules whose history was missing."""

    hash: bytes
    time: int
    bits: int
    work: int
    unchecked: tuple[str, ...] = ()


def check_header(
    rules: Rules, raw: bytes, height: int, parent_hash: bytes | None, window: Window, now: int | None
) -> Checked:
    """Check 80 bytes as the header at ``height``.

    ``parent_hash`` is None when the parent is not known, ``window`` ends at the parent, ``now`` is Unix seconds or
    None. Raises ``InvalidHeader`` with the first rule broken, in the node's order.
    """
    hash_, bits, time = header_hash(raw), header_bits(raw), header_time(raw)
    unchecked: list[str] = []
    fault = _work_fault(rules, hash_, bits)
    if fault is None and height == 0:
        fault = None if raw == rules.genesis else ("bad-genesis", f"{rules.chain} starts with another header")
    elif fault is None:
        fault = (
            _place_fault(rules, raw, hash_, height, parent_hash, unchecked)
            or _bits_fault(rules, height, time, bits, window, unchecked)
            or _past_fault(height, time, window, unchecked)
            or _future_fault(time, now, unchecked)
            or _version_fault(rules, raw, height)
        )
    if fault is not None:
        raise InvalidHeader(fault[0], height, display(hash_), fault[1])
    return Checked(hash_, time, bits, work_of(bits), tuple(unchecked))


def _work_fault(rules: Rules, hash_: bytes, bits: int) -> Fault | None:
    if hash_ in rules.forbidden:
        return "foreign-fork", "this block belongs to another chain"
    target = target_of(bits)
    if target == 0:
        return "high-hash", f"bits {bits:08x} encode no target"
    if target > rules.pow_limit:
        return "high-hash", f"bits {bits:08x} are easier than the network's limit {rules.pow_limit_bits:08x}"
    if int.from_bytes(hash_, "little") > target:
        return "high-hash", f"the hash is above the target of bits {bits:08x}"
    return None


def _place_fault(
    rules: Rules, raw: bytes, hash_: bytes, height: int, parent_hash: bytes | None, unchecked: list[str]
) -> Fault | None:
    if parent_hash is None:
        unchecked.append(LINKAGE)
    elif previous_hash(raw) != parent_hash:
        return "prev-blk-not-found", f"it names {display(previous_hash(raw))}, the one before is {display(parent_hash)}"
    expected = rules.checkpoints.get(height)
    if expected is not None and expected != hash_:
        return "checkpoint mismatch", f"the block at this height is {display(expected)}"
    return None


def _bits_fault(rules: Rules, height: int, time: int, bits: int, window: Window, unchecked: list[str]) -> Fault | None:
    if not rules.check_bits:
        unchecked.append(BITS)
        return None
    try:
        required = required_bits(rules, height, time, window)
    except MissingHistory:
        unchecked.append(BITS)
        return None
    return None if bits == required else ("bad-diffbits", f"bits are {bits:08x}, {required:08x} is required")


def _past_fault(height: int, time: int, window: Window, unchecked: list[str]) -> Fault | None:
    try:
        median = window.median_time(height - 1)
    except MissingHistory:
        unchecked.append(MEDIAN_TIME)
        return None
    if time > median:
        return None
    return "time-too-old", f"time {time} is not after {median}, the median of the {MEDIAN_SPAN} before it"


def _future_fault(time: int, now: int | None, unchecked: list[str]) -> Fault | None:
    if now is None:
        unchecked.append(FUTURE)
        return None
    if time <= now + FUTURE_LIMIT:
        return None
    return "time-too-new", f"time {time} is over two hours after {now}, if the clock here is right"


def _version_fault(rules: Rules, raw: bytes, height: int) -> Fault | None:
    least, version = rules.minimum_version(height), header_version(raw)
    return None if version >= least else ("bad-version", f"version {version:#x}, at least {least} is needed")
