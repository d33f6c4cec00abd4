"""Mutated frames: refused with a typed error or understood, and quickly either way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.fuzzing import fuzz, try_once
from support.wire_targets import targets

if TYPE_CHECKING:
    from support.fuzzing import Target


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_frames_are_refused_or_understood(target: Target) -> None:
    assert all(try_once(target, seed) for seed in target.seeds)
    count = 6000 if target.name == "wire request" else 400
    tried, parsed = fuzz(target, 1, count=count)
    assert tried == count
    assert parsed > 0
