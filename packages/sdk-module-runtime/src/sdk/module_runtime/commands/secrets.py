"""``sdk runtime secrets``: the store on its own database, whether an orchestrator runs or not.

Values are read from standard input or asked for, never taken from the command line, where every user would see them.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sdk.module_runtime.orchestrator.secrets.store import SecretStore
    from sdk.module_runtime.orchestrator.stack import Stack

T = TypeVar("T")


def _stack() -> Stack | None:
    """The stack file of the working folder, or that ``SDK_RUNTIME_STACK`` names, says what the options do not."""
    path = Path(os.environ.get("SDK_RUNTIME_STACK", "stack.toml"))
    if not path.is_file():
        return None
    from sdk.module_runtime.orchestrator.stack import read_stack

    return read_stack(path)


def _key_of_stack() -> str | None:
    stack = _stack()
    return stack.secrets.key if stack is not None and stack.secrets is not None else None


def _url_of_stack() -> str | None:
    stack = _stack()
    return stack.orchestrator.database_url(os.environ) if stack is not None else None


def _schema_of_stack(url: str) -> str | None:
    """Of another database than its own the stack says nothing."""
    stack = _stack()
    is_own = stack is not None and url == stack.orchestrator.database_url(os.environ)
    return stack.orchestrator.database_schema if stack is not None and is_own else None


_KEY = click.option(
    "--key",
    envvar="SDK_RUNTIME_SECRET_KEY",
    show_envvar=True,
    required=True,
    default=_key_of_stack,
    show_default="secrets.key of stack.toml",
    help="file:PATH, environment:VARIABLE or keyring:SERVICE/USER.",
)
_STORE = (
    click.option(
        "--url",
        envvar="SDK_DATABASE_URL",
        show_envvar=True,
        required=True,
        default=_url_of_stack,
        show_default="that of stack.toml",
        help="The runtime's database.",
    ),
    click.option(
        "--schema",
        envvar="SDK_DATABASE_SCHEMA",
        show_envvar=True,
        show_default="that of stack.toml",
        help="PostgreSQL schema, or MySQL database.",
    ),
    _KEY,
)


def _store_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_STORE):
        function = option(function)
    return function


@click.group(name="secrets", help="Keep the secrets of modules, encrypted.")
def command() -> None:
    """A group; nothing to do before its sub-commands."""


@command.command(
    name="init", help="Make the key that secrets are encrypted with. Keep a copy: without it they are lost."
)
@_KEY
def init(key: str) -> None:
    from sdk.module_runtime.orchestrator.secrets.key_sources import create_key

    made = create_key(key).current
    url = _url_of_stack()
    if url is not None:
        asyncio.run(_prepare(url))
    click.echo(f"made key {made}")


async def _prepare(url: str) -> None:
    """The tables of a stack that has not run yet. Nothing for a database that is not the stack's."""
    from sdk.module_runtime.orchestrator.runtime import open_database

    stack = _stack()
    if stack is not None and url == stack.orchestrator.database_url(os.environ):
        stack.orchestrator.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        await (await open_database(url, stack.orchestrator.database_schema)).close()


@command.command(
    name="set", help="Set or rotate NAME to what is on standard input (one newline at its end is cut off)."
)
@click.argument("name")
@_store_options
def set_(name: str, url: str, schema: str | None, key: str) -> None:
    value = _value(name)
    rotation = _with_store(url, schema, key, lambda store: store.set({name: value}, actor=_operator()))
    if rotation.held:
        click.echo(f"rotation {rotation.rotation_id}: waiting for {', '.join(sorted(rotation.held))}")


@command.command(name="get", help="Write the value of NAME to standard output.")
@click.argument("name")
@_store_options
def get(name: str, url: str, schema: str | None, key: str) -> None:
    click.echo(_with_store(url, schema, key, lambda store: store.read(name, actor=_operator())))


@command.command(name="delete", help="Forget NAMES.")
@click.argument("names", nargs=-1, required=True)
@_store_options
def delete(names: tuple[str, ...], url: str, schema: str | None, key: str) -> None:
    _with_store(url, schema, key, lambda store: store.delete(names, actor=_operator()))


@command.command(name="list", help="Names, versions, and how many modules have not acknowledged the newest value.")
@_store_options
def list_(url: str, schema: str | None, key: str) -> None:
    for row in _with_store(url, schema, key, lambda store: store.listed()):
        waiting = f"  waiting for {row.waiting}" if row.waiting else ""
        click.echo(f"{row.name:<32} version {row.version:<4} {row.changed_at:%Y-%m-%dT%H:%M:%SZ}{waiting}")


@command.command(name="holders", help="Which modules were given NAME, and whether they use the newest value.")
@click.argument("name")
@_store_options
def holders(name: str, url: str, schema: str | None, key: str) -> None:
    for row in _with_store(url, schema, key, lambda store: store.holders(name)):
        state = "acknowledged" if row.acknowledged == row.newest else f"waiting for {row.rotation_id}"
        click.echo(f"{row.module_id:<32} {state}{f'  failed: {row.failure}' if row.failure else ''}")


@command.command(name="audit", help="Who did what, newest first.")
@click.option("--name", help="Only this secret.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@_store_options
def audit(name: str | None, limit: int, url: str, schema: str | None, key: str) -> None:
    for row in _with_store(url, schema, key, lambda store: store.audit(name, limit=limit)):
        done = f"{row.actor:<24} {row.operation:<11} {row.name:<24} {row.outcome}"
        click.echo(f"{row.created_at:%Y-%m-%dT%H:%M:%SZ} {done}{f'  {row.detail}' if row.detail else ''}")


@command.command(
    name="rekey", help="Encrypt everything with a new key. An environment variable: put the new key first."
)
@_store_options
def rekey(url: str, schema: str | None, key: str) -> None:
    count = _with_store(url, schema, key, lambda store: store.rekey(key, actor=_operator()))
    click.echo(f"encrypted {count} anew")


def _value(name: str) -> str:
    if sys.stdin.isatty():
        entered: str = click.prompt(f"value of {name}", hide_input=True, confirmation_prompt=True)
        return entered
    from sdk.module_runtime.secrets.names import LARGEST_VALUE

    text = sys.stdin.read(LARGEST_VALUE + 2)
    return text[:-1] if text.endswith("\n") else text


def _operator() -> str:
    return f"operator:{getpass.getuser()}"


def _with_store(url: str, schema: str | None, key: str, work: Callable[[SecretStore], Awaitable[T]]) -> T:
    from sdk.module_runtime.orchestrator.secrets.key_sources import load_keys
    from sdk.module_runtime.orchestrator.secrets.store import SecretStore
    from sdk.service.database import Database

    keys = load_keys(key)

    async def run() -> T:
        stack = _stack()
        if stack is not None and not stack.orchestrator.state.exists():
            await _prepare(url)
        async with await Database.open(url, schema=schema or _schema_of_stack(url)) as database:
            return await work(await SecretStore.open(database, keys))

    return asyncio.run(run())
