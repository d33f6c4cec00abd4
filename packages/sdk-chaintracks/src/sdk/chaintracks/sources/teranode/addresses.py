"""Which hosts may be asked at the word of a stranger: those of the Internet, never those of our own network."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, Final

from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


def is_public(text: str) -> bool:
    """Whether ``text`` is an address of the Internet, also when it only stands for an IPv4 address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if any(each is not None and not is_public(str(each)) for each in inner):
            return False
    return address.is_global and not address.is_multicast


class PublicResolver(AbstractResolver):
    """Names only hosts of the Internet. The address that was judged is the one that is connected to, so a name that
    changes its address between two questions gains nothing."""

    def __init__(self) -> None:
        self._inner = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = [each for each in await self._inner.resolve(host, port, family) if is_public(each["host"])]
        if not found:
            raise OSError(f"{host} has no address of the Internet")
        return found

    async def close(self) -> None:
        await self._inner.close()
