"""Secrets, tokens and ports between a real orchestrator and a real module: what one end promises the other keeps."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession

from sdk.module_runtime.auth import JwtKey, KeySet, LocalTokens, TokenPolicy
from sdk.module_runtime.orchestrator.authorizer import JwtAuthorizer
from sdk.module_runtime.orchestrator.hosts.jwt import JwtHost, TokenRights
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.port_leases import DEFAULT_RANGE
from sdk.module_runtime.orchestrator.secrets.keeper import ModuleSecrets
from sdk.module_runtime.orchestrator.secrets.keys import MasterKeys
from sdk.module_runtime.orchestrator.secrets.rights import SecretRights
from sdk.module_runtime.orchestrator.secrets.store import SecretStore
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from sdk.module_runtime.storage.migrations import MIGRATIONS
from sdk.service.database import Database
from sdk.service.http_app.server import listen
from sdk.service.migrations import upgrade
from support.running_stack import PATIENCE, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.running_stack import Running

PROGRAM = Path(__file__).parent / "programs" / "vault_module.py"
OPERATOR = "operator:test"
FIRST, SECOND = "first-pass/word+of the stack", "second-pass/word+of the stack"

pytestmark = pytest.mark.timeout(120)


class Keeper(ModuleSecrets):
    """Says when an acknowledgement has come."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.acknowledged = asyncio.Event()

    async def acknowledge(self, module_id: str, rotation_id: str, *, success: bool, message: str | None) -> None:
        await super().acknowledge(module_id, rotation_id, success=success, message=message)
        self.acknowledged.set()


class Rig:
    def __init__(
        self, store: SecretStore, keeper: Keeper, seen: Running, client: ClientSession, board: Switchboard
    ) -> None:
        self.store, self.keeper, self.seen, self.client, self.board = store, keeper, seen, client, board

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        async with self.client.request(method, path, **options) as answer:
            return answer.status, await answer.text()


@asynccontextmanager
async def rig(folder: Path, **module: Any) -> AsyncIterator[Rig]:
    key = JwtKey.secret(b"a-key-of-the-stack-tests-0123456789abcdef")
    tokens = LocalTokens(KeySet([key]), TokenPolicy(audience=("stack",), issuer="runtime"), signer=key)
    rights = TokenRights(generate=True, audiences=("stack",), subjects=("user-*",))
    async with await Database.open(f"sqlite:///{folder}/runtime.db") as database:
        await upgrade(database, [MIGRATIONS])
        store = await SecretStore.open(database, MasterKeys([bytes(32)]))
        await store.set({"DB_PASSWORD": FIRST, "ROOT_KEY": "not for modules at all"}, actor=OPERATOR)
        keeper = Keeper(store, {"vault": SecretRights(read=("DB_*", "MINE_*"), write=("MINE_*",))})
        board = Switchboard({"Jwt": JwtHost(tokens, {"vault": rights})}, keeper)
        settings = {"kind": "module", "command": [sys.executable, str(PROGRAM)], **module}
        async with running({"vault": settings}, board, authorizer=JwtAuthorizer(tokens), gateway={}) as seen:
            await seen.until("vault", State.READY)
            async with ClientSession(board.api) as client:
                yield Rig(store, keeper, seen, client, board)


