"""What aiohttp's server says of connections, in our logs: what a client has sent is one short line and no traceback."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from aiohttp.http_exceptions import HttpProcessingError

from sdk.service.http_app.limits import RateLimiter
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

log = get_logger(__name__)

LINES_A_SECOND: Final = 0.2
LINES_AT_ONCE: Final = 10
_LONGEST: Final = 160


class ConnectionLog:
    """Given to ``web.AppRunner`` as its ``logger``. A client that sends nonsense, however often, fills no log: lines
    beyond the rate are counted, and the next says how many there were."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._aiohttp = logging.getLogger("aiohttp.server")
        self._rate = RateLimiter(LINES_A_SECOND, LINES_AT_ONCE, keys=1, clock=clock)
        self._unsaid = 0

    def debug(self, message: str, *args: Any, **options: Any) -> None:
        self._aiohttp.debug(message, *args, **options)

    def exception(self, message: str, *args: Any, exc_info: object = True) -> None:
        """``exc_info`` is the error; of one that is the client's the whereabouts in the parser are of no interest."""
        if isinstance(exc_info, HttpProcessingError):
            self._malformed(str(args[0]) if args else "unknown", exc_info)
        else:
            self._aiohttp.exception(message, *args, exc_info=exc_info)  # type: ignore[arg-type]

    def _malformed(self, client: str, error: HttpProcessingError) -> None:
        if self._rate.take("") > 0:
            self._unsaid += 1
            return
        reason = ascii(" ".join(error.message.split()))[1:-1][:_LONGEST]
        log.info("a malformed request was refused", client=client, reason=reason, unsaid=self._unsaid)
        self._unsaid = 0
