"""A gateway before a module with WebSockets and streams, and its client."""

from __future__ import annotations

import json
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import ClientSession

from sdk.module_runtime.orchestrator.gateway import Unauthorized
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from support.running_stack import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from support.running_stack import Running

PROGRAM = Path(__file__).parents[1] / "module_runtime" / "orchestrator" / "programs" / "socket_module.py"


def socket_module(*arguments: str, **more: Any) -> dict[str, Any]:
    restart = {"first_delay": 0.2, "longest_delay": 0.2, "limit": 3}
    return {"kind": "module", "command": [sys.executable, str(PROGRAM), *arguments], "restart": restart, **more}


class Doorman:
    """Tokens are ``Bearer SECONDS``: how long they are good for."""

    async def authorize(self, auth: str, module_id: str, authorization: str | None) -> Mapping[str, str]:
        if authorization is None:
            raise Unauthorized("who are you?")
        claims = {"exp": time.time() + float(authorization.removeprefix("Bearer "))}
        return {"X-Auth-Subject": f"alice by {auth}", "X-Auth-Claims": json.dumps(claims)}


class Rig:
    def __init__(self, seen: Running, client: ClientSession) -> None:
        self.seen, self.client = seen, client

    @property
    def port(self) -> int:
        port = self.client._base_url.port if self.client._base_url is not None else None
        assert port is not None
        return port

    async def until_said(self, text: str) -> None:
        await self.seen.until_true(lambda: text in self.seen.text("web"))


@asynccontextmanager
async def gateway(module: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Rig]:
    board = Switchboard()
    settings = {"timeout": 5, **options}
    async with running({"web": module or socket_module()}, board, authorizer=Doorman(), gateway=settings) as seen:
        await seen.until("web", State.READY)
        async with ClientSession(board.api) as client:
            yield Rig(seen, client)
