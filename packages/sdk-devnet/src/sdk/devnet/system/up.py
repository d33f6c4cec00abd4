"""``sdk devnet up``: the stack, left running to play with."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
from typing import TYPE_CHECKING

import click

from sdk.devnet.system.stack import ModuleFailed, stack

if TYPE_CHECKING:
    from pathlib import Path

    from sdk.devnet.system.stack import Stack

COMMAND = "SDK_COMMAND"
"""What whoever started us typed for ``sdk``; ``scripts/sdk`` says it."""
_TRY = """
{alias}  cd {folder}; export SDK_DEVNET_URL={devnet}
  for name in alice bob; do sdk wallet --home $name create --chain mock --arc-url {devnet} \\
      --whatsonchain-url {whatsonchain} --headers-url {headers}; done
  sdk wallet --home alice address | tee address    # JSON: the address, and how it was derived
  sdk devnet faucet ADDRESS 100000 > gift          # to the address that you see
  sdk wallet --home alice receive gift --address address
  sdk wallet --home alice pay $(sdk wallet --home bob identity) 5000 > payment
  sdk wallet --home bob receive payment
  sdk devnet mine                                  # or: reorg 1
  sdk wallet --home bob update                     # fetches proofs, as a monitor does all the time
  sdk wallet --home bob actions
  sdk runtime ps                                   # and logs, events, restart, replace, stop
A wallet in a program of yours, with the storage and the monitor that run here:
  export {exports}
"""


async def up(folder: Path, *, devnet_port: int, mine_every: float | None) -> None:
    """Until SIGINT or SIGTERM, or until a module fails (``ModuleFailed``)."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stopping.set)
    async with stack(
        folder, say=lambda part: click.echo(f"starting the {part} ..."), devnet_port=devnet_port, mine_every=mine_every
    ) as system:
        click.echo(describe(system))
        await _until_stopped(system, stopping)
        click.echo("stopping ...")


def describe(system: Stack) -> str:
    """Where everything is, and what to type in another terminal."""
    exports = " ".join(
        f"{name}={shlex.quote(value)}" for name, value in system.environ.items() if name.startswith("SDK_WALLET_")
    )
    where = "\n".join(f"  {each.name:12} {each.url}" for each in system.parts)
    command = os.environ.get(COMMAND)
    hints = _TRY.format(
        devnet=system.devnet.url,
        whatsonchain=system.environ["SDK_WALLET_WHATSONCHAIN_URL"],
        headers=system.headers.url,
        folder=shlex.quote(str(system.folder)),
        exports=exports,
        alias=f"  alias sdk={shlex.quote(command)}\n" if command else "",
    )
    return f"Running (files in {system.folder}):\n{where}\nIn another terminal:{hints}Ctrl-C stops everything."


async def _until_stopped(system: Stack, stopping: asyncio.Event) -> None:
    told, failed = asyncio.create_task(stopping.wait()), asyncio.create_task(system.failed.wait())
    try:
        await asyncio.wait({told, failed}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (told, failed):
            task.cancel()
        await asyncio.gather(told, failed, return_exceptions=True)
    if system.failed.is_set():
        raise ModuleFailed("a module", "ended by itself", "")  # which, the stack knows
