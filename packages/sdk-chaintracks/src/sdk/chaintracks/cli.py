"""``sdk chaintracks serve|sync|tail|verify|export|info``"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sdk.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import web

    from sdk.chaintracks.engine import Chaintracks
    from sdk.chaintracks.settings import ChaintracksSettings
    from sdk.chaintracks.shared.watch import News
    from sdk.chaintracks.sources import HeaderSource, RunSource

NETWORKS = ("main", "test", "stn", "regtest", "teratest", "mock")

_FIRST_LOOK = 5.0


@click.group(name="chaintracks", help="Block headers: follow, check and serve them.")
def command() -> None:
    """A group; nothing to do before its sub-commands."""


def _store_options(function: Callable[..., None]) -> Callable[..., None]:
    """Which chain, and where it is kept."""
    for option in (
        click.option("--store", help="files, files:FOLDER or sql.  [default: files, in a folder beside the database]"),
        click.option("--database", help="sqlite:///path, postgresql+psycopg://… or mysql+pymysql://…"),
        click.option("--network", type=click.Choice(NETWORKS), help="[default: main]"),
    ):
        function = option(function)
    return function


def _source_option(function: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--source",
        multiple=True,
        help="cdn[:URL or FOLDER], whatsonchain, p2p[:HOST:PORT], chaintracks:URL, devnet[:URL], teranode[:PEER,…], or"
        " a URL of WhatsOnChain's wire with the network; may be repeated, the first is asked first.",
    )(function)


@command.command(name="serve", help="Follow the network and serve its headers until stopped (SIGTERM or Ctrl-C).")
@_store_options
@_source_option
@click.option("--host", help="[default: 127.0.0.1]")
@click.option("--port", type=int, help="0 takes a free one.  [default: 3011]")
@click.option("--interval", type=float, help="Seconds between two looks at a source.  [default: 10]")
@click.option("--refresh", type=float, help="Seconds between two looks at what others have stored.  [default: 2]")
@click.option("--fanout", help="redis://… by which processes over one database tell one another what is new.")
@click.option("--transactions", help="The plugin that answers /tx and /merkle, such as wallet.  [default: none]")
@click.option("--trusted-proxies", type=int, help="Reverse proxies in front, which tell the clients.  [default: 0]")
def serve(source: tuple[str, ...], **given: Any) -> None:
    from sdk.chaintracks.settings import ChaintracksSettings
    from sdk.service.event_loop import run
    from sdk.service.logging import configure_logging

    configure_logging()
    run(_serve(ChaintracksSettings.load(source=source or None, **given)))


@command.command(name="sync", help="Fetch and check headers until they are all here, and stop.")
@_store_options
@_source_option
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds after which to give up.")
def sync(source: tuple[str, ...], timeout: float | None, **given: Any) -> None:
    from sdk.chaintracks.settings import ChaintracksSettings
    from sdk.service.event_loop import run
    from sdk.service.logging import configure_logging

    configure_logging()
    run(_sync(ChaintracksSettings.load(source=source or None, **given), timeout))


@command.command(
    name="export",
    help="Write the stored headers to PLACE: a folder as header CDNs serve it, or one file if the name ends in .bin.",
)
@click.argument("place", type=click.Path(path_type=Path))
@_store_options
@click.option("--from-height", type=click.IntRange(0), default=0, help="Of a .bin file.  [default: 0]")
@click.option("--to-height", type=click.IntRange(0), help="[default: the tip]")
@click.option("--per-file", type=click.IntRange(1, 400_000), default=100_000, show_default=True)
@click.option("--url", default="", help="Where the folder will be served; it is written into the index.")
def export(place: Path, from_height: int, to_height: int | None, per_file: int, url: str, **given: Any) -> None:
    from sdk.chaintracks.settings import ChaintracksSettings

    if from_height and place.suffix != ".bin":
        raise click.UsageError("a folder begins at height 0: --from-height goes with a .bin file")
    if to_height is not None and to_height < from_height:
        raise click.UsageError(f"--to-height {to_height} lies below --from-height {from_height}")
    asyncio.run(_export(ChaintracksSettings.load(**given), place, from_height, to_height, per_file, url))


@command.command(name="info", help="What the store holds, as JSON; a service may be using it.")
@_store_options
def info(**given: Any) -> None:
    import json

    from sdk.chaintracks.settings import ChaintracksSettings

    click.echo(json.dumps(asyncio.run(_info(ChaintracksSettings.load(**given))), indent=2))


@command.command(name="verify", help="Check FILE, headers of 80 bytes each, and say what holds.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--from-height", type=click.IntRange(0, 0x7FFFFFFF), required=True, help="Height of the first header.")
@click.option("--network", type=click.Choice(NETWORKS), default="main", show_default=True)
def verify(file: Path, from_height: int, network: str) -> None:
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
@click.option(
    "--poll",
    type=click.FloatRange(0, 3600, min_open=True),
    default=10.0,
    show_default=True,
    help="Seconds between two looks at a server that does not tell by itself.",
)
def tail(url: tuple[str, ...], after: str | None, network: str | None, count: int | None, poll: float) -> None:
    from sdk.chaintracks.tail import follow
    from sdk.service.event_loop import run

    with contextlib.suppress(KeyboardInterrupt):
        run(follow(url, after, network, click.echo, most=count, poll=poll))


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


def _folder(settings: ChaintracksSettings) -> Path | None:
    """Where buried headers lie; None when they lie in the database."""
    from sdk.chaintracks.store.folders import beside

    kind, _, location = settings.store.partition(":")
    if kind != "files":
        return None
    return Path(location) if location else beside(settings.database, settings.network, Path.cwd())


@contextlib.asynccontextmanager
async def _opened(settings: ChaintracksSettings) -> AsyncIterator[Chaintracks]:
    from sdk.chaintracks.engine import Chaintracks
    from sdk.service.database import Database

    sources = _sources(settings)
    database = await Database.open(
        settings.database, schema=settings.database_schema, timeout=settings.database_timeout
    )
    try:
        service = await Chaintracks.open(
            settings.network,
            database,
            sources,
            store=settings.store,
            folder=_folder(settings),
            interval=settings.interval,
            max_backoff=settings.max_backoff,
            stale_after=settings.stale_after,
        )
        try:
            yield service
        finally:
            await service.stop()
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def serving(settings: ChaintracksSettings) -> AsyncIterator[tuple[Chaintracks, web.Application]]:
    """A header service that has had a first look at its sources and follows them, and its application."""
    from sdk.chaintracks.server import ServerOptions, create_chaintracks_app
    from sdk.chaintracks.server.options import limits_of
    from sdk.chaintracks.server.transactions import open_transactions
    from sdk.chaintracks.shared.watch import watching

    news = _news(settings)
    async with contextlib.AsyncExitStack() as opened:
        transactions = await open_transactions(settings.transactions, settings.network)
        if transactions is not None:
            opened.push_async_callback(transactions.close)
        service = await opened.enter_async_context(_opened(settings))
        app = create_chaintracks_app(
            service, limits=limits_of(settings), options=ServerOptions.of(settings), transactions=transactions
        )
        await service.start()
        with contextlib.suppress(TimeoutError):  # a long way to go is gone while serving
            async with asyncio.timeout(_FIRST_LOOK):
                await service.first_look()
        for each in service.followers:
            if each.last_error is not None:
                click.echo(f"sdk: source {each.source.name}: {each.last_error}; it is tried again", err=True)
        async with watching(service.chain, every=settings.refresh, news=news):
            yield service, app


async def _serve(settings: ChaintracksSettings) -> None:
    from sdk.service.http_app import listen
    from sdk.service.http_app import serve as serve_app

    listen(settings.host, settings.port).close()  # a port that is taken is said before the first look, not after it
    async with serving(settings) as (service, app):
        tip = service.chain.tip
        await serve_app(
            app,
            settings.host,
            settings.port,
            drain=settings.drain,
            ready=lambda server: click.echo(f"headers of {settings.network} up to {tip.height}: {server.url}"),
        )


async def _sync(settings: ChaintracksSettings, timeout: float | None) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from sdk.chaintracks.consensus.fields import display
    from sdk.chaintracks.syncing import sync_until_current
    from sdk.core.errors import ServiceUnavailable

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    async with _opened(settings) as service:
        started, height = time.monotonic(), service.chain.tip.height
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            bar = progress.add_task(f"headers of {settings.network}", total=None)
            fault = await sync_until_current(
                service, lambda done, total: progress.update(bar, completed=done, total=total), timeout=timeout
            )
        if fault is not None:
            raise ServiceUnavailable("headers", f"height {service.chain.tip.height} was reached; {fault}")
        tip, seconds = service.chain.tip, max(time.monotonic() - started, 1e-9)
        click.echo(f"headers of {settings.network} up to {tip.height}: {display(tip.hash)}")
        fresh = tip.height - height
        click.echo(f"{fresh} new ones in {seconds:.1f} s ({fresh / seconds:,.0f} a second)")


async def _export(
    settings: ChaintracksSettings, place: Path, first: int, last: int | None, per_file: int, url: str
) -> None:
    from sdk.chaintracks.export import export_file, export_folder
    from sdk.chaintracks.store.reading import stored_chain
    from sdk.chaintracks.store.sql import SqlLive
    from sdk.service.database import Database

    async with await Database.open(settings.database, schema=settings.database_schema, read_only=True) as database:
        headers = stored_chain(SqlLive(database), _folder(settings), settings.network)
        try:
            if place.suffix == ".bin":
                found = await export_file(headers, place, first=first, last=last)
            else:
                found = await export_folder(settings.network, headers, place, last=last, per_file=per_file, url=url)
        except OSError as error:
            raise ConfigurationError(f"headers cannot be exported to {place}: {error.strerror}") from error
    if not found.count:
        raise ConfigurationError(f"the store holds no headers of {settings.network} from height {first} on")
    click.echo(f"{found.count} headers, heights {found.first}-{found.last}, tip {found.tip}")
    click.echo(f"{found.written} file{'' if found.written == 1 else 's'} written to {place}")


async def _info(settings: ChaintracksSettings) -> dict[str, object]:
    from sdk.chaintracks.info import store_info
    from sdk.chaintracks.store.sql import SqlLive
    from sdk.service.database import Database

    async with await Database.open(settings.database, schema=settings.database_schema, read_only=True) as database:
        return await store_info(SqlLive(database), _folder(settings), settings.network)
