"""``sdk chaintracks serve|tail|verify``"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdk.core.errors import ConfigurationError

if TYPE_CHECKING:
    from sdk.chaintracks.settings import ChaintracksSettings
    from sdk.chaintracks.shared.watch import News
    from sdk.chaintracks.sources import HeaderSource, RunSource

NETWORKS = ("main", "test", "stn", "regtest", "teratest", "mock")

_LOCK_WAIT = 5.0
_FIRST_LOOK = 5.0


@click.group(name="chaintracks", help="Block headers: follow, check and serve them.")
def command() -> None:
    """A group; nothing to do before its sub-commands."""


@command.command(name="serve", help="Follow the network and serve its headers until stopped (SIGTERM or Ctrl-C).")
@click.option("--network", type=click.Choice(NETWORKS), help="[default: main]")
@click.option(
    "--source",
    multiple=True,
    help="whatsonchain, p2p[:HOST:PORT], cdn[:URL or FOLDER], chaintracks:URL, devnet[:URL], or a URL of WhatsOnChain's"
    " wire with the network; may be repeated, the first is asked first.",
)
@click.option("--database", help="sqlite:///path, postgresql+psycopg://… or mysql+pymysql://…")
@click.option("--store", help="files, files:FOLDER or sql.  [default: files, in a folder beside the database]")
@click.option("--host", help="[default: 127.0.0.1]")
@click.option("--port", type=int, help="0 takes a free one.  [default: 3011]")
@click.option("--interval", type=float, help="Seconds between two looks at a source.  [default: 10]")
@click.option("--refresh", type=float, help="Seconds between two looks at what others have stored.  [default: 2]")
@click.option("--fanout", help="redis://… by which processes over one database tell one another what is new.")
def serve(source: tuple[str, ...], **given: Any) -> None:
    from sdk.chaintracks.settings import ChaintracksSettings
    from sdk.service.logging import configure_logging

    configure_logging()
    asyncio.run(_serve(ChaintracksSettings.load(source=source or None, **given)))


@command.command(name="verify", help="Check FILE, headers of 80 bytes each, and say what holds.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from-height", type=click.IntRange(0, 0x7FFFFFFF), required=True, help="Height of the first header.")
@click.option("--network", type=click.Choice(NETWORKS), default="main", show_default=True)
def verify(file: Path, from_height: int, network: str) -> None:
    import time

    from sdk.chaintracks.consensus import Rules
    from sdk.chaintracks.verify import verify_file
    from sdk.core.chain import ChainParameters

    try:
        found = verify_file(Rules.of(ChainParameters.named(network)), file, from_height, now=int(time.time()))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    click.echo(f"{found.count} {network} headers hold, heights {found.first}-{found.last}")
    click.echo(f"tip      {found.tip_hash}")
    click.echo(f"work     {found.work:064x}")
    click.echo(f"speed    {found.count / max(found.seconds, 1e-9):,.0f} headers/s ({found.seconds:.3f} s)")
    for each in found.unchecked:
        click.echo(f"not checked, because what comes before is not in the file: {each}")


@command.command(name="tail", help="Print each new tip and reorganisation that the server at URL tells of.")
@click.argument("url", nargs=-1, required=True)
@click.option("--after", metavar="CURSOR", help="Begin after this one, the first word of a line printed earlier.")
@click.option("--network", type=click.Choice(NETWORKS), help="Check proof of work by this network's limit too.")
@click.option("--count", type=click.IntRange(1), help="End after so many lines.  [default: never]")
def tail(url: tuple[str, ...], after: str | None, network: str | None, count: int | None) -> None:
    from sdk.chaintracks.tail import follow

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(follow(url, after, network, click.echo, most=count))


def _sources(settings: ChaintracksSettings) -> list[HeaderSource | RunSource]:
    from sdk.chaintracks.sources.opening import SourceContext, open_sources
    from sdk.chaintracks.store.folders import beside
    from sdk.core.chain import ChainParameters

    key = settings.api_key.get_secret_value() if settings.api_key is not None else None
    try:
        parameters = ChainParameters.named(settings.network)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    home = beside(settings.database, settings.network, Path.cwd())
    cache = home.with_name(f"{home.name}-downloads")
    return open_sources(settings.source, SourceContext(parameters, key, settings.pause, cache))


def _news(settings: ChaintracksSettings) -> News | None:
    if settings.fanout is None:
        return None
    from sdk.chaintracks.shared.redis_news import RedisNews

    return RedisNews.open(settings.fanout.get_secret_value(), f"sdk.chaintracks.{settings.network}")


async def _serve(settings: ChaintracksSettings) -> None:
    from sdk.chaintracks.engine import Chaintracks
    from sdk.chaintracks.server import create_chaintracks_app
    from sdk.chaintracks.shared.watch import watching
    from sdk.chaintracks.store.folders import beside
    from sdk.service.database import Database
    from sdk.service.http_app import serve as serve_app

    sources, news = _sources(settings), _news(settings)
    database = await Database.open(settings.database, schema=settings.database_schema, timeout=_LOCK_WAIT)
    try:
        service = await Chaintracks.open(
            settings.network,
            database,
            sources,
            store=settings.store,
            folder=beside(settings.database, settings.network, Path.cwd()),
            interval=settings.interval,
            max_backoff=settings.max_backoff,
            stale_after=settings.stale_after,
        )
        with contextlib.suppress(TimeoutError):  # a long way to go is gone while serving
            await asyncio.wait_for(service.sync(), _FIRST_LOOK)
        tip = service.chain.tip
        for each in service.followers:
            if each.last_error is not None:
                click.echo(f"sdk: {each.last_error}; it is tried again", err=True)
        try:
            await service.start()
            async with watching(service.chain, every=settings.refresh, news=news):
                await serve_app(
                    create_chaintracks_app(service),
                    settings.host,
                    settings.port,
                    ready=lambda server: click.echo(f"headers of {settings.network} up to {tip.height}: {server.url}"),
                )
        finally:
            await service.stop()
    finally:
        await database.close()
