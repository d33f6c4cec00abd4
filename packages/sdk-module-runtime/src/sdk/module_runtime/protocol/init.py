"""The first line a module reads: who it is, where it listens, which channels it opens."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field

from sdk.module_runtime.errors import ProtocolError
from sdk.module_runtime.protocol.model import WireStruct, is_empty, is_none

MAX_INIT_LINE = 1024 * 1024
"""Bytes, the newline included."""

SecurityLevel = Literal["None", "Token", "Mtls"]

_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)(?:%[0-9]{1,10})?\]|(?P<v4>[0-9.]+)):(?P<port>[0-9]+)", re.ASCII)
_PORT_DIGITS = 20


class SocketAddress(NamedTuple):
    host: str
    port: int


def parse_socket_address(text: str) -> SocketAddress | None:
    """``ip:port``, IPv6 in brackets, as Rust's ``SocketAddr``; None for anything else, host names included."""
    match = _ADDRESS.fullmatch(text)
    if match is None or len(match["port"]) > _PORT_DIGITS or int(match["port"]) > 0xFFFF:
        return None
    try:
        host = ipaddress.IPv6Address(match["v6"]) if match["v6"] else ipaddress.IPv4Address(match["v4"])
    except ValueError:
        return None
    return SocketAddress(str(host), int(match["port"]))


def _socket_address(text: str) -> str:
    if parse_socket_address(text) is None:
        raise ValueError("invalid socket address syntax: give ip:port, with IPv6 in brackets")
    return text


class TcpChannel(WireStruct):
    address: Annotated[str, AfterValidator(_socket_address)]
    tls_enabled: bool
    required: bool


class IpcChannel(WireStruct):
    socket_path: str
    required: bool


class InitBlob(WireStruct):
    """``extensions`` is ours: what the orchestrator speaks beyond the Rust wire, and Rust ignores."""

    orchestrator_api: str
    module_id: str
    env: dict[str, str]
    listen: str
    tcp_channel: TcpChannel | None = Field(default=None, exclude_if=is_none)
    ipc_channel: IpcChannel | None = Field(default=None, exclude_if=is_none)
    auth_token: str | None = Field(default=None, exclude_if=is_none, repr=False)
    security_level: SecurityLevel = "None"
    extensions: list[str] = Field(default_factory=list, exclude_if=is_empty)

    @property
    def listen_address(self) -> SocketAddress | None:
        """Where to serve on TCP; None if ``listen`` is the path of a unix socket, as everything else is."""
        return parse_socket_address(self.listen)


def decode_init_line(line: bytes) -> InitBlob:
    """From the first line, with or without its newline. Raises ``ProtocolError``."""
    if len(line) > MAX_INIT_LINE:
        raise ProtocolError("InitBlob", f"line of {len(line)} bytes is over the limit of {MAX_INIT_LINE}")
    return InitBlob.from_json(line)
