"""Where nodes are found when none is named (spec/consensus.md §1.5)."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import Counter
from typing import TYPE_CHECKING, Final

from sdk.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sdk.core.chain import ChainParameters

Address = tuple[str, int]

FIXED: Final[Mapping[str, tuple[str, ...]]] = {
    "test": (
        *("35.184.35.1", "35.184.152.173", "45.33.2.38", "46.101.209.242:18444", "50.3.233.20", "88.198.36.232"),
        *("93.95.100.153", "98.115.251.214", "104.154.27.106", "120.79.158.146", "138.68.231.122", "144.217.73.86"),
        *("159.65.60.54:19100", "159.65.163.15", "176.9.154.110", "176.24.203.196:28333", "195.154.177.49"),
    )
}


def parse_address(text: str, port: int) -> Address:
    """``host``, ``host:port`` or ``[v6]:port``. Raises ``ConfigurationError``."""
    host, colon, number = text.rpartition(":")
    if not colon or (":" in host and not host.endswith("]")):
        host, number = text, str(port)
    if not host or not number.isascii() or not number.isdigit() or not 0 < int(number) < 65536:
        raise ConfigurationError(f"{text!r} is no address of a node: write host or host:port")
    return host.removeprefix("[").removesuffix("]"), int(number)


async def resolve(parameters: ChainParameters) -> list[Address]:
    """Addresses from the network's DNS seeds, then the fixed ones; seeds that do not answer are passed over.

    A seed must not send us to hosts of our own network: only addresses of the Internet count.
    """
    loop = asyncio.get_running_loop()
    asked = [
        loop.getaddrinfo(seed, parameters.p2p_port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        for seed in parameters.dns_seeds
    ]
    found: list[Address] = []
    for answer in await asyncio.gather(*asked, return_exceptions=True):
        if not isinstance(answer, BaseException):
            hosts = [str(each[4][0]) for each in answer]
            found += [(host, parameters.p2p_port) for host in hosts if ipaddress.ip_address(host).is_global]
    found += [parse_address(each, parameters.p2p_port) for each in FIXED.get(parameters.name, ())]
    return list(dict.fromkeys(found))


def spread(addresses: Sequence[Address]) -> list[Address]:
    """The same in another order: first one of each neighbourhood (an IPv4 /16, an IPv6 /32), then second ones, ….

    Nodes that are dialled first then seldom belong to one owner.
    """
    seen: Counter[str] = Counter()
    turns: list[tuple[int, Address]] = []
    for each in addresses:
        separator = ":" if ":" in each[0] else "."
        group = separator.join(each[0].split(separator)[:2])
        turns.append((seen[group], each))
        seen[group] += 1
    return [each for _, each in sorted(turns, key=lambda turn: turn[0])]
