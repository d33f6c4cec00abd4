"""Every failure leaves as the same JSON: ``{"status": "error", "code", "description", "requestId"}``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from sdk.core.errors import (
    BadRequest,
    InternalError,
    NotImplementedByPeer,
    ParseError,
    ServiceRejected,
    ServiceUnavailable,
    StorageError,
    Unauthorized,
    WalletError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.core.errors import (
        SdkError,
    )

_STATUS: tuple[tuple[type[BaseException], int], ...] = (
    (Unauthorized, 401),
    (NotImplementedByPeer, 501),
    (InternalError, 500),
    (BadRequest, 400),
    (ParseError, 400),
    (WalletError, 400),
    (ServiceUnavailable, 503),
    (ServiceRejected, 502),
    (StorageError, 500),
)


def status_of(error: SdkError) -> int:
    """The HTTP status for an error of ours: 503 whenever trying again may help."""
    if error.retryable:
        return 503
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def error_response(
    status: int, code: str, description: str, request_id: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    body: dict[str, Any] = {"status": "error", "code": code, "description": description, "requestId": request_id}
    return web.Response(
        status=status, body=orjson.dumps(body), content_type="application/json", charset="utf-8", headers=headers
    )


def code_of(status: int) -> str:
    """The code for a plain HTTP failure: ``ERR_NOT_FOUND`` for 404."""
    return _CODES.get(status, f"ERR_HTTP_{status}")


_CODES = {
    400: "ERR_BAD_REQUEST",
    401: "ERR_UNAUTHORIZED",
    403: "ERR_FORBIDDEN",
    404: "ERR_NOT_FOUND",
    405: "ERR_METHOD_NOT_ALLOWED",
    408: "ERR_REQUEST_TIMEOUT",
    413: "ERR_TOO_LARGE",
    415: "ERR_MEDIA_TYPE",
    429: "ERR_TOO_MANY_REQUESTS",
    500: "ERR_INTERNAL",
    503: "ERR_BUSY",
}
