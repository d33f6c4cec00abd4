"""One process of a module, from its start until everything it held is given back."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import ClientError, ClientTimeout

from sdk.module_runtime.orchestrator.conversation import Conversation
from sdk.module_runtime.orchestrator.process import Process
from sdk.module_runtime.orchestrator.transports import StdioTransport
from sdk.module_runtime.protocol.init import InitBlob
from sdk.module_runtime.secrets.redaction import register_secret
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import ClientSession

    from sdk.module_runtime.orchestrator.logs import LogCollector
    from sdk.module_runtime.orchestrator.stack import Module
    from sdk.module_runtime.orchestrator.switchboard import Switchboard

_log = get_logger(__name__)
_ASK_EVERY: Final = 0.1
_ASK_TIMEOUT: Final = ClientTimeout(total=5)
DEAF_AFTER: Final = 30.0
"""Seconds a module may leave its input unread while something waits for it, before it counts as hung."""


@dataclass(frozen=True)
class Setting:
    """What all instances of one module share."""

    name: str
    module: Module
    program: str
    environment: Mapping[str, str]
    board: Switchboard
    session: ClientSession
    logs: LogCollector
    clock: Callable[[], float]


class Instance:
    def __init__(self, setting: Setting, process: Process, conversation: Conversation | None) -> None:
        self.setting, self.process, self.conversation = setting, process, conversation

    @classmethod
    async def start(cls, setting: Setting) -> Instance:
        """``OSError`` if no process can be made."""
        if setting.module.kind == "command":
            process = await Process.start(
                setting.program, setting.module.command, setting.environment, setting.module.directory, setting.logs
            )
            return cls(setting, process, None)
        return await cls._start_module(setting)

    @classmethod
    async def _start_module(cls, setting: Setting) -> Instance:
        token = secrets.token_urlsafe(32)
        conversation = Conversation(setting.name, token, setting.board, setting.logs.note)
        register_secret(token, holder=conversation)
        stdio = StdioTransport(conversation, setting.clock)
        try:
            process = await Process.start(
                setting.program,
                setting.module.command,
                {**setting.environment, "PYWATT_MODULE_ID": setting.name},
                setting.module.directory,
                stdio,
                errors=setting.logs,
                clock=setting.clock,
            )
        except BaseException:
            await conversation.close()
            raise
        stdio.attach(process)
        conversation.attach(stdio)
        stdio.send(
            InitBlob(
                orchestrator_api=setting.board.api,
                module_id=setting.name,
                env=dict(setting.module.environment),
                listen=setting.module.listen,
                auth_token=token,
                security_level="Token",
                extensions=setting.board.extensions,
            )
        )
        return cls(setting, process, conversation)

    async def until_ready(self) -> None:
        """Until the module says that it is ready. That its port is open is not enough."""
        if self.conversation is not None:
            await self.conversation.announced.wait()
        if self.setting.module.ready_url is not None:
            while not await self._answers(self.setting.module.ready_url):  # noqa: ASYNC110 - see below
                await asyncio.sleep(_ASK_EVERY)  # another program has no event to wait for

    def enter(self) -> None:
        """It is ready: from now on it is the module of its name."""
        if self.conversation is not None:
            self.conversation.is_ready = True
            self.setting.board.enter(self.conversation)

    async def until_deaf(self) -> None:
        """Until the module has left its input unread for too long."""
        pipe = self.process.input
        if pipe is None:
            await asyncio.get_running_loop().create_future()
            return
        while (blocked := pipe.blocked_for()) < DEAF_AFTER:  # noqa: ASYNC110 - it is the time that passes
            await asyncio.sleep(DEAF_AFTER - blocked)

    async def stop(self, patience: float) -> int:
        """Shutdown message, SIGTERM, SIGKILL to the group, within ``patience`` seconds. The exit status."""
        if self.conversation is not None:
            self.conversation.shutdown()
            try:
                async with asyncio.timeout(patience / 2):
                    return await self.process.wait()
            except TimeoutError:
                _log.warning("module_ignores_shutdown", module_id=self.setting.name)
                return await self.process.stop(patience / 2)
        return await self.process.stop(patience)

    async def close(self) -> None:
        """Whatever happened, nothing stays behind."""
        await self.process.kill()
        if self.conversation is not None:
            await self.conversation.close()

    async def _answers(self, url: str) -> bool:
        try:
            async with self.setting.session.get(url, timeout=_ASK_TIMEOUT, allow_redirects=False) as answer:
                return answer.status == 200
        except (ClientError, TimeoutError, OSError, ValueError):  # ValueError: an answer or address aiohttp cannot read
            return False
