"""Rules of the wire for any input."""

from __future__ import annotations

import json
import math
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.module_runtime.errors import ProtocolError
from sdk.module_runtime.protocol import bincode, init, messages, packed
from sdk.module_runtime.protocol.envelope import Message, MessageMetadata, wrap_json
from sdk.module_runtime.protocol.formats import EncodedMessage, Format, convert, pack, unpack
from sdk.module_runtime.protocol.frame import Frame, FrameDecoder, encode_frame
from sdk.module_runtime.protocol.json_text import MAX_DEPTH, parse_json

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(TEXT, TEXT, JSON)
def test_a_message_survives_its_text(connection: str, operation: str, params: Any) -> None:
    sent = messages.ServiceOperation(
        connection_id=connection, service_type={"Custom": operation}, operation=operation, params=params
    )
    assert messages.MODULE_TO_ORCHESTRATOR.from_json(sent.to_json()) == sent


@given(TEXT, JSON)
def test_the_quick_envelope_is_the_envelope(name: str, params: Any) -> None:
    message = messages.ServiceRequest(id=name, service_type="Cache", config=params)
    text = wrap_json(message.to_json())
    read = messages.WRAPPED_MODULE_TO_ORCHESTRATOR.from_json(text)
    assert read.to_json() == text
    assert read.content == message


@given(st.lists(st.binary(max_size=40), max_size=5), st.data())
def test_frames_survive_any_cut_of_the_stream(payloads: list[bytes], data: st.DataObject) -> None:
    frames = [Frame(Format(data.draw(st.sampled_from([1, 2, 3]))), payload) for payload in payloads]
    stream = b"".join(map(encode_frame, frames))
    decoder, read, at = FrameDecoder(), [], 0
    while at < len(stream):
        step = data.draw(st.integers(1, 30))
        decoder.feed(stream[at : at + step])
        read += list(decoder.frames())
        at += step
    assert read == frames
    decoder.finish()


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=3), st.integers(1, 30))
def test_a_read_that_is_one_whole_frame_is_what_feeding_it_makes_of_it(payloads: list[bytes], cut: int) -> None:
    stream = b"".join(encode_frame(Frame(Format.JSON, payload)) for payload in payloads)
    for data in (stream, stream[:cut], stream[cut:]):
        decoder, fed = FrameDecoder(), FrameDecoder()
        try:
            fed.feed(data)
            frames = list(fed.frames())
        except ProtocolError:
            continue
        is_one = len(frames) == 1 and not fed.is_within_frame
        assert decoder.whole(data) == (frames[0] if is_one else None)
    waiting = FrameDecoder()
    waiting.feed(stream[:1])
    assert waiting.whole(stream) is None


@given(st.binary(max_size=60))
def test_readers_answer_or_refuse_any_bytes(data: bytes) -> None:
    def frames(data: bytes) -> None:
        decoder = FrameDecoder(message_pack=True)
        decoder.feed(data)
        list(decoder.frames())
        decoder.finish()

    readers = (
        frames,
        unpack,
        init.decode_init_line,
        messages.decode_module_line,
        messages.decode_orchestrator_body,
        lambda data: bincode.Reader(data).metadata(),
        lambda data: convert(data, Format.BASE64, Format.JSON),
        lambda data: convert(data, Format.MESSAGE_PACK, Format.BINARY),
    )
    refused = 0
    for read in readers:
        try:
            read(data)
        except ProtocolError:
            refused += 1
    assert refused >= 3  # no 60 bytes are an InitBlob, a module's and an orchestrator's message at once


@given(
    st.none() | TEXT, st.none() | st.integers(-(2**63), 2**63 - 1), st.none() | st.dictionaries(TEXT, JSON, max_size=3)
)
def test_metadata_survives_bincode(id_: str | None, timestamp: int | None, properties: dict[str, Any] | None) -> None:
    metadata = MessageMetadata(id=id_, timestamp=timestamp, properties=properties)
    reader = bincode.Reader(bincode.write_message(b"", metadata))
    assert reader.metadata() == metadata
    reader.finish()


