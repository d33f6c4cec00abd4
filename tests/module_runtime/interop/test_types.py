"""What Rust's types say of a text, ours say too: those of our counterpart, and those of the crate ``pywatt_sdk``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.module_runtime.errors import ProtocolError
from sdk.module_runtime.protocol import http_tcp, messages
from sdk.module_runtime.protocol.init import InitBlob
from support.peers import Peer, PeerError
from support.requirements import vectors
from support.wire_mutation import ODD, changed, places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

READERS: dict[str, Callable[[bytes], Any]] = {
    "module_to_orchestrator": messages.MODULE_TO_ORCHESTRATOR.from_json,
    "orchestrator_to_module": messages.ORCHESTRATOR_TO_MODULE.from_json,
    "wrapped_module_to_orchestrator": messages.WRAPPED_MODULE_TO_ORCHESTRATOR.from_json,
    "init": InitBlob.from_json,
    "http_tcp_request": http_tcp.REQUEST.from_json,
    "http_tcp_response": http_tcp.RESPONSE.from_json,
}
FILES = {
    "module_to_orchestrator": "01_module_to_orchestrator.json",
    "orchestrator_to_module": "02_orchestrator_to_module.json",
    "init": "03_init_blob.json",
}
HTTP_TCP = "11_http_over_tcp.json"
TYPES = {"http_tcp_request": "Message<HttpTcpRequest>", "http_tcp_response": "Message<HttpTcpResponse>"}
OURS = ("extension_call", "extension_result", "hello")


@pytest.fixture(scope="module", params=["counterpart", "published"])
def rust(request: pytest.FixtureRequest) -> Iterator[Peer]:
    with Peer.rust(request.param, "check") as peer:
        yield peer


def samples(kind: str) -> list[Any]:
    if kind == "wrapped_module_to_orchestrator":
        id_ = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
        metadata = {"id": "1", "timestamp": -5, "source": "a", "destination": "b", "properties": {"c": [1]}}
        return [{"id": id_, "content": each, "metadata": metadata} for each in samples("module_to_orchestrator")]
    cases = json.loads(vectors("module-runtime", FILES.get(kind, HTTP_TCP)).read_bytes())["cases"]
    if kind not in FILES:
        cases = [case for case in cases if case["type"] == TYPES[kind]]
    return [json.loads(case["text"]) for case in cases if "text" in case]


def ours(kind: str, text: str) -> Any:
    """What we write again after reading; None if we refuse."""
    try:
        return json.loads(READERS[kind](text.encode()).to_json())
    except ProtocolError:
        return None


def theirs(rust: Peer, kind: str, text: str) -> Any:
    try:
        return json.loads(rust.call(kind, text=text))
    except PeerError:
        return None


@given(st.data())
@settings(max_examples=400)
def test_the_same_texts_are_read_as_the_same_or_refused(rust: Peer, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(READERS)))
    value = data.draw(st.sampled_from(samples(kind)))
    for _ in range(data.draw(st.integers(0, 2))):
        path = data.draw(st.sampled_from(places(value)))
        change = data.draw(st.sampled_from(["remove", "add", "set"]))
        value = changed(value, path, change, data.draw(st.sampled_from(ODD)))
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    assert ours(kind, text) == theirs(rust, kind, text)


@pytest.mark.parametrize(
    "text",
    [
        '{"op":"secret","name":"a","name":"b","value":"x"}',
        '{"op":"secret","op":"secret","name":"a","value":"x"}',
        '{"value":"x","name":"a","op":"secret"}',
        '{"op":"shutdown","op2":1,"op2":2}',
        '{"op":"Shutdown"}',
        ' {"op" : "shutdown" } ',
        '{"op":"shutdown"}x',
        '{"op":"shutdown",}',
        "\ufeff" + '{"op":"shutdown"}',
        '{"op":"secret","name":"\\ud800","value":"x"}',
        '{"op":"secret","name":"\\ud83d\\ude00","value":"\\u0000"}',
        '{"op":"secret","name":"a\tb","value":"x"}',
        '{"op":"service_operation_result","success":true,"result":1e400}',
        '{"op":"service_operation_result","success":true,"result":123456789012345678901234567890}',
        '{"op":"service_operation_result","success":true,"result":-0}',
        '{"op":"service_operation_result","success":true,"result":{"a":[1,-0],"b":":-0,"}}',
        '{"op":"port_response","request_id":"a","success":true,"port":-0}',
        '{"op":"port_response","request_id":"a","success":true,"port": -0 ,"error_message":null}',
        '{"op":"port_response","request_id":"a:-0,","success":true,"port":0}',
        '{"op":"service_operation_result","success":true,"result":[0.1,1e-7,1e21,5e-324]}',
        '{"op":"service_operation_result","success":true,"result":NaN}',
        '{"op":"service_operation_result","success":true,"result":01}',
        '{"op":"port_response","request_id":"a","success":true,"port":1e3}',
        '{"op":"service_operation_result","success":true,"result":' + "[" * 126 + "]" * 126 + "}",
        '{"op":"service_operation_result","success":true,"result":' + "[" * 127 + "]" * 127 + "}",
    ],
    ids=range(25),
)
def test_the_corners_of_json_are_the_same(rust: Peer, text: str) -> None:
    assert ours("orchestrator_to_module", text) == theirs(rust, "orchestrator_to_module", text)


@pytest.mark.parametrize("op", OURS)
def test_our_extensions_are_what_rust_does_not_know(rust: Peer, op: str) -> None:
    for kind in ("module_to_orchestrator", "orchestrator_to_module"):
        assert theirs(rust, kind, json.dumps({"op": op})) is None
