"""Devnet, header service, wallet with its storage's monitor, as modules of an orchestrator in this process."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
import sys
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Final, Literal

from sdk.core.errors import SdkError
from sdk.module_runtime.data.database import PoolConfig
from sdk.module_runtime.data.database.urls import config_of
from sdk.module_runtime.orchestrator import happenings, runtime
from sdk.module_runtime.orchestrator.hosts.scopes import DatabaseScope
from sdk.module_runtime.orchestrator.secrets.key_sources import create_key
from sdk.module_runtime.orchestrator.secrets.store import SecretStore
from sdk.module_runtime.orchestrator.stack import read_stack
from sdk.module_runtime.secrets.redaction import redact_secrets
from sdk.service.logging import configure_logging

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    from sdk.module_runtime.orchestrator.happenings import Happening
    from sdk.module_runtime.orchestrator.runtime import Runtime
    from sdk.module_runtime.orchestrator.stack import Stack as StackFile

CHAIN: Final = "mock"
ROOT_KEY: Final = "WALLET_ROOT_KEY"
TOKEN_KEY: Final = "JWT_KEY"
AUDIENCE: Final = "wallet"
START_SECONDS: Final = 60.0
CONNECTIONS: Final = 20
"""Of a module to a server: ``Database`` opens up to twelve, and the monitor has two of them while it starts."""
_PASSWORD: Final = "WALLET_DATABASE_PASSWORD"
_LAST_LINES: Final = 3


class ModuleFailed(SdkError):
    """A module did not start, ended by itself, or did not end with code 0; the message holds the last of its log."""

    code = "ERR_MODULE_FAILED"

    def __init__(self, name: str, what: str, log: str) -> None:
        self.name, self.what, self.log = name, what, log
        super().__init__(name, what, log)

    def __str__(self) -> str:
        said = f"; it said: {self.log}" if self.log else ""
        return f"{self.name} {self.what}{said}"


@dataclass(frozen=True)
class Part:
    """A module, and where it is asked: its own address, or for the wallet the gateway's."""

    name: str
    url: str


@dataclass(frozen=True)
class Stack:
    """Where everything is. ``environ`` is what a wallet on this stack needs (``SDK_WALLET_*``)."""

    folder: Path
    devnet: Part
    headers: Part
    monitor: Part
    wallet: Part
    environ: Mapping[str, str]
    root_key: str = field(repr=False)
    """Of the wallet that is a module, 64 hex digits."""
    token_key: str = field(repr=False)
    """What tokens for it are signed with (HS256)."""
    failed: asyncio.Event
    """Set when a module has ended for good without being asked to."""

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.devnet, self.headers, self.monitor, self.wallet

    @property
    def database_url(self) -> str:
        return self.environ["SDK_WALLET_DATABASE"]


@dataclass(frozen=True)
class Databases:
    """How the modules of the stack reach their databases, and the URL of a server's for the wallet's tables."""

    access: Literal["direct", "proxied"] = "direct"
    wallet: str | None = field(default=None, repr=False)

    @property
    def environ(self) -> dict[str, str]:
        """What the orchestrator must find in its environment."""
        password = None if self.wallet is None else config_of(self.wallet).password
        return {} if password is None else {_PASSWORD: password}

    def put_in(self, described: StackFile) -> StackFile:
        """``DatabaseConfigurationError`` for a URL that is none."""
        modules = {
            name: module.model_copy(
                update={"databases": {name: self._scope(name, each) for name, each in module.databases.items()}}
            )
            for name, module in described.modules.items()
        }
        return described.model_copy(update={"modules": modules})

    def _scope(self, name: str, scope: DatabaseScope) -> DatabaseScope:
        changed = scope.model_copy(update={"access": self.access})
        if self.wallet is None or name != "wallet":
            return changed
        config = config_of(self.wallet)
        return DatabaseScope(
            **config.model_dump(exclude={"password", "pool"}),
            pool=PoolConfig(max_connections=CONNECTIONS),
            limits=changed.limits.model_copy(update={"connections": CONNECTIONS}),
            password_environment=None if config.password is None else _PASSWORD,
            access=self.access,
            url_environment=scope.url_environment,
        )


