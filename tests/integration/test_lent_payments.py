"""Payments of a wallet that is a module on a lent database, while modules and the orchestrator are killed (issue 5).

What the gateway has acknowledged is on the chain, and every row agrees with it, whoever died in the midst of what.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from sdk.core.errors import ServiceError
from sdk.devnet.server import DevnetServer
from sdk.module_runtime.data.database.urls import url_of
from sdk.module_runtime.orchestrator import runtime
from sdk.module_runtime.orchestrator.secrets.key_sources import create_key
from sdk.module_runtime.orchestrator.secrets.store import SecretStore
from sdk.module_runtime.orchestrator.stack import read_stack
from sdk.service.http_client import HttpClient
from support.commands import SDK, clean_environment, closed_port
from support.forking import forking
from support.module_databases import module_database
from support.payment_case import ALICE, STRANGER, Case, fund
from support.processes import children, until_gone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE = 90.0
VICTIMS = ("wallet", "orchestrator", "monitor", "wallet", "orchestrator")
MOST = 80
TOKEN_KEY = "11" * 32
MODULE = """
[modules.{name}]
kind = "module"
command = ["python", "-m", "sdk.devnet.system.modules.{name}"]
after = [{after}]
restart = {{ first_delay = 0.05 }}
secrets = {{ read = ["WALLET_ROOT_KEY"] }}
environment = {{ {environment} }}
[modules.{name}.databases.wallet]
url_environment = "SDK_WALLET_DATABASE"
{database}
"""


class Stack:
    """``made`` are payments that were acknowledged as sent."""

    def __init__(self, folder: Path, case: Case, description: str, environ: dict[str, str]) -> None:
        self.folder, self.case = folder, case
        self.made: list[str] = []
        self._port = closed_port()
        self._environ = clean_environment(**environ)
        self._process: asyncio.subprocess.Process | None = None
        settings = ", ".join(f'{name} = "{value}"' for name, value in case.server.urls.wallet_settings().items())
        often = 'SDK_MONITOR_POLL = "0.2", SDK_MONITOR_SEND_MIN_AGE = "0.5"'
        wallet = {
            "name": "wallet",
            "after": '"monitor"',
            "environment": f'{settings}, WALLET_MODULE_PREFIX = "/wallet"',
        }
        monitor = {"name": "monitor", "after": "", "environment": f"{settings}, {often}"}
        (folder / "stack.toml").write_text(
            f'[gateway]\nlisten = "127.0.0.1:{self._port}"\n[secrets]\nkey = "file:runtime.key"\n'
            '[jwt]\nsecret = "JWT_KEY"\naudience = ["wallet"]\n'
            + "".join(MODULE.format(database=description, **each) for each in (monitor, wallet))
        )

    async def prepare(self) -> None:
        described = read_stack(self.folder / "stack.toml")
        assert described.secrets is not None
        described.orchestrator.state.mkdir(mode=0o700)
        async with await runtime.open_database(described.orchestrator.database_url({})) as database:
            store = await SecretStore.open(database, create_key(described.secrets.key))
            await store.set({"WALLET_ROOT_KEY": ALICE.to_hex(), "JWT_KEY": TOKEN_KEY}, actor="operator:test")

    async def start(self) -> None:
        with (self.folder / "orchestrator.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                SDK, "runtime", "up", str(self.folder / "stack.toml"), env=self._environ, stderr=log
            )
        async with self._gateway() as http, asyncio.timeout(PATIENCE):
            while not await self._serves(http):  # noqa: ASYNC110 - another process is asked
                await asyncio.sleep(0.05)

    async def stop(self) -> int:
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            return await self._process.wait()

    async def strike(self, victim: str) -> None:
        assert self._process is not None
        modules = self._modules()
        if victim != "orchestrator":
            os.kill(modules[victim], signal.SIGKILL)
            return
        self._process.kill()
        await self._process.wait()
        for each in modules.values():
            await until_gone(each)
        await self.start()

    async def pay_on(self, stop: asyncio.Event, chance: random.Random) -> None:
        """One after the other. What is refused, or is not answered, may have been made or not."""
        async with self._gateway() as http:
            while not stop.is_set() and len(self.made) < MOST:
                output = {"lockingScript": STRANGER, "satoshis": chance.randint(1, 5_000)}
                at_once = {"acceptDelayedBroadcast": False}
                outputs = [{**output, "outputDescription": "a gift"}]
                body = {"description": "pay a stranger", "outputs": outputs, "options": at_once}
                try:
                    paid = await http.request("POST", "/createAction", json=body, check=False)
                except ServiceError:
                    await asyncio.sleep(0.05)
                    continue
                if paid.status == 200:
                    self.made.append(str(paid.json()["txid"]))
                assert paid.status == 200 or paid.status >= 404, paid.body
                await asyncio.sleep(0.05)

    async def until_paid(self) -> None:
        had = len(self.made)
        async with asyncio.timeout(PATIENCE):
            while len(self.made) <= had:  # noqa: ASYNC110 - in another task, through other processes
                await asyncio.sleep(0.01)

    def _modules(self) -> dict[str, int]:
        assert self._process is not None
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children(self._process.pid)}
        names = ("wallet", "monitor")
        return {name: pid for pid, line in commands.items() for name in names if f"modules.{name}".encode() in line}

    async def _serves(self, http: HttpClient) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, (self.folder / "orchestrator.log").read_text()[-2000:]
        try:
            return (await http.request("POST", "/getPublicKey", json={"identityKey": True}, check=False)).status == 200
        except ServiceError:
            return False

    def _gateway(self) -> Any:
        claims = {"sub": "test", "aud": "wallet", "exp": int(time.time()) + 3600}
        headers = {"Originator": "test.local", "Authorization": f"Bearer {jwt.encode(claims, TOKEN_KEY, 'HS256')}"}
        return HttpClient(f"http://127.0.0.1:{self._port}/wallet", service="gateway", headers=headers)


@asynccontextmanager
async def running(kind: str, folder: Path) -> AsyncIterator[Stack]:
    """On a new database, with a coin. What the orchestrator alone knows is the server's password."""
    async with DevnetServer() as server, HttpClient(server.urls.base, service="devnet") as http:
        with module_database(kind, folder / "database") as config:
            case = Case(server, url_of(config, config.password))
            lines = [f'db_type = "{kind}"', f'database = "{config.database}"', "pool = { max_connections = 20 }",
                     "limits = { connections = 20 }"]  # fmt: skip
            if kind != "sqlite":
                lines += [f'host = "{config.host}"', f"port = {config.port}", f'username = "{config.username}"',
                          'password_environment = "PASSWORD"']  # fmt: skip
            stack = Stack(folder, case, "\n".join(lines), {"PASSWORD": config.password or ""})
            await stack.prepare()
            try:
                await stack.start()
                async with case.open() as alice:
                    case.funding = await fund(http, alice)
                yield stack
            finally:
                if stack._process is not None and stack._process.returncode is None:
                    stack._process.kill()
                    await stack._process.wait()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_payments_on_a_lent_database_survive_every_death(kind: str, tmp_path: Path) -> None:
    chance, over = random.Random(), asyncio.Event()
    async with running(kind, tmp_path) as stack:
        paying = asyncio.create_task(stack.pay_on(over, chance))
        for victim in VICTIMS:
            await stack.until_paid()
            await asyncio.sleep(chance.random() / 5)  # anywhere in the next payments
            await stack.strike(victim)
        await stack.until_paid()
        over.set()
        await paying
        assert await stack.stop() == 0, (tmp_path / "orchestrator.log").read_text()[-2000:]
        case = stack.case
        async with forking("support.payment_runner") as runner:
            for minutes in (20, 40, 60):
                await case.recover(runner, minutes)
        mined = await case.check()
        assert mined >= len(stack.made) > len(VICTIMS)
        for txid in stack.made:
            assert case.server.devnet.merkle_path(txid) is not None, f"{txid} was acknowledged and is not on the chain"
