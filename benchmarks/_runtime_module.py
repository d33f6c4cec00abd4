"""A module's side of the round trips that ``runtime`` measures: ``_runtime_module.py SOCKET TOKEN EXTENSION,...``

Prints one line of JSON: calls a second by how many are in flight.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from sdk.module_runtime.channels.preferences import Preferences
from sdk.module_runtime.module.channel import ModuleChannel, Target
from sdk.module_runtime.module.link import Link
from sdk.module_runtime.module.links import Links
from sdk.module_runtime.protocol.init import InitBlob, IpcChannel

SECONDS = 2.0
SERVICE = {"Custom": "echo"}


async def main(path: str, token: str, extensions: str) -> None:
    init = InitBlob(
        orchestrator_api="x",
        module_id="bench",
        env={},
        listen="127.0.0.1:0",
        ipc_channel=IpcChannel(socket_path=path, required=True),
        auth_token=token,
        extensions=extensions.split(","),
    )
    links = Links(Link(_nowhere, frozenset(init.extensions)), Preferences(), over_channels=True)
    channel = ModuleChannel(
        Target.of("ipc", init), links.extensions, lambda *_: None, lambda: None, lambda *_: None, lambda *_: None
    )
    links.add(channel)
    opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    kept = asyncio.create_task(channel.keep(opened))
    await opened
    connection = await links.open_service(SERVICE, None)
    print(json.dumps({in_flight: await _rate(links, connection, in_flight) for in_flight in (1, 64)}))
    kept.cancel()


async def _rate(links: Links, connection: str, in_flight: int) -> float:
    done = 0
    start = time.perf_counter()
    end = start + SECONDS

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await links.operate(connection, SERVICE, "echo", {"key": "value", "n": done})
            done += 1

    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return done / (time.perf_counter() - start)


async def _nowhere(_message: object) -> None:
    raise AssertionError("everything goes over the channel")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
