"""Finding the modules of a stack that answer HTTP in frames: each is a provider of the service ``http_tcp``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sdk.module_runtime.channels.http_tcp import HttpTcpClient
from sdk.module_runtime.errors import LinkClosed, LinkTimeout, RoutedRequestFailed, ServiceOperationFailed
from sdk.module_runtime.protocol.extensions import HELLO
from sdk.module_runtime.protocol.init import parse_socket_address
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from sdk.module_runtime.module.links import Links

_log = get_logger(__name__)
SERVICE: Final = {"Custom": "http_tcp"}


async def offer(links: Links, module_id: str, address: str | None) -> None:
    """Tell where this module answers, if it does. A foreign orchestrator has no answer to that, so it is not told."""
    if address is None or HELLO not in links.extensions:
        return
    try:
        await links.register_provider(SERVICE, module_id, address)
    except (LinkClosed, LinkTimeout, ServiceOperationFailed) as error:
        _log.warning("http_tcp_not_offered", reason=str(error))


async def http_tcp_client(links: Links, module_id: str, **options: Any) -> HttpTcpClient:
    """For a module that is ready now; ``options`` are those of ``HttpTcpClient``. The caller closes it.

    ``RoutedRequestFailed`` if there is none, ``LinkClosed``, ``LinkTimeout`` or ``ServiceOperationFailed``.
    """
    for each in await links.discover_providers(SERVICE, all_providers=True):
        if each.module_id == module_id and each.is_healthy:  # the orchestrator knows who has said so
            return HttpTcpClient(parse_socket_address(each.address) or each.address, **options)
    raise RoutedRequestFailed(module_id, "not_found", "it answers no HTTP in frames")
