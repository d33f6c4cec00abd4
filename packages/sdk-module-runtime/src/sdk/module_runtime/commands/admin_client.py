"""What the commands that ask a running orchestrator share."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

STACK = click.option(
    "--stack",
    type=click.Path(path_type=Path),
    default=Path("stack.toml"),
    envvar="SDK_RUNTIME_STACK",
    show_default=True,
    show_envvar=True,
    help="The stack file of the orchestrator to ask.",
)


def ask(stack: Path, method: str, path: str, **query: Any) -> Any:
    """The JSON answer. ``ConfigurationError`` if no orchestrator runs; a refusal is a ``ClickException``."""
    return asyncio.run(_ask(_socket(stack), method, path, query))


def follow(stack: Path, path: str, take: Callable[[bytes], None], **query: Any) -> None:
    """Hand each line of an answer to ``take`` as it comes."""
    asyncio.run(_follow(_socket(stack), path, take, query))


def _socket(stack: Path) -> str:
    from sdk.core.errors import ConfigurationError
    from sdk.module_runtime.orchestrator.stack import read_stack
    from sdk.module_runtime.orchestrator.state_folder import admin_socket

    socket = admin_socket(read_stack(stack).orchestrator.state)
    if socket is None:
        raise ConfigurationError(f"no orchestrator runs for {stack}: start it with `sdk runtime up {stack}`")
    return socket


async def _ask(socket: str, method: str, path: str, query: dict[str, Any]) -> Any:
    import aiohttp

    async with _session(socket) as session:
        try:
            async with session.request(method, path, params=_given(query)) as response:
                answer = await response.json()
        except aiohttp.ClientConnectionError as error:
            raise click.ClickException(f"the orchestrator at {socket} does not answer: {error}") from error
        except aiohttp.ClientError as error:
            raise click.ClickException(f"the orchestrator did not answer as it should: {error}") from error
    if response.status >= 400:
        raise click.ClickException(str(answer.get("description", answer)))
    return answer


async def _follow(socket: str, path: str, take: Callable[[bytes], None], query: dict[str, Any]) -> None:
    async with _session(socket) as session, session.get(path, params=_given(query)) as response:
        if response.status >= 400:
            raise click.ClickException(str((await response.json()).get("description")))
        lines: AsyncIterator[bytes] = response.content
        async for line in lines:
            take(line)


def _session(socket: str) -> Any:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    return aiohttp.ClientSession("http://orchestrator", connector=aiohttp.UnixConnector(socket), timeout=timeout)


def _given(query: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in query.items() if value is not None}
