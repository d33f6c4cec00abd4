"""A cache server of the test's own is killed and started again, while operations are under way."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from typing import TYPE_CHECKING

import pytest

from sdk.module_runtime.data.cache import CacheConfig, CacheConnectionError, CacheError, CacheOperationError, open_cache
from support.requirements import missing

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = {
    "Redis": ("redis-server", "--port {port} --bind 127.0.0.1 --save  --dir {folder}"),
    "Memcached": ("memcached", "-p {port} -l 127.0.0.1 -u root"),
}


async def start(kind: str, port: int, folder: Path) -> asyncio.subprocess.Process:
    name, arguments = COMMANDS[kind]
    program = shutil.which(name, path=f"{folder}:/usr/local/bin:/usr/bin:/usr/sbin:/bin")
    if program is None:
        missing(name, "run ./scripts/services start")
    given = arguments.format(port=port, folder=folder).split(" ")
    process = await asyncio.create_subprocess_exec(program, *given, stdout=asyncio.subprocess.DEVNULL)
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return process
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", ["Redis", "Memcached"])
async def test_every_operation_ends_typed_and_the_cache_serves_again(
    kind: str, tmp_path: Path, unused_tcp_port: int
) -> None:
    server = await start(kind, unused_tcp_port, tmp_path)
    config = CacheConfig(cache_type=kind, hosts=["127.0.0.1"], port=unused_tcp_port)  # type: ignore[arg-type]
    try:
        cache = await open_cache(config)
        stopping, ended = asyncio.Event(), 0

        async def work(number: int) -> None:
            nonlocal ended
            turn = 0
            while not stopping.is_set():
                turn += 1
                try:
                    await cache.set(f"k{number}", b"%d" % turn * 500)
                    found = await cache.get(f"k{number}")
                    assert found in (None, b"%d" % turn * 500), "another's answer"
                    await cache.increment("n")
                except (CacheConnectionError, CacheOperationError):
                    ended += 1
                    await asyncio.sleep(0.01)

        workers = [asyncio.create_task(work(number)) for number in range(20)]
        for _ in range(2):
            await asyncio.sleep(0.1)
            server.kill()
            await server.wait()
            before = ended
            async with asyncio.timeout(20):
                while ended < before + 20:  # noqa: ASYNC110 - each of them is told, none hangs
                    await asyncio.sleep(0.01)
            server = await start(kind, unused_tcp_port, tmp_path)
        stopping.set()
        async with asyncio.timeout(20):
            await asyncio.gather(*workers)
        with contextlib.suppress(CacheError):
            await cache.ping()
        await cache.set("after", b"x")
        assert await cache.get("after") == b"x"
        await cache.close()
    finally:
        server.kill()
        await server.wait()
