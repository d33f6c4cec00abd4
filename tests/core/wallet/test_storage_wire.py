"""Our shapes against what the reference put on its storage wire (vectors/wire/storage-wire.jsonl)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sdk.core.errors import wallet_error_from_wire
from sdk.core.wallet import (
    ListActionsResult,
    ListOutputsResult,
    ValidCreateActionArgs,
    ValidListActionsArgs,
    ValidListOutputsArgs,
    validate_create_action,
    validate_list_actions,
)
from support.requirements import vectors

if TYPE_CHECKING:
    from collections.abc import Iterator


def recorded(method: str) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    for line in vectors("wire", "storage-wire.jsonl").read_text().splitlines():
        exchange = json.loads(line)
        body = exchange["req"].get("body")
        if body and f'"{method}"' in body:
            request = json.loads(body)
            answer = exchange["res"]["body"]
            answer = json.loads(answer) if isinstance(answer, str) else answer
            if request.get("method") == method and "params" in request and "jsonrpc" in answer:
                yield request["params"], answer


FLAGS = (
    "isSendWith",
    "isDelayed",
    "isNoSend",
    "isNewTx",
    "isRemixChange",
    "isSignAction",
    "includeAllSourceTransactions",
    "isTestWerrReviewActions",
)


def test_create_action_arguments_are_those_of_the_reference() -> None:
    seen = 0
    for (_, wire), _answer in recorded("createAction"):
        assert ValidCreateActionArgs.of(wire).to_wire() == wire
        raw = {name: value for name, value in wire.items() if name not in FLAGS}
        change = [f"{each['txid']}.{each['vout']}" for each in wire["options"]["noSendChange"]]
        raw["options"] = {**wire["options"], "noSendChange": change}
        raw["inputs"] = [{**each, "outpoint": "{txid}.{vout}".format(**each["outpoint"])} for each in wire["inputs"]]
        assert validate_create_action(raw).for_storage().to_wire() == wire
        seen += 1
    assert seen >= 10


def test_list_arguments_are_those_of_the_reference() -> None:
    seen = 0
    for (_, wire), _answer in recorded("listActions"):
        assert ValidListActionsArgs.of(wire).to_wire() == wire
        assert validate_list_actions(wire).to_wire() == wire
        seen += 1
    for (_, wire), _answer in recorded("listOutputs"):
        assert ValidListOutputsArgs.of(wire).to_wire() == wire
        seen += 1
    assert seen >= 20


@pytest.mark.parametrize(("method", "model"), [("listActions", ListActionsResult), ("listOutputs", ListOutputsResult)])
def test_results_round_trip(method: str, model: type[ListActionsResult] | type[ListOutputsResult]) -> None:
    seen = 0
    for _params, answer in recorded(method):
        if "result" in answer:
            assert model.of(answer["result"]).to_wire() == answer["result"]
            seen += 1
    assert seen >= 5


def test_errors_of_the_reference_are_rebuilt() -> None:
    names = set()
    for _params, answer in recorded("createAction"):
        if "error" in answer:
            error = wallet_error_from_wire(answer["error"])
            names.add(type(error).__name__)
            assert error.to_wire() == answer["error"]
    assert "InsufficientFunds" in names
