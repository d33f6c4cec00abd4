"""Damaged transactions, paths and BEEFs before us and @bsv/sdk: the same verdict, or a difference that is explained."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from support.core_targets import family, known_beefs, known_paths
from support.differential import STRICTER, campaign
from support.peers import Peer
from support.requirements import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

SEEDS = {
    "transaction": [each.to_bytes() for each in family()],
    "path": [each.to_bytes() for each in known_paths()[:3]],
    "beef": list(known_beefs()),
}


@pytest.fixture(scope="module")
def node() -> Iterator[Peer]:
    with Peer.node("core") as peer:
        yield peer


@pytest.mark.parametrize("operation", SEEDS)
def test_damaged_bytes(node: Peer, operation: str) -> None:
    outcomes = campaign(node, operation, Random(7), SEEDS[operation], 200)
    assert outcomes["same"] > 20


def test_every_explanation_stands_in_the_document() -> None:
    text = (ROOT / "docs" / "differences.md").read_text()
    assert [line for line in STRICTER.values() if line not in text] == []
