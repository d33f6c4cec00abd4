"""Damaged transactions, paths and BEEFs before us and each peer: one verdict, or a difference that is explained."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from support.core_targets import family, known_beefs, known_paths
from support.differential import BSV_SDK_LINES, DIFFERENCES, STRICTER, campaign
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
def peers() -> Iterator[dict[str, Peer]]:
    with Peer.node("core") as node, Peer.python("core") as python:
        yield {"@bsv/sdk": node, "bsv-sdk": python}


@pytest.mark.parametrize("operation", SEEDS)
@pytest.mark.parametrize("name", DIFFERENCES)
def test_damaged_bytes(peers: dict[str, Peer], name: str, operation: str) -> None:
    outcomes = campaign(peers[name], name, operation, Random(7), SEEDS[operation], 200)
    assert outcomes["same"] > 20


def test_every_explanation_stands_in_the_document() -> None:
    text = (ROOT / "docs" / "differences.md").read_text()
    lines = (*STRICTER.values(), *(f"| {line} |" for line in BSV_SDK_LINES))
    assert [line for line in lines if line not in text] == []