async def test_a_module_has_its_secrets_follows_their_rotation_and_gets_no_others(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        assert await r.ask("GET", "/secret/DB_PASSWORD") == (200, FIRST)
        assert await r.ask("GET", "/secret/ROOT_KEY") == (403, "ERR_SECRET_DENIED")
        assert await r.ask("GET", "/secret/DB_OTHER") == (403, "ERR_SECRET_NOT_FOUND")
        assert await r.ask("PUT", "/secret/ROOT_KEY", data="taken over") == (403, "ERR_SECRET_DENIED")
        assert await r.ask("PUT", "/secret/MINE_1", data="my own value") == (200, '["DB_PASSWORD", "MINE_1"]')
        assert await r.store.read("MINE_1", actor=OPERATOR) == "my own value"
        await r.store.set({"DB_PASSWORD": SECOND}, actor=OPERATOR)
        await asyncio.wait_for(r.keeper.acknowledged.wait(), PATIENCE)
        assert await r.ask("GET", "/secret/DB_PASSWORD") == (200, SECOND)
        assert await r.ask("GET", "/heard") == (200, f'["{SECOND}"]')
        (holder,) = await r.store.holders("DB_PASSWORD")
        assert (holder.version, holder.acknowledged, holder.newest) == (2, 2, 2)
        outcomes = {(row.actor, row.operation, row.outcome) for row in await r.store.audit("ROOT_KEY")}
        assert {("module:vault", "get", "denied"), ("module:vault", "set", "denied")} <= outcomes


async def test_what_a_careless_module_writes_shows_no_secret_in_the_orchestrators_log(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        assert (await r.ask("GET", "/leak"))[0] == 500
        await r.seen.until_true(lambda: "cannot connect with" in r.seen.text("vault"))
        await r.seen.until_true(lambda: "printed" in r.seen.text("vault") and "end" in r.seen.text("vault"))
        written = r.seen.text("vault")
        for form in (FIRST, base64.b64encode(FIRST.encode()).decode().rstrip("="), FIRST.encode().hex(), FIRST[5:]):
            assert form not in written
        assert re.search(r"raw \[redacted\] base64 \[redacted\]=* hex \[redacted\]", written)


async def test_tokens_are_made_within_the_modules_rights_and_let_in_at_the_gateway(tmp_path: Path) -> None:
    async with rig(tmp_path) as r:
        status, token = await r.ask("GET", "/token/user-7")
        assert status == 200
        assert (await r.ask("GET", "/token/admin"))[0] == 403
        assert '"azp": "vault"' in (await r.ask("POST", "/judge", data=token))[1]
        assert await r.ask("POST", "/judge", data=f"{token[:-4]}AAAA") == (401, "InvalidSignature")
        assert await r.ask("GET", "/whoami", headers={"Authorization": f"Bearer {token}"}) == (200, "user-7")
        for headers in ({}, {"Authorization": "Bearer x.y.z"}, {"X-Auth-Subject": "root"}):
            assert (await r.ask("GET", "/whoami", headers=headers))[0] == 401


async def test_a_module_whose_port_is_taken_gets_another_from_its_orchestrator_and_announces_it(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as held:
        async with rig(tmp_path, listen=f"127.0.0.1:{held.getsockname()[1]}") as r:
            announcement = r.board.conversations["vault"].announcement
            assert announcement is not None
            assert int(announcement.listen.rpartition(":")[2]) in DEFAULT_RANGE
            assert await r.ask("GET", "/secret/DB_PASSWORD") == (200, FIRST)


async def test_a_module_killed_amid_rotations_comes_back_with_the_newest_and_acknowledges_it(tmp_path: Path) -> None:
    async with rig(tmp_path, restart={"first_delay": 0.05, "longest_delay": 0.05, "limit": 50}) as r:
        for number in range(2):
            instance = r.seen.modules["vault"].instance
            assert instance is not None
            if number % 2:
                os.kill(instance.process.pid, signal.SIGKILL)
            r.keeper.acknowledged.clear()
            await r.store.set({"DB_PASSWORD": f"password number {number}"}, actor=OPERATOR)
            if not number % 2:
                os.kill(instance.process.pid, signal.SIGKILL)
            await r.seen.until("vault", State.READY, number + 2)
            async with asyncio.timeout(PATIENCE):
                while await r.store.pending("vault"):
                    await r.keeper.acknowledged.wait()
                    r.keeper.acknowledged.clear()
            assert await r.ask("GET", "/secret/DB_PASSWORD") == (200, f"password number {number}")
