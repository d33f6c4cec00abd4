"""``python -m sdk.devnet.quickstart``: exit code 0 only if every step was checked."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from sdk.core.errors import SdkError
from sdk.devnet.quickstart.checks import Protocol
from sdk.devnet.quickstart.story import tell
from sdk.devnet.system import stack
from sdk.devnet.system.stack import Databases

if TYPE_CHECKING:
    from sdk.core.wallet import Action


def main() -> int:
    databases = _databases()
    console = Console(highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="sdk-quickstart-"))
    started = time.monotonic()
    try:
        asyncio.run(_run(console, folder, databases))
    except SdkError as error:
        console.print(f"[red]failed:[/red] {error}", soft_wrap=True)
        console.print(f"The logs and databases are in {folder}", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("stopped")
        return 130
    shutil.rmtree(folder)
    console.print(f"[green]Every step was checked.[/green] {time.monotonic() - started:.1f} s")
    console.print("To play with such a system: ./scripts/sdk devnet up")
    return 0


def _databases() -> Databases:
    parser = argparse.ArgumentParser(prog="scripts/quickstart", description="The main job, every step checked.")
    parser.add_argument("--proxied", action="store_true", help="the orchestrator lends the modules their databases")
    parser.add_argument("--database", metavar="URL", help="a server's, empty, for the wallets: postgresql+psycopg://…")
    given = parser.parse_args()
    return Databases("proxied" if given.proxied else "direct", given.database)


async def _run(console: Console, folder: Path, databases: Databases) -> None:
    protocol = Protocol(lambda text: console.print(f"  {text} ..."))
    console.print("[bold]Bringing the system up[/bold]")
    protocol.begin("starting")
    async with stack(folder, say=protocol.say, databases=databases) as system:
        where = ", ".join(f"{each.name} {each.url}" for each in system.parts)
        protocol.done("Devnet, header service, monitor and wallet are up", f"{len(system.parts)} modules are ready")
        console.print(f"  {where}", soft_wrap=True)
        console.print("[bold]Two wallets, one payment[/bold]")
        actions, balances = await tell(system, protocol)
        protocol.begin("Stopping everything")
    protocol.done("Everything is stopped", "every module ended with code 0")
    _show(console, protocol, actions, balances)


def _show(console: Console, protocol: Protocol, actions: list[tuple[str, Action]], balances: dict[str, int]) -> None:
    steps = Table("step", "checked", "seconds", title="What happened")
    for what, shown, seconds in protocol.steps:
        steps.add_row(what, shown, f"{seconds:.1f}")
    console.print(steps)
    table = Table("wallet", "action", "satoshis", "status", "txid", title="Actions")
    for name, action in actions:
        table.add_row(
            name,
            action.description,
            f"{action.satoshis:,}",
            action.status,
            action.txid[:16] + "…",
        )
    console.print(table)
    console.print("Balances: " + ", ".join(f"{name} {satoshis:,}" for name, satoshis in balances.items()))


if __name__ == "__main__":
    sys.exit(main())
