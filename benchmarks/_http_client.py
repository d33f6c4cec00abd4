"""``python _http_client.py URL PATH SECONDS CALLERS`` prints how many requests were answered with 200."""

from __future__ import annotations

import asyncio
import sys
import time

from aiohttp import ClientSession


async def main(url: str, path: str, seconds: float, callers: int) -> None:
    done, end = 0, time.perf_counter() + seconds

    async def caller(session: ClientSession) -> None:
        nonlocal done
        while time.perf_counter() < end:
            async with session.get(path) as answer:
                await answer.read()
                if answer.status != 200:
                    raise SystemExit(f"{url}{path} answered {answer.status}")
            done += 1

    async with ClientSession(url) as session:
        await asyncio.gather(*(caller(session) for _ in range(callers)))
    print(done)


asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
