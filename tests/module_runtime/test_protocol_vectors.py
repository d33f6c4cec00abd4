"""The wire against texts and verdicts of the Rust types themselves."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from sdk.module_runtime.errors import ProtocolError
from sdk.module_runtime.protocol import bincode, http_tcp, init, messages, registration, services, streaming
from sdk.module_runtime.protocol.envelope import Message, MessageMetadata
from sdk.module_runtime.protocol.formats import EncodedMessage, Format, convert, peek_kind
from sdk.module_runtime.protocol.frame import Frame, FrameDecoder, encode_frame
from sdk.module_runtime.protocol.model import Codec
from support.requirements import vectors

CODECS: dict[str, Codec[Any]] = {
    "ModuleToOrchestrator": messages.MODULE_TO_ORCHESTRATOR,
    "OrchestratorToModule": messages.ORCHESTRATOR_TO_MODULE,
    "Message<ModuleToOrchestrator>": messages.WRAPPED_MODULE_TO_ORCHESTRATOR,
    "Message<OrchestratorToModule>": messages.WRAPPED_ORCHESTRATOR_TO_MODULE,
    "Message<Value>": Codec("Message", Message[Any]),
    "Message<TestData>": Codec("Message", Message[Any]),
    "InitBlob": Codec("InitBlob", init.InitBlob),
    "EncodedMessage": Codec("EncodedMessage", EncodedMessage),
    "Message<RegistrationRequest>": Codec("Message", Message[registration.RegistrationRequest]),
    "Message<HttpTcpRequest>": http_tcp.REQUEST,
    "Message<HttpTcpResponse>": http_tcp.RESPONSE,
}
for model in (
    registration.RegistrationRequest,
    registration.RegistrationResponse,
    registration.HeartbeatRequest,
    registration.HeartbeatResponse,
    registration.CapabilitiesRequest,
    registration.CapabilitiesResponse,
    registration.UnregistrationRequest,
    registration.UnregistrationResponse,
    streaming.StreamConfig,
    streaming.StreamChunk,
    streaming.StreamAck,
    streaming.PubSubMessage,
    http_tcp.HttpTcpRequest,
    http_tcp.ApiResponse,
):
    CODECS[model.__name__] = Codec(model.__name__, model)

ARRAY_FORMS = {"array_form"}  # serde happens to read structs from arrays; nobody writes them, and we do not read them


def cases(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(vectors("module-runtime", f"{name}.json").read_text())["cases"]
    assert found
    return found


def read_all(stream: bytes) -> list[Frame]:
    decoder = FrameDecoder()
    decoder.feed(stream)
    frames = list(decoder.frames())
    decoder.finish()
    return frames


GOLDEN = {
    "01_module_to_orchestrator": 20,
    "02_orchestrator_to_module": 19,
    "03_init_blob": 5,
    "05_message_and_frames": 8,
    "07_registration": 13,
    "10_streaming": 6,
    "11_http_over_tcp": 5,
}


@pytest.mark.parametrize(("name", "count"), GOLDEN.items())
def test_every_text_of_rust_is_read_and_written_back_byte_for_byte(name: str, count: int) -> None:
    written = [case for case in cases(name) if "text" in case and case["type"] in CODECS]
    for case in written:
        message = CODECS[case["type"]].from_json(case["text"].encode())
        assert message.to_json().decode() == case["text"], case["name"]
    assert len(written) == count


@pytest.mark.parametrize(("name", "count"), [("03_init_blob", 16), ("04_accept_reject", 44)])
def test_the_reader_accepts_and_refuses_what_rust_does(name: str, count: int) -> None:
    judged = [case for case in cases(name) if "accepted" in case]
    assert len(judged) == count
    for case in judged:
        codec = CODECS[case["type"]]
        if case["accepted"] and case["name"] not in ARRAY_FORMS:
            codec.from_json(case["input"].encode())
        else:
            with pytest.raises(ProtocolError):
                codec.from_json(case["input"].encode())


def test_frames_have_the_bytes_of_rust() -> None:
    seen = 0
    for case in cases("05_message_and_frames"):
        if case["type"] == "frame":
            payload = bytes.fromhex(case["payload_hex"]) if "payload_hex" in case else case["payload_text"].encode()
            frame = Frame(Format[case["format"].upper()], payload)
            if case["frame_hex"].startswith("ERR"):
                with pytest.raises(ProtocolError, match="unsupported encoding format: auto"):
                    encode_frame(frame)
            else:
                assert encode_frame(frame).hex() == case["frame_hex"]
                assert read_all(bytes.fromhex(case["frame_hex"])) == [frame]
            seen += 1
        elif case["type"] == "frame_read":
            with pytest.raises(ProtocolError):
                read_all(bytes.fromhex(case["frame_hex"]))
            seen += 1
    assert seen == 10


def test_formats_convert_and_kinds_are_named_as_in_rust() -> None:
    names = {"json": Format.JSON, "binary": Format.BINARY, "base64": Format.BASE64, "auto": Format.AUTO}
    seen = 0
    for case in cases("05_message_and_frames"):
        if case["type"] == "peek_kind":
            assert peek_kind(case["input"].encode()) == case["kind"]
            seen += 1
        elif case["type"] == "to_format" and isinstance(case["result"], dict):
            source, target = (names[part] for part in case["name"].split("_to_"))
            if "error" in case["result"]:
                with pytest.raises(ProtocolError):
                    convert(case["input_text"].encode(), source, target)
            else:
                assert convert(case["input_text"].encode(), source, target).decode() == case["result"]["text"]
            seen += 1
    assert seen == 15
    with pytest.raises(ProtocolError):
        convert(b"\x00\x01", Format.BINARY, Format.JSON)


def test_bincode_has_the_bytes_of_rust() -> None:
    checked = 0
    for case in cases("06_bincode"):
        kind, _, value = case["name"].partition(" ")
        if case["type"] == "Message<TestData> bincode":
            content = bincode.write_text("test") + bincode.write_signed(42)
            metadata = MessageMetadata(**case["metadata"])
            encoded = bincode.write_message(content, metadata)
            assert encoded.hex() == case["binary_hex"]
            assert base64.b64encode(encoded).decode() == case["base64_text"]
            reader = bincode.Reader(encoded)
            assert (reader.text(), reader.signed(), reader.metadata()) == ("test", 42, metadata)
            reader.finish()
        elif kind in ("u32", "u64"):
            number = {"2^32": 2**32, "max": 2**64 - 1}.get(value) or int(value)
            assert bincode.write_unsigned(number).hex() == case["hex"]
            assert bincode.Reader(bytes.fromhex(case["hex"])).unsigned() == number
        elif kind in ("i32", "i64"):
            assert bincode.write_signed(int(value)).hex() == case["hex"]
            assert bincode.Reader(bytes.fromhex(case["hex"])).signed() == int(value)
        elif kind == "f64":
            assert bincode.write_float(float(value)).hex() == case["hex"]
        elif kind == "String":
            text = "a" * 300 if value == "300 x a" else value
            assert bincode.write_text(text).hex() == case["hex"]
        elif kind == "Option<String>":
            assert bincode.write_option(None if value == "None" else "a", bincode.write_text).hex() == case["hex"]
        elif kind == "Vec<u8>":
            assert bincode.write_bytes(b"\x01\x02").hex() == case["hex"]
        else:
            continue
        checked += 1
    assert checked == 20


def test_service_types_are_spelt_as_in_rust() -> None:
    types: TypeAdapter[Any] = TypeAdapter(services.ServiceType)
    levels: TypeAdapter[Any] = TypeAdapter(init.SecurityLevel)
    texts: dict[str, Any] = {}
    for case in cases("08_service_type"):
        if case["type"] == "ServiceType Display":
            assert services.service_type_text(texts[case["name"]]) == case["display"]
        else:
            adapter = types if case["type"] == "ServiceType" else levels
            value = texts[case["name"]] = adapter.validate_json(case["text"])
            assert adapter.dump_json(value).decode() == case["text"]


def test_each_line_of_stdio_is_read() -> None:
    for case in cases("16_stdio_lines"):
        line = case.get("raw") or json.dumps(case["line"])
        if case["name"] == "init":
            assert init.decode_init_line(line.encode()).module_id == "mod-a"
        elif case["name"] == "garbage":
            with pytest.raises(ProtocolError):
                messages.ORCHESTRATOR_TO_MODULE.from_json(line.encode())
        elif case["direction"] == "stdin":
            assert messages.ORCHESTRATOR_TO_MODULE.from_json(line.encode()).op == case["line"]["op"]
        elif case["name"] == "http_response":
            assert messages.decode_module_line(line.encode()) == messages.HttpResponse(
                request_id="r1", status_code=200, headers={"Content-Type": "application/json"}, body=b"{}"
            )
        else:
            assert messages.decode_module_line(line.encode()).op == case["line"]["op"]


def test_bodies_in_frames_are_bare_from_the_orchestrator_and_wrapped_from_the_module() -> None:
    seen = 0
    for case in cases("17_framed_channel_bodies"):
        if "frame_hex" in case:
            (frame,) = read_all(bytes.fromhex(case["frame_hex"]))
            body = convert(frame.payload, frame.format, Format.JSON)
            assert messages.decode_orchestrator_body(body) == messages.Heartbeat()
        elif "text" in case and case["direction"] == "orchestrator->module":
            assert messages.decode_orchestrator_body(case["text"].encode()).to_json().decode() == case["text"]
        elif "text" in case:
            wrapped = messages.WRAPPED_MODULE_TO_ORCHESTRATOR.from_json(case["text"].encode())
            assert wrapped.to_json().decode() == case["text"]
        elif "value" in case:
            content = messages.MODULE_TO_ORCHESTRATOR.from_value(case["value"]["content"])
            assert isinstance(content, messages.RouteToModule)
            assert CODECS["Message<Value>"].from_json(content.payload.data).content == {"a": 1}
        else:
            continue
        seen += 1
    assert seen == 5


def _with(text: str, **members: Any) -> dict[str, Any]:
    return {**json.loads(text), **members}


def test_what_the_other_python_sdk_sent_is_refused() -> None:
    by_name = {case["what"]: case["python"] for case in cases("20_python_sdk_divergent")}
    sent = messages.MODULE_TO_ORCHESTRATOR
    blob = '{"orchestrator_api":"a","module_id":"m","env":{},"listen":"127.0.0.1:1"}'
    answer = {"op": "http_response", "request_id": "r", "status_code": 200, "headers": {}}
    chunk = cases("10_streaming")[1]["text"]
    beat = '{"request_type":"heartbeat","module_id":"11223344-5566-4788-89aa-bbccddeeff03","token":"t"}'
    refused: list[tuple[Codec[Any], Any]] = [
        (sent, by_name["tagged enum"]),
        (sent, by_name["announce line"]),
        (CODECS["InitBlob"], _with(blob, listen=by_name["unix listen"])),
        (CODECS["InitBlob"], _with(blob, tcp_channel=by_name["tcp_channel"])),
        (sent, {"op": "discover_service_providers", "service_type": by_name["custom service type"]}),
        (sent, {**answer, "body": by_name["http body"]}),
        (sent, by_name["port request"]),
        (CODECS["HeartbeatRequest"], _with(beat, status=by_name["health status"])),
        (CODECS["StreamChunk"], _with(chunk, data="616263")),
        (sent, by_name["routed payload"]),
        *(
            (
                CODECS["RegistrationRequest"],
                _with(beat, request_type=kind, module_info={"name": "n", "version": "1", "description": "d"}),
            )
            for kind in by_name["registration request_type"]
        ),
    ]
    for codec, value in refused:
        with pytest.raises(ProtocolError):
            codec.from_value(value)
    assert len(refused) == 12
