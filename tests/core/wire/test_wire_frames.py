"""All 28 calls through the codec: what is given comes back, what is not stays absent, what is wrong is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.core.encodings import Reader, varint
from sdk.core.errors import (
    InsufficientFunds,
    InternalError,
    InvalidMerkleRoot,
    InvalidParameter,
    NotImplementedByPeer,
    ParseError,
    RemoteWalletError,
    ReviewActions,
    SdkError,
    ServiceUnavailable,
)
from sdk.core.wallet_wire import BY_NAME, CALLS, Call, Request, read_request, write_error, write_request
from sdk.core.wallet_wire.codecs import (
    BYTE,
    FLAG,
    NUMBER,
    OUTPOINT,
    SIGNED,
    STRING,
    TEXTS,
    OrAbsent,
    Reason,
)
from support.wire_samples import ARGS, KEY, PEER, RESULTS, SERIAL, TXID

if TYPE_CHECKING:
    from sdk.core.wallet_wire.codecs import (
        Codec,
    )

REFUSALS = (ParseError, InvalidParameter)
ARGUMENTS = [(BY_NAME[name], members) for name, samples in ARGS.items() for members in samples]
ANSWERS = [(BY_NAME[name], members) for name, samples in RESULTS.items() for members in samples]
REQUEST_FRAMES = [write_request(Request(call, call.args.of(members), "app.example")) for call, members in ARGUMENTS]


def name_of(value: Any) -> str | None:
    return value.name if isinstance(value, Call) else None


def test_every_call_has_its_code_and_samples() -> None:
    assert [call.code for call in CALLS] == list(range(1, 29))
    assert list(ARGS) == list(RESULTS) == [call.name for call in CALLS]


@pytest.mark.parametrize(("call", "members"), ARGUMENTS, ids=name_of)
def test_arguments_come_back(call: Call, members: dict[str, Any]) -> None:
    args = call.args.of(members)
    frame = write_request(Request(call, args, "app.example"))
    request = read_request(frame)
    assert request == Request(call, args, "app.example")
    assert request.args.model_dump(exclude_unset=True).keys() <= args.model_dump(exclude_unset=True).keys()
    assert write_request(request) == frame


@pytest.mark.parametrize(("call", "members"), ANSWERS, ids=name_of)
def test_results_come_back(call: Call, members: dict[str, Any]) -> None:
    result = call.result.of(members)
    frame = call.write_result(result)
    assert frame[0] == 0
    assert call.read_result(frame) == result
    assert call.write_result(call.read_result(frame)) == frame


# hostile frames


@pytest.mark.parametrize("frame", REQUEST_FRAMES, ids=lambda frame: read_request(frame).call.name)
def test_a_request_cut_short_or_too_long_is_refused(frame: bytes) -> None:
    takes_the_rest = read_request(frame).call.name == "abortAction"
    for end in range(len(frame) if not takes_the_rest else 14):
        with pytest.raises(REFUSALS):
            read_request(frame[:end])
    if not takes_the_rest:
        with pytest.raises(ParseError, match="trailing") as caught:
            read_request(frame + b"\0")
        assert caught.value.offset == len(frame)


def refused_or_stable(call: Call | None, frame: bytes) -> bool:
    """Whether it was read; if so its writing reads as the same."""
    try:
        if call is None:
            request = read_request(frame)
            again = write_request(request)
        else:
            result = call.read_result(frame)
            again = call.write_result(result)
    except REFUSALS:
        return False
    except SdkError:
        if call is None or not frame[0]:
            raise
        return False
    assert (read_request(again) == request) if call is None else (call.read_result(again) == result)
    return True


@given(code=st.integers(0, 30), rest=st.binary(max_size=200))
def test_any_bytes_are_refused_or_stable(code: int, rest: bytes) -> None:
    refused_or_stable(None, bytes((code, 0)) + rest)
    if code in range(1, 29):
        refused_or_stable(CALLS[code - 1], b"\0" + rest)


@pytest.mark.parametrize("count", [varint(2**32), varint(2**63 - 1), varint(200_000)])
@pytest.mark.parametrize("name", ["listCertificates", "signAction", "listActions", "discoverByAttributes"])
def test_a_huge_count_is_refused_before_anything_is_made(name: str, count: bytes) -> None:
    frame = bytes((BY_NAME[name].code, 0)) + count + bytes(250_000)
    with pytest.raises(ParseError) as caught:
        read_request(frame)
    assert caught.value.offset == 2


def test_a_page_of_too_many_items_is_refused() -> None:
    with pytest.raises(ParseError, match="more than 100000 outputs"):
        BY_NAME["listOutputs"].read_result(b"\0" + varint(200_000) + b"\xff" * 9 + (bytes(34) + b"\xff" * 36) * 100_001)


def test_unknown_calls_and_text_that_is_none_are_refused_with_their_offset() -> None:
    with pytest.raises(ParseError, match="no call 29") as unknown:
        read_request(b"\x1d\0")
    assert unknown.value.offset == 0
    with pytest.raises(ParseError, match="originator is not UTF-8") as text:
        read_request(b"\x1c\x03ab\xff")
    assert text.value.offset == 4


def test_the_same_key_twice_is_refused() -> None:
    pair = STRING.write("name", "") + STRING.write("x", "")
    with pytest.raises(ParseError, match="twice"):
        TEXTS.read(Reader(varint(2) + pair + pair, "test"), "fields")


# values without a form on the wire


@pytest.mark.parametrize(
    ("name", "members", "parameter"),
    [
        ("listOutputs", {"basket": "coins", "offset": -1}, "offset"),
        ("getPublicKey", {}, "protocolID"),
        ("createSignature", {"protocolID": [1, "tests"], "keyID": "1"}, "data"),
        ("encrypt", {"protocolID": [1, "tests"], "keyID": "1", "plaintext": [], "privilegedReason": "x" * 128},
         "privilegedReason"),
        ("relinquishCertificate", {"type": "AAAA", "serialNumber": SERIAL, "certifier": KEY}, "type"),
        ("proveCertificate", {"certificate": {}, "fieldsToReveal": [], "verifier": KEY}, "type"),
        ("createAction", {"description": "nothing to unlock", "inputs": [
            {"outpoint": f"{TXID}.0", "inputDescription": "no script"}]}, "unlockingScript"),
        ("verifyHmac", {"protocolID": [1, "tests"], "keyID": "1", "data": [], "hmac": [1]}, "hmac"),
    ],
)  # fmt: skip
def test_what_the_wire_cannot_say_is_refused(name: str, members: dict[str, Any], parameter: str) -> None:
    call = BY_NAME[name]
    with pytest.raises(InvalidParameter) as caught:
        write_request(Request(call, call.args.of(members)))
    assert caught.value.parameter == parameter


def test_offsets_that_count_from_the_end_travel_but_for_the_first() -> None:
    call = BY_NAME["listOutputs"]
    args = call.args.of({"basket": "coins", "offset": -2})
    assert call.read_args(call.write_args(args)) == args


def test_an_action_that_has_no_txid_yet_travels() -> None:
    call = BY_NAME["listActions"]
    action = {"txid": "", "satoshis": 1, "status": "unsigned", "isOutgoing": True, "description": "not yet"}
    result = call.result.of({"totalActions": 7, "actions": [action]})
    assert call.read_result(call.write_result(result)) == result


def test_certificates_without_keyring_travel_in_both_forms() -> None:
    call = BY_NAME["listCertificates"]
    two = call.write_result(RESULTS["listCertificates"][1])
    one = call.write_result(RESULTS["listCertificates"][2])
    assert call.read_result(one + b"\0\0") == call.read_result(one)
    bare = one[:1] + varint(2) + one[2:] * 2
    assert call.read_result(bare) == call.read_result(two)


def test_a_verifier_is_read_as_text_and_as_bytes() -> None:
    call = BY_NAME["listCertificates"]
    frame = call.write_result(RESULTS["listCertificates"][0])
    as_text, as_bytes = (varint(len(each)) + each for each in (PEER.encode(), bytes.fromhex(PEER)))
    assert as_text in frame
    assert call.read_result(frame.replace(as_text, as_bytes)) == call.read_result(frame)


# errors


@pytest.mark.parametrize(
    ("error", "number", "kind"),
    [
        (InvalidParameter("outputs[2].satoshis", "whole"), 6, InvalidParameter),
        (InsufficientFunds(1234, 567), 7, InsufficientFunds),
        (NotImplementedByPeer(), 2, NotImplementedByPeer),
        (ReviewActions([], []), 5, RemoteWalletError),
        (InvalidMerkleRoot("00" * 32, 1, "11" * 32), 8, RemoteWalletError),
        (InternalError(), 1, RemoteWalletError),
        (ServiceUnavailable("arc", "gone"), 1, RemoteWalletError),
    ],
)
def test_errors_keep_their_code_and_message(error: SdkError, number: int, kind: type[SdkError]) -> None:
    frame = write_error(error)
    assert frame[0] == number
    with pytest.raises(kind) as caught:
        BY_NAME["getHeight"].read_result(frame)
    assert str(caught.value) == str(error)
    if isinstance(error, InsufficientFunds):
        assert isinstance(caught.value, InsufficientFunds)
        assert (caught.value.total_satoshis_needed, caught.value.more_satoshis_needed) == (1234, 567)
    if isinstance(error, InvalidParameter):
        assert isinstance(caught.value, InvalidParameter)
        assert caught.value.parameter == "outputs[2].satoshis"


def test_a_stack_trace_is_read_and_dropped() -> None:
    with pytest.raises(RemoteWalletError, match=r"^oh$"):
        BY_NAME["getHeight"].read_result(b"\x01\x02oh\x05stack")


@given(frame=st.binary(min_size=1, max_size=60))
def test_error_frames_are_typed_or_refused(frame: bytes) -> None:
    with pytest.raises(SdkError):
        BY_NAME["getHeight"].read_result(bytes((frame[0] or 1,)) + frame[1:])


# single values


@settings(max_examples=300)
@given(
    pair=st.one_of(
        st.tuples(st.just(NUMBER), st.integers(0, 2**63 - 1)),
        st.tuples(st.just(SIGNED), st.integers(-(2**63), 2**63 - 1)),
        st.tuples(st.just(BYTE), st.integers(0, 255)),
        st.tuples(st.just(STRING), st.text()),
        st.tuples(st.just(FLAG), st.sampled_from([None, True, False])),
        st.tuples(st.just(Reason()), st.one_of(st.none(), st.text(max_size=31))),
        st.tuples(st.just(OrAbsent(STRING)), st.one_of(st.none(), st.text())),
        st.tuples(st.just(TEXTS), st.dictionaries(st.text(), st.text())),
        st.tuples(st.just(OUTPOINT), st.integers(0, 2**32 - 1).map(lambda vout: f"{TXID}.{vout}")),
    )
)
def test_values_come_back(pair: tuple[Codec, Any]) -> None:
    codec, value = pair
    reader = Reader(codec.write(value, "value"), "test")
    assert codec.read(reader, "value") == value
    reader.finish()


@pytest.mark.parametrize("value", [-1, 2**63, 256])
def test_numbers_beyond_their_bounds_are_refused(value: int) -> None:
    codec = BYTE if value == 256 else NUMBER
    with pytest.raises(InvalidParameter):
        codec.write(value, "value")
