"""The BRC-100 binary wire: frames to models and back, for all 28 calls. Pure; who sends them is elsewhere.

``read_request`` and ``Call.write_result`` serve, ``write_request`` and ``Call.read_result`` ask.
"""

from sdk.core.wallet_wire.calls import (
    BY_CODE,
    BY_METHOD,
    BY_NAME,
    CALLS,
    MAX_FRAME,
    Call,
    Request,
    read_head,
    read_request,
    write_request,
)
from sdk.core.wallet_wire.errors import error_number, read_error, write_error

__all__ = [
    "BY_CODE",
    "BY_METHOD",
    "BY_NAME",
    "CALLS",
    "MAX_FRAME",
    "Call",
    "Request",
    "error_number",
    "read_error",
    "read_head",
    "read_request",
    "write_error",
    "write_request",
]
