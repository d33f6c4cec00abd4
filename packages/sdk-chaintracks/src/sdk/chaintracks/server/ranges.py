"""Headers as bytes, whole or a part (``Range: bytes=…``) for one who resumes."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from sdk.chaintracks.server.answers import is_known

_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)
"""One part; several at once are not given, as RFC 9110 §14.2 allows."""


def bytes_answer(request: web.BaseRequest, raw: bytes, etag: str, keep: str) -> web.Response:
    """Raises 416 for a part beyond the end."""
    headers = {"Cache-Control": keep, "Accept-Ranges": "bytes", "ETag": etag}
    if is_known(request, etag):
        return web.Response(status=304, headers=headers)
    start, stop = _wanted(request, etag, len(raw))
    status = 200
    if (start, stop) != (0, len(raw)):
        status, headers["Content-Range"] = 206, f"bytes {start}-{stop - 1}/{len(raw)}"
    return web.Response(status=status, body=raw[start:stop], headers=headers, content_type="application/octet-stream")


def _wanted(request: web.BaseRequest, etag: str, size: int) -> tuple[int, int]:
    """First byte and the one after the last."""
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    if match is None or not any(match.groups()) or request.headers.get("If-Range", etag) != etag:
        return 0, size
    if match[1]:
        start, stop = int(match[1]), int(match[2]) + 1 if match[2] else size
    else:  # so many at the end
        start, stop = max(0, size - int(match[2])), size
    if start >= size or stop <= start:
        raise web.HTTPRequestRangeNotSatisfiable(headers={"Content-Range": f"bytes */{size}"})
    return start, min(stop, size)