@given(JSON)
def test_message_pack_survives(value: Any) -> None:
    assert unpack(pack(value)) == value
    assert json.loads(convert(pack(value), Format.MESSAGE_PACK, Format.JSON)) == value


def test_a_frame_over_the_limit_is_refused_from_its_header() -> None:
    decoder = FrameDecoder(max_payload=16)
    decoder.feed(bytes.fromhex("ffffffff01"))
    with pytest.raises(ProtocolError, match="over the limit of 16"):
        list(decoder.frames())


def test_an_init_line_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(ProtocolError, match="over the limit"):
        init.decode_init_line(b" " * (init.MAX_INIT_LINE + 1))


def test_message_pack_frames_are_refused_until_agreed() -> None:
    frame = encode_frame(Frame(Format.MESSAGE_PACK, pack({"op": "heartbeat"})))
    decoder = FrameDecoder()
    decoder.feed(frame)
    with pytest.raises(ProtocolError, match="format code 4"):
        list(decoder.frames())


def test_nesting_ends_where_it_ends_in_rust() -> None:
    parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "document")
    with pytest.raises(ProtocolError, match="levels deep"):
        parse_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "document")


def test_members_given_twice_are_refused_in_structs_only() -> None:
    read = messages.ORCHESTRATOR_TO_MODULE.from_json
    with pytest.raises(ProtocolError, match="duplicate field `value`"):
        read(b'{"op":"secret","name":"a:b","value":"x","value":"y"}')
    assert read(b'{"op":"shutdown","other":1,"other":2}') == messages.Shutdown()
    answer = read(b'{"op":"service_operation_result","success":true,"result":{"a":1,"a":2}}')
    assert isinstance(answer, messages.ServiceOperationResult)
    assert answer.result == {"a": 2}
    for spaced in (
        b'{"op":"secret","name" :"a","name":"b","value":"x"}',
        b'{"op":"secret","name":"a\\":","name":"b","value":"x"}',
    ):
        with pytest.raises(ProtocolError, match="duplicate field `name`"):
            read(spaced)


def test_members_given_twice_are_found_however_deep_the_struct_lies() -> None:
    twice = '{"data":[],"data":[1],"format":"Json"}'
    id_ = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    routed = '{"op":"route_to_module","target_module_id":"b","target_endpoint":"c",'
    routed += f'"request_id":"{id_}","payload":{twice}}}'
    untagged = '{"content":{"request_id":"r","status_code":200,"status_code":404,"headers":{},"body":null}}'
    for line, name in ((routed, "data"), (untagged, "status_code")):
        with pytest.raises(ProtocolError, match=f"duplicate field `{name}`"):
            messages.decode_module_line(line.encode())
    with pytest.raises(ProtocolError, match="duplicate field `data`"):
        messages.WRAPPED_MODULE_TO_ORCHESTRATOR.from_json(f'{{"id":"{id_}","content":{routed}}}'.encode())
    listed = '{"op":"announce","listen":"x","endpoints":[{"path":"/","path":"/a","methods":[]}]}'
    with pytest.raises(ProtocolError, match="duplicate field `path`"):
        messages.decode_module_line(listed.encode())


@pytest.mark.parametrize("body", ["[true]", "[1.0]", "[256]", "[-1]", '["1"]', "[null]", "[[1]]", '"hi"'])
def test_a_body_is_integers_of_a_byte(body: str) -> None:
    line = f'{{"op":"http_request","request_id":"r","method":"GET","uri":"/","headers":{{}},"body":{body}}}'
    with pytest.raises(ProtocolError, match="body"):
        messages.ORCHESTRATOR_TO_MODULE.from_json(line.encode())


def test_refusals_and_printed_messages_do_not_tell_secrets() -> None:
    secret = messages.Secret(name="K", value="hunter2")
    assert "hunter2" not in repr(secret)
    for line in (b'{"op":"secret","name":["hunter2"],"value":"hunter2"}', b'{"op":"secret","value":"hunter2'):
        with pytest.raises(ProtocolError) as refused:
            messages.ORCHESTRATOR_TO_MODULE.from_json(line)
        assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", "\ud800"])
