"""``sdk devnet up|serve|mine|reorg|faucet|status``"""

from __future__ import annotations

import asyncio
import json
import string
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.devnet.settings import DevnetSettings

_URL = click.option(
    "--url", envvar="SDK_DEVNET_URL", show_envvar=True, default="http://127.0.0.1:8090", show_default=True
)


@click.group(name="devnet", help="A local chain with the wires of ARC and WhatsOnChain, a faucet and reorgs.")
def command() -> None:
    """A group; nothing to do before its sub-commands."""


@command.command(name="serve", help="Serve a chain until stopped (SIGTERM or Ctrl-C).")
@click.option("--host", help="[default: 127.0.0.1]")
@click.option("--port", type=int, help="0 takes a free one.  [default: 8090]")
@click.option("--p2p-port", type=int, help="Serve headers to Bitcoin peers; 0 takes a free one.  [default: none]")
@click.option("--mine-every", type=float, metavar="SECONDS", help="Mine by itself.  [default: only when asked]")
@click.option("--directory", type=click.Path(path_type=Path), help="Keep the chain here.  [default: nowhere]")
def serve(
    host: str | None, port: int | None, p2p_port: int | None, mine_every: float | None, directory: Path | None
) -> None:
    from sdk.devnet.settings import DevnetSettings
    from sdk.service.logging import configure_logging

    configure_logging()
    settings = DevnetSettings.load(host=host, port=port, p2p_port=p2p_port, mine_every=mine_every, directory=directory)
    asyncio.run(_serve(settings))


@command.command(name="up", help="Run devnet, header service, wallet storage and monitor until Ctrl-C, to play with.")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep databases and logs here.  [default: a new one]")
@click.option("--port", type=int, default=8090, show_default=True, help="Of the devnet; 0 takes a free one.")
@click.option("--mine-every", type=float, metavar="SECONDS", help="Mine by itself.  [default: only when asked]")
def up(folder: Path | None, port: int, mine_every: float | None) -> None:
    import tempfile

    from sdk.devnet.system import up as run_stack

    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="sdk-devnet-"))
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(run_stack(folder, devnet_port=port, mine_every=mine_every))


@command.command(name="mine", help="Mine BLOCKS blocks (1).")
@_URL
@click.argument("blocks", type=int, default=1)
def mine(url: str, blocks: int) -> None:
    found = _ask(url, "/mine", {"blocks": blocks})
    click.echo(f"height {found['height']}  tip {found['tip']}")


@command.command(name="reorg", help="Replace the last DEPTH blocks (1) by one more others.")
@_URL
@click.option("--remine", is_flag=True, help="Mine what was removed again, in one more block.")
@click.argument("depth", type=int, default=1)
def reorg(url: str, remine: bool, depth: int) -> None:
    found = _ask(url, "/reorg", {"depth": depth, "remine": remine})
    click.echo(f"height {found['height']}  tip {found['tip']}")


@command.command(
    name="faucet",
    help="Pay SATOSHIS to RECEIVER, a locking script in hex or an address; prints outpoint and AtomicBEEF.",
)
@_URL
@click.option("--mine", "mined", is_flag=True, help="Mine the payment at once.")
@click.argument("receiver")
@click.argument("satoshis", type=int)
def faucet(url: str, mined: bool, receiver: str, satoshis: int) -> None:
    kind = "lockingScript" if set(receiver) <= set(string.hexdigits) else "address"
    paid = _ask(url, "/faucet", {kind: receiver, "satoshis": satoshis, "mine": mined})
    click.echo(f"{paid['txid']}.{paid['outputIndex']}")
    click.echo(paid["tx"])


@command.command(name="status", help="Height, tip and mempool as JSON.")
@_URL
def status(url: str) -> None:
    click.echo(json.dumps(_ask(url, "/status"), indent=2))


def _ask(url: str, path: str, body: Any = None) -> Any:
    """Raises ``ServiceRejected`` with the devnet's words, or ``ServiceUnavailable``."""
    from sdk.service.http_client import HttpClient

    async def ask() -> Any:
        http = HttpClient(url, service="devnet")
        try:
            return await (http.get_json(path) if body is None else http.post_json(path, body))
        finally:
            await http.close()

    return asyncio.run(ask())


async def _serve(settings: DevnetSettings, announce: Callable[[str], None] = click.echo) -> None:
    from sdk.devnet.opening import opened
    from sdk.devnet.server import DevnetUrls
    from sdk.service.http_app import serve

    async with opened(settings) as devnet:

        def ready(base: str) -> None:
            urls = DevnetUrls.of(base)
            also = "" if devnet.peer is None else f", {devnet.peer} (P2P)"
            announce(f"devnet at {urls.base} (ARC, faucet), {urls.whatsonchain} (WhatsOnChain){also}")

        await serve(devnet.app, settings.host, settings.port, drain=2.0, ready=lambda server: ready(server.url))
