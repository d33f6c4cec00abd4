"""A listening socket, by whatever way there is to one."""

from __future__ import annotations

import errno
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.port_negotiation.errors import PortError, PortUnavailable
from sdk.service.http_app.server import listen
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence

    from sdk.module_runtime.port_negotiation.negotiator import PortNegotiator

_log = get_logger(__name__)

FALLBACK: Final = range(10_000, 11_000)
MOST_TRIED: Final = 100
_MOST_LENT: Final = 3
Source = Literal["inherited", "own", "orchestrator", "fallback"]


@dataclass(frozen=True, slots=True)
class Listener:
    """Bound and listening; announce ``port``."""

    socket: socket.socket
    source: Source

    @property
    def port(self) -> int:
        """0 for a unix socket."""
        name = self.socket.getsockname()
        return int(name[1]) if isinstance(name, tuple) else 0


async def open_listener(
    host: str,
    port: int = 0,
    *,
    inherited: Mapping[str, socket.socket] | None = None,
    negotiator: PortNegotiator | None = None,
    fallback: range | None = FALLBACK,
    shuffle: Callable[[Sequence[int], int], Sequence[int]] = random.sample,
) -> Listener:
    """In this order: the first of ``inherited``; ``host:port`` (0: any that is free); a port that the orchestrator
    lends; one of ``fallback``.

    The last two are for a port that is taken; any other trouble with the address is ``ConfigurationError`` at once.
    Raises ``PortUnavailable`` if none is left to try.
    """
    if inherited:
        return Listener(next(iter(inherited.values())), "inherited")
    found = _bound(host, port)
    if found is not None:
        return Listener(found, "own")
    _log.warning("port_taken", host=host, port=port)
    if negotiator is not None:
        found = await _lent(host, negotiator)
        if found is not None:
            return Listener(found, "orchestrator")
    if fallback is not None:
        for each in shuffle(fallback, min(len(fallback), MOST_TRIED)):
            found = _bound(host, each)
            if found is not None:
                return Listener(found, "fallback")
    raise PortUnavailable(f"port {port} on {host} is taken by another program, and no other could be had")


async def _lent(host: str, negotiator: PortNegotiator) -> socket.socket | None:
    for _ in range(_MOST_LENT):
        try:
            port = await negotiator.negotiate()
        except PortError as error:
            _log.warning("no_port_lent", reason=str(error))
            return None
        found = _bound(host, port)
        if found is not None:
            return found
        negotiator.give_up(port)
    return None


def _bound(host: str, port: int) -> socket.socket | None:
    """None if it is taken."""
    try:
        return listen(host, port)
    except ConfigurationError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE:
            return None
        raise
