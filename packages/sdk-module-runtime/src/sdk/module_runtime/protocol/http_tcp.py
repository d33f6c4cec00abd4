"""HTTP requests and answers in frames, both wrapped in ``Message`` (spec/module-runtime.md §1.14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import Field

from sdk.module_runtime.protocol.envelope import Message, wrap_json
from sdk.module_runtime.protocol.formats import Format, convert
from sdk.module_runtime.protocol.model import U16, Codec, WireBytes, WireStruct, is_none

if TYPE_CHECKING:
    from sdk.module_runtime.protocol.frame import Frame

BYTES_OF_A_BYTE: Final = 4
"""What a byte of a body takes at most in a frame: JSON writes it as a number."""


class HttpTcpRequest(WireStruct):
    request_id: str
    method: str
    uri: str
    headers: dict[str, str]
    body: WireBytes | None = Field(default=None, exclude_if=is_none)


class HttpTcpResponse(WireStruct):
    request_id: str
    status_code: U16
    headers: dict[str, str]
    body: WireBytes | None = Field(default=None, exclude_if=is_none)


class ApiResponse(WireStruct):
    """``status`` is ``error`` from HTTP status 400."""

    status: Literal["success", "error"]
    data: Any = Field(default=None, exclude_if=is_none)
    message: str | None = Field(default=None, exclude_if=is_none)


REQUEST: Final[Codec[Message[HttpTcpRequest]]] = Codec("Message<HttpTcpRequest>", Message[HttpTcpRequest])
RESPONSE: Final[Codec[Message[HttpTcpResponse]]] = Codec("Message<HttpTcpResponse>", Message[HttpTcpResponse])


def wrapped(message: HttpTcpRequest | HttpTcpResponse) -> bytes:
    """The payload of a JSON frame."""
    return wrap_json(message.to_json())


def decode_request(frame: Frame) -> HttpTcpRequest:
    """Raises ``ProtocolError``."""
    return REQUEST.from_json(convert(frame.payload, frame.format, Format.JSON)).content


def decode_response(frame: Frame) -> HttpTcpResponse:
    """Raises ``ProtocolError``."""
    return RESPONSE.from_json(convert(frame.payload, frame.format, Format.JSON)).content
