"""A module that pays from a wallet on each database its arguments name by URL, and says on stderr how fast it was."""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from sdk.module_runtime.module.program import ModuleProgram
from wallet import PAYMENT, concurrent, fund, repeat, wallet_on

if TYPE_CHECKING:
    from sdk.module_runtime.module.context import ModuleContext

COINS, ALONE, AT_ONCE = 300, 60, 16


async def build(context: ModuleContext) -> web.Application:
    asyncio.get_running_loop().call_soon(begin)
    return web.Application()


def begin() -> None:
    tasks.append(asyncio.create_task(measure()))
    tasks[0].add_done_callback(asyncio.Task.result)  # which says what went wrong


async def measure() -> None:
    found: dict[str, float] = {}
    for name, url in json.loads(sys.argv[1]).items():
        async with wallet_on(url) as (wallet, network):
            await fund(wallet, network, COINS)
            pay = partial(wallet.create_action, PAYMENT)
            await repeat(pay, 20)
            found[name] = await repeat(pay, ALONE)
            if url.startswith(("sqlite", "lent+sqlite")):  # on servers those of one wallet lose races to one another
                found[f"{name} at once"] = await concurrent(pay, 10 * AT_ONCE, AT_ONCE)
    sys.stderr.write(f"MEASURED {json.dumps(found)}\n")
    sys.stderr.flush()


tasks: list[asyncio.Task[None]] = []

if __name__ == "__main__":
    sys.exit(ModuleProgram(build, "payments").run([]))
