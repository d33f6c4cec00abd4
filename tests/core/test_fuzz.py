"""A sample of what ``scripts/soak fuzz_core`` does for hours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.core_targets import targets
from support.fuzzing import fuzz, try_once

if TYPE_CHECKING:
    from support.fuzzing import Target


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_parsers_refuse_or_give_back(target: Target) -> None:
    assert all(try_once(target, seed) for seed in target.seeds)
    tried, parsed = fuzz(target, 1, count=1500)
    assert tried == 1500
    assert parsed > 0
