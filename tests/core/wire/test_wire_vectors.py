"""Every frame of the universal BRC-100 vectors, both ways."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sdk.core.wallet_wire import BY_NAME, Request, read_request, write_request
from support.requirements import vectors, vectors_root

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = ("universal", "brc100")


def names() -> Iterable[str]:
    folder = Path(vectors_root()).joinpath(*FOLDER)
    return sorted(os.listdir(folder)) if folder.exists() else ["getVersion-simple-args.json"]


def load(name: str) -> tuple[dict[str, Any], bytes]:
    vector = json.loads(vectors(*FOLDER, name).read_text())
    return vector["json"], bytes.fromhex(vector["wire"])


@pytest.mark.parametrize("name", [each for each in names() if each.endswith("-args.json")])
def test_requests_keep_their_bytes(name: str) -> None:
    members, frame = load(name)
    request = read_request(frame)
    assert request.call.name == name.partition("-")[0]
    assert request.originator is None
    assert request.args == request.call.args.of(members)
    assert write_request(request) == frame
    assert write_request(Request(request.call, request.call.args.of(members))) == frame


@pytest.mark.parametrize("name", [each for each in names() if each.endswith("-result.json")])
def test_answers_keep_their_bytes(name: str) -> None:
    members, frame = load(name)
    call = BY_NAME[name.partition("-")[0]]
    result = call.read_result(frame)
    assert result == call.result.of(members)
    assert call.write_result(result) == frame
    assert call.write_result(members) == frame


def test_every_vector_is_run() -> None:
    vectors(*FOLDER)
    assert sum(each.endswith(("-args.json", "-result.json")) for each in names()) == len(list(names())) == 36
