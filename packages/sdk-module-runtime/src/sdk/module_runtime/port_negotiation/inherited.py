"""Listening sockets that whoever started this process has opened for it, as systemd passes them (sd_listen_fds(3))."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

from sdk.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import MutableMapping

FIRST: Final = 3
MOST: Final = 64
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def inherited_sockets(environ: MutableMapping[str, str] | None = None) -> dict[str, socket.socket]:
    """By name (``LISTEN_FDNAMES``, else their number from 0), non-blocking, closed in programs that this one starts.

    Empty if none were passed to this process. The variables are taken out of ``environ``, so that a second call, or a
    program started from here, does not take the same again. ``ConfigurationError`` if what was passed does not listen.
    """
    environ = os.environ if environ is None else environ
    pid, count, names = (environ.pop(variable, "") for variable in _VARIABLES)
    if pid != str(os.getpid()):
        return {}
    if not (count.isascii() and count.isdigit() and len(count) <= 2 and int(count) <= MOST):
        raise ConfigurationError(f"LISTEN_FDS must be a number up to {MOST}")
    named = dict(enumerate(names.split(":") if names else []))
    found: dict[str, socket.socket] = {}
    try:
        for index in range(int(count)):
            name = named.get(index, str(index))
            found[name if name not in found else str(index)] = _listening(FIRST + index)
    except BaseException:
        for each in found.values():
            each.close()
        raise
    return found


def _listening(handle: int) -> socket.socket:
    try:
        os.set_inheritable(handle, False)
        found = socket.socket(fileno=handle)
        listens = found.type == socket.SOCK_STREAM and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise ConfigurationError(f"descriptor {handle} of LISTEN_FDS is no socket: {error.strerror}") from None
    if not listens:
        found.detach()
        raise ConfigurationError(f"descriptor {handle} of LISTEN_FDS is no listening stream socket")
    found.setblocking(False)
    return found
