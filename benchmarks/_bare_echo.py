"""``python _bare_echo.py PATH`` sends back what comes to the unix socket; prints a line once it listens."""

from __future__ import annotations

import asyncio
import sys


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def main(path: str) -> None:
    server = await asyncio.get_running_loop().create_unix_server(Echo, path)
    print("listening", flush=True)
    await server.serve_forever()


asyncio.run(main(sys.argv[1]))
