"""A command's end waits for no thread that hangs, and loses nothing that is done."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time

import pytest

from sdk.service.event_loop import run

HANGS = """
import asyncio, threading
from sdk.service.event_loop import run

async def main():
    hanging = asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
    await asyncio.wait([hanging], timeout=0.05)
    hanging.cancel()

run(main())
print("ended")
"""


def test_a_process_ends_though_a_thread_hangs() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=60, check=True)
    assert (ended.stdout, ended.stderr) == ("ended\n", "")


def test_calls_in_threads_answer_as_ever() -> None:
    def fails() -> None:
        raise KeyError("x")

    async def main() -> int:
        loop = asyncio.get_running_loop()
        assert (await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM))[0][4] == ("127.0.0.1", 80)
        with pytest.raises(KeyError):
            await asyncio.to_thread(fails)
        return sum(await asyncio.gather(*(asyncio.to_thread(pow, 2, each) for each in range(50))))

    assert run(main()) == 2**50 - 1


def test_the_end_takes_no_longer_than_the_coroutine() -> None:
    release = threading.Event()

    async def main() -> None:
        asyncio.get_running_loop().run_in_executor(None, release.wait)
        await asyncio.sleep(0)

    began = time.monotonic()
    run(main())
    release.set()
    assert time.monotonic() - began < 5
