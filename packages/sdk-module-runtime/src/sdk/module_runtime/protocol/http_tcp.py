"""HTTP requests and answers in frames, both wrapped in ``Message``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from sdk.module_runtime.protocol.model import U16, WireBytes, WireStruct, is_none


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