@asynccontextmanager
async def stack(
    folder: Path,
    *,
    say: Callable[[str], None],
    devnet_port: int = 0,
    mine_every: float | None = None,
    databases: Databases = Databases(),
) -> AsyncIterator[Stack]:
    """A running stack with its files in ``folder``, which exists; stopped at the end, dependents first.

    The folder gets a ``stack.toml`` that ``sdk runtime`` works on, too. Port 0 takes a free one. Raises
    ``ModuleFailed`` if a module does not get ready, or does not end with code 0.
    """
    described = databases.put_in(_described(folder, devnet_port, mine_every))
    keys = {ROOT_KEY: secrets.token_hex(32), TOKEN_KEY: secrets.token_hex(32)}
    await _keep(described, keys)
    stop, watch = asyncio.Event(), _Watch(say)
    async with AsyncExitStack() as around:
        around.enter_context(_logging_to(folder / "runtime.log"))
        running = await around.enter_async_context(
            runtime.running(
                described, stop, environ={**clean_environment(), **databases.environ}, on_happening=watch.take
            )
        )
        task = asyncio.create_task(running.orchestrator.run(stop))
        try:
            await watch.until_ready(running)
            yield _found(folder, running, keys, watch.failed, databases.wallet)
        except SdkError as error:
            failure = watch.failure(running)
            if failure is not None:  # whatever that led to
                raise failure from error
            raise
        finally:
            stop.set()
            await task
    watch.check_ends()


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """What is logged in this process goes to a file meanwhile."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with path.open("a") as file:
        configure_logging(stream=file, redact=redact_secrets)
        try:
            yield
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)


class _Watch:
    """What becomes of the modules."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._states: dict[str, str] = {}
        self._ends: list[tuple[str, int]] = []
        self._changed = asyncio.Event()
        self.failed = asyncio.Event()

    def take(self, happening: Happening) -> None:
        name = happening.module_id
        if name is None:
            return
        if happening.kind == happenings.STATE:
            self._states[name] = happening.detail["state"]
            if self._states[name] == "starting":
                self._say(name)
            elif self._states[name] == "failed":
                self.failed.set()
            self._changed.set()
        elif happening.kind == happenings.ENDED:
            self._ends.append((name, happening.detail["status"]))

    async def until_ready(self, running: Runtime) -> None:
        names = running.orchestrator.modules
        try:
            async with asyncio.timeout(START_SECONDS):
                while any(self._states.get(name) != "ready" for name in names):
                    bad = next((name for name in names if self._states.get(name) in ("failed", "waiting")), None)
                    if bad is not None:
                        raise ModuleFailed(bad, "ended before it was ready", _last_words(running, bad))
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            late = next(name for name in names if self._states.get(name) != "ready")
            words = _last_words(running, late)
            raise ModuleFailed(late, f"was not ready in {START_SECONDS:.0f} s", words) from None

    def failure(self, running: Runtime) -> ModuleFailed | None:
        """What to say of the module that has failed, if one has."""
        name = next((name for name, state in self._states.items() if state == "failed"), None)
        if name is None:
            return None
        status = next(status for ended, status in reversed(self._ends) if ended == name)
        return ModuleFailed(name, f"ended by itself with status {status}", _last_words(running, name))

    def check_ends(self) -> None:
        for name, status in self._ends:
            if status != 0:
                raise ModuleFailed(name, f"ended with status {status}", "")


def clean_environment() -> dict[str, str]:
    """The caller's environment without settings of components, which this stack makes itself."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SDK_")}


def _described(folder: Path, devnet_port: int, mine_every: float | None) -> StackFile:
    """The stack file in the folder, run by this Python, with what the caller chose."""
    with as_file(files(__package__) / "stack.toml") as shipped:
        shutil.copyfile(shipped, folder / "stack.toml")
    read = read_stack(folder / "stack.toml")
    modules = {
        name: each.model_copy(update={"command": [sys.executable, *each.command[1:]]})
        for name, each in read.modules.items()
    }
    mining = {} if mine_every is None else {"SDK_DEVNET_MINE_EVERY": str(mine_every)}
    chosen = {"listen": f"127.0.0.1:{devnet_port}", "environment": {**modules["devnet"].environment, **mining}}
    modules["devnet"] = modules["devnet"].model_copy(update=chosen)
    return read.model_copy(update={"modules": modules})


async def _keep(described: StackFile, keys: Mapping[str, str]) -> None:
    """New secrets in a new store, sealed with a new key."""
    assert described.secrets is not None
    state = described.orchestrator.state
    state.mkdir(mode=0o700, exist_ok=True)
    async with await runtime.open_database(described.orchestrator.database_url({})) as database:
        store = await SecretStore.open(database, create_key(described.secrets.key))
        await store.set(keys, actor="operator:quickstart")


def _found(
    folder: Path, running: Runtime, keys: Mapping[str, str], failed: asyncio.Event, database: str | None
) -> Stack:
    board = running.orchestrator.board
    environ = {
        **clean_environment(),
        **{
            name: value
            for name, value in running.environment_of("monitor").items()
            if name.startswith(("SDK_WALLET_", "SDK_MONITOR_"))
        },
        "SDK_WALLET_DATABASE": database or f"sqlite:///{folder / 'wallet.sqlite'}",
    }
    devnet, headers, monitor = (Part(name, board.urls[name]) for name in ("devnet", "headers", "monitor"))
    wallet = Part("wallet", f"{board.api}/wallet")
    return Stack(folder, devnet, headers, monitor, wallet, environ, keys[ROOT_KEY], keys[TOKEN_KEY], failed)


def _last_words(running: Runtime, name: str) -> str:
    return " | ".join(line.text for line in running.book.last(name, _LAST_LINES))[-600:]
