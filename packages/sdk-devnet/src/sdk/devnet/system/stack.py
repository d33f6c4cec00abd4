"""Devnet, header service, wallet storage and monitor, wired to one another as an operator would wire them."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdk.devnet.system.program import Program, ProgramFailed
from sdk.service.database import Database
from sdk.service.migrations import installed, upgrade

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

CHAIN = "mock"


@dataclass(frozen=True)
class Stack:
    """Where everything is. ``environ`` is what a wallet on this stack needs (``SDK_WALLET_*``)."""

    folder: Path
    devnet: Program
    headers: Program
    monitor: Program
    environ: Mapping[str, str]

    @property
    def programs(self) -> tuple[Program, ...]:
        return self.devnet, self.headers, self.monitor

    @property
    def database_url(self) -> str:
        return self.environ["SDK_WALLET_DATABASE"]


@asynccontextmanager
async def stack(
    folder: Path,
    *,
    say: Callable[[str], None],
    devnet_port: int = 0,
    headers_port: int = 0,
    monitor_port: int = 0,
    mine_every: float | None = None,
) -> AsyncIterator[Stack]:
    """A running stack with its files in ``folder``, which exists; stopped at the end, the last started first.

    Port 0 takes a free one. Raises ``ProgramFailed`` if a part does not start, or does not end with code 0.
    """
    async with AsyncExitStack() as running:
        say("devnet")
        mining = () if mine_every is None else ("--mine-every", str(mine_every))
        devnet = await _run(
            running, folder, "devnet", ("devnet", "serve", "--port", str(devnet_port), *mining), clean_environment()
        )
        whatsonchain = f"{devnet.url}/v1/bsv/{CHAIN}"
        say("header service")
        headers = await _run(
            running,
            folder,
            "chaintracks",
            _chaintracks(whatsonchain, folder, headers_port),
            {**clean_environment(), "SDK_CHAINTRACKS_INTERVAL": "0.2"},
        )
        environ = {
            **clean_environment(),
            "SDK_WALLET_CHAIN": CHAIN,
            "SDK_WALLET_DATABASE": f"sqlite:///{folder / 'wallet.sqlite'}",
            "SDK_WALLET_ARC_URL": devnet.url,
            "SDK_WALLET_WHATSONCHAIN_URL": whatsonchain,
            "SDK_WALLET_WHATSONCHAIN_MIN_INTERVAL": "0",
            "SDK_WALLET_WHATSONCHAIN_DEPENDENT_WAIT": "0",
            "SDK_WALLET_HEADERS_URL": headers.url,
            **EAGER_MONITOR,
        }
        say("wallet storage")
        await _prepare_storage(environ["SDK_WALLET_DATABASE"])
        say("monitor")
        monitor = await _run(running, folder, "monitor", ("monitor", "run", "--port", str(monitor_port)), environ)
        yield Stack(folder, devnet, headers, monitor, environ)


EAGER_MONITOR = {
    "SDK_MONITOR_POLL": "0.1",
    "SDK_MONITOR_SEND_MIN_AGE": "0",
    "SDK_MONITOR_INTERVALS": '{"send-waiting": 0.3, "new-header": 0.3, "check-for-proofs": 1, "reorg": 1}',
}
"""A local chain has nobody to be spared: look often."""


def clean_environment() -> dict[str, str]:
    """The caller's environment without settings of components, which this stack makes itself."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SDK_")}


def _chaintracks(source: str, folder: Path, port: int) -> tuple[str, ...]:
    database = f"sqlite:///{folder / 'headers.sqlite'}"
    where = ("--network", CHAIN, "--source", source, "--database", database, "--port", str(port))
    return ("chaintracks", "serve", *where)


async def _prepare_storage(url: str) -> None:
    """The tables of the wallet and of the monitor, before anybody opens them."""
    database = await Database.open(url)
    try:
        await upgrade(database, [each for each in installed() if each.component in ("wallet", "monitor")])
    finally:
        await database.close()


async def _run(
    running: AsyncExitStack, folder: Path, name: str, arguments: tuple[str, ...], environ: Mapping[str, str]
) -> Program:
    program = await Program.start(name, arguments, environ, folder / f"{name}.log")
    running.push_async_callback(_stop, program)
    return program


async def _stop(program: Program) -> None:
    code = await program.stop()
    if code != 0:
        raise ProgramFailed(program.name, f"ended with code {code}", program.last_words())
