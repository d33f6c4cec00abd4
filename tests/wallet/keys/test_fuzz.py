"""A bounded run of the fuzz targets that ``scripts/soak`` runs for hours."""

from __future__ import annotations

import pytest

from support.fuzzing import fuzz, try_once
from support.wallet_targets import targets

TARGETS = {target.name: target for target in targets()}


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_is_refused_with_a_typed_error(name: str) -> None:
    target = TARGETS[name]
    tried, _ = fuzz(target, seed=1, count=400)
    assert tried == 400


@pytest.mark.parametrize("name", [name for name in TARGETS if not name.startswith("machine")])
def test_the_seeds_are_good(name: str) -> None:
    target = TARGETS[name]
    assert all(try_once(target, seed) for seed in target.seeds)