def test_what_json_cannot_hold_is_refused_when_written(value: object) -> None:
    request = messages.ServiceRequest(id="i", service_type="Cache", config=value)
    for message in (request, Message[Any].wrap(request), Message[Any].wrap([None, {"deep": (value,)}])):
        with pytest.raises(ProtocolError, match="cannot be written as JSON"):
            message.to_json()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:80", None),
        ("::1:80", None),
        ("127.0.0.1:65536", None),
        ("127.0.0.01:80", None),
        ("127.0.0.1", None),
    ],
)
def test_only_literal_addresses_are_tcp(text: str, address: tuple[str, int] | None) -> None:
    assert init.parse_socket_address(text) == address


@given(TEXT, JSON, st.none() | TEXT)
def test_what_our_own_code_makes_unjudged_is_what_is_judged_right(name: str, params: Any, id_: str | None) -> None:
    given_ = {"connection_id": name, "service_type": "Cache", "operation": name, "params": params, "operation_id": id_}
    made = messages.ServiceOperation.trusted(**given_)
    judged = messages.ServiceOperation(**given_)
    assert made == judged
    assert made.to_json() == judged.to_json()
    assert (repr(made), hash(made.operation_id)) == (repr(judged), hash(judged.operation_id))
    result = messages.ServiceOperationResult.trusted(success=True, result=params)
    assert result == messages.ServiceOperationResult(success=True, result=params)
    assert messages.ORCHESTRATOR_TO_MODULE.from_json(result.to_json()) == result
    with pytest.raises(TypeError, match="needs connection_id"):
        messages.ServiceOperation.trusted(operation=name, params=params, service_type="Cache")


@given(TEXT)
def test_wrapping_text_is_wrapping_the_message_and_no_id_comes_twice(name: str) -> None:
    content = messages.GetSecret(name=name)
    first, second = wrap_json(content.to_json()), wrap_json(content.to_json())
    read = messages.WRAPPED_MODULE_TO_ORCHESTRATOR.from_json(first)
    assert first == Message.wrap(content, id=read.id).to_json()
    assert read.id != messages.WRAPPED_MODULE_TO_ORCHESTRATOR.from_json(second).id


@given(path=st.lists(st.sampled_from(["list", "dict"]), max_size=4), value=st.sampled_from([math.nan, math.inf]))
def test_no_number_that_json_lacks_is_written_as_null_however_deep(path: list[str], value: float) -> None:
    held: Any = value
    for each in path:
        held = [1, None, held] if each == "list" else {"a": None, "b": held, "c": "null"}
    with pytest.raises(ProtocolError):
        messages.ServiceOperationResult(success=True, result=held).to_json()


PACKED = [
    messages.HttpResponse(request_id="r", status_code=200, headers={"a": "b"}, body=bytes(range(256))),
    messages.RouteToModule(
        target_module_id="m",
        target_endpoint="e",
        request_id=UUID(int=1),
        payload=EncodedMessage(data=bytes(100), format="Binary"),
    ),
]


@pytest.mark.parametrize("message", PACKED)
def test_what_carries_bytes_survives_message_pack_and_is_shorter(message: messages.ModuleToOrchestrator) -> None:
    payload, format_ = packed.encode(message, packs=True)
    assert format_ is Format.MESSAGE_PACK
    assert len(payload) < len(message.to_json())
    assert packed.decode_from_module(payload, format_) == message
    assert packed.encode(message, packs=False) == (message.to_json(), Format.JSON)


@given(st.binary(max_size=60) | JSON.map(pack))
def test_message_pack_of_a_peer_is_read_or_refused(data: bytes) -> None:
    for decode in (packed.decode_from_module, packed.decode_from_orchestrator):
        with pytest.raises(ProtocolError):
            decode(data, Format.MESSAGE_PACK)


def test_free_form_values_come_as_json_alone() -> None:
    message = messages.ServiceOperation(connection_id="c", service_type="Cache", operation="get", params={"key": "k"})
    assert packed.encode(message, packs=True)[1] is Format.JSON
    with pytest.raises(ProtocolError):
        packed.decode_from_module(packed.pack_message(message), Format.MESSAGE_PACK)
