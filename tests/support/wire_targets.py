"""Fuzz targets: requests and answers of the BRC-100 binary wire."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sdk.core.wallet_wire import CALLS, Request, read_request, write_request
from support.fuzzing import Target
from support.wire_samples import ARGS, RESULTS

if TYPE_CHECKING:
    from sdk.core.wallet_wire import Call


def targets() -> list[Target]:
    return [request_target(), *map(answer_target, CALLS)]


def request_target() -> Target:
    """Text is trimmed and lower-cased where BRC-100 says so: the bytes may change once, what they say may not."""
    frames = [
        write_request(Request(call, call.args.of(args), "app.example")) for call in CALLS for args in ARGS[call.name]
    ]
    return Target("wire request", read_request, None, frames, _same_request)


def answer_target(call: Call) -> Target:
    frames = [call.write_result(result) for result in RESULTS[call.name]]
    return Target(f"{call.name} answer", call.read_result, None, frames, partial(_same_result, call))


def _same_request(request: Request) -> None:
    assert read_request(write_request(request)) == request


def _same_result(call: Call, result: Any) -> None:
    assert call.read_result(call.write_result(result)) == result
