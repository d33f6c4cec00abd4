"""Modules asking one another, through the orchestrator (spec/module-runtime.md §1.13).

The Rust wire carries the question but has no word with which a module could answer. Answers need an orchestrator that
announced ``routed_answer``; so do the endpoint a question is for and the reason of a failure.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from sdk.module_runtime.channels.http_messages import MAX_BODY
from sdk.module_runtime.channels.routing import Traits
from sdk.module_runtime.channels.streams import StreamFailed
from sdk.module_runtime.errors import (
    LinkClosed,
    LinkTimeout,
    ProtocolError,
    RoutedRequestFailed,
    RuntimeModuleError,
)
from sdk.module_runtime.protocol.envelope import Message, MessageMetadata
from sdk.module_runtime.protocol.extensions import ROUTED_ANSWER
from sdk.module_runtime.protocol.formats import EncodedMessage, Format, convert
from sdk.module_runtime.protocol.json_text import parse_json, write_json
from sdk.module_runtime.protocol.messages import RouteToModule
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sdk.module_runtime.channels.streams import IncomingStream
    from sdk.module_runtime.module.link import Link
    from sdk.module_runtime.module.links import Links
    from sdk.module_runtime.protocol.messages import RoutedModuleMessage, RoutedModuleResponse

    Handler = Callable[[Any, str], Awaitable[Any]]

_log = get_logger(__name__)
_AT_ONCE: Final = 256
TIMEOUT: Final = 30.0
ATTEMPTS: Final = 3
FIRST_PAUSE: Final = 0.1
LARGEST: Final = MAX_BODY
"""Bytes of a question or an answer, which a line may carry as up to four characters each."""
_FORMATS: Final = {"Json": Format.JSON, "Binary": Format.BINARY, "Base64": Format.BASE64, "Auto": Format.AUTO}


class Refused(RuntimeModuleError):
    """Raised by a handler: the module that asked gets ``reason_code`` and ``reason``, and nothing else is told."""

    code = "ERR_REFUSED"

    def __init__(self, reason_code: str, reason: str) -> None:
        self.reason_code, self.reason = reason_code, reason
        super().__init__(reason_code, reason)


class Messaging:
    """Ask other modules, and answer them. Handlers have to stand before the module announces itself."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._tasks: set[asyncio.Future[None]] = set()
        self._is_draining = False
        self.links: Links | None = None
        self.on_stream: Callable[[IncomingStream], Awaitable[None]] | None = None
        """Takes each stream that arrives over a channel."""

    async def ask(
        self,
        module_id: str,
        endpoint: str,
        value: Any,
        *,
        timeout: float | None = None,
        properties: Mapping[str, Any] | None = None,
    ) -> Any:
        """The JSON value ``module_id`` answers. ``RoutedRequestFailed``, ``LinkClosed`` or ``LinkTimeout``;
        ``ProtocolError`` for a value that JSON cannot hold, or of more than ``LARGEST`` bytes.

        ``properties`` go with the question as its metadata, and say which channel takes it (``Traits.of``). With
        ``retryable`` true it is asked again, up to ``ATTEMPTS`` times in all, when no answer came.
        """
        links = self.links
        if links is None:
            raise RoutedRequestFailed(module_id, "unavailable", "there is no orchestrator to pass it on")
        metadata = None if properties is None else MessageMetadata(properties=dict(properties))
        payload = _payload(Message[Any].wrap(value, metadata).to_json(), "question")
        traits = Traits.of(len(payload.data), properties)
        seconds = timeout or traits.timeout or TIMEOUT

        async def once() -> RoutedModuleResponse:
            request = RouteToModule(
                target_module_id=module_id, target_endpoint=endpoint, request_id=uuid4(), payload=payload
            )
            return await links.route(request, traits, timeout=seconds)

        answer = await (_repeatedly(once) if traits.retryable else once())
        if answer.error is not None:
            raise RoutedRequestFailed(module_id, answer.error.code, answer.error.message)
        return _value(answer.payload)

    def answer(self, endpoint: str, handler: Handler) -> None:
        """``await handler(value, source_module_id)`` makes the answer to what is sent to ``endpoint``."""
        if endpoint in self._handlers:
            raise ValueError(f"{endpoint} has a handler already")
        self._handlers[endpoint] = handler

    def take(self, message: RoutedModuleMessage, link: Link) -> None:
        """Bounded: beyond ``_AT_ONCE`` the module says that it is busy."""
        if self._is_draining:
            work = self._reply(message, link, error=("unavailable", "this module is about to end"))
        elif len(self._tasks) >= _AT_ONCE:
            work = self._reply(message, link, error=("busy", f"{_AT_ONCE} requests are being answered already"))
        else:
            work = self._handle(message, link)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def take_stream(self, stream: IncomingStream) -> None:
        if self.on_stream is None:
            _log.warning("stream_ignored", reason="this module takes no streams")
            return
        task = asyncio.ensure_future(self.on_stream(stream))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def refuse_new(self) -> None:
        """From now on others are told that this module is about to end."""
        self._is_draining = True

    async def drain(self, seconds: float) -> None:
        """Take nothing new, and let what is in flight end."""
        self.refuse_new()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _handle(self, message: RoutedModuleMessage, link: Link) -> None:
        endpoint = message.target_endpoint
        handler = self._only() if endpoint is None else self._handlers.get(endpoint)
        if handler is None:
            await self._reply(message, link, error=("not_found", f"this module answers nothing at {endpoint}"))
            return
        try:
            value = _value(message.payload, wrapped=True)
        except ProtocolError as error:
            await self._reply(message, link, error=("invalid", str(error)))
            return
        try:
            answer = _payload(write_json(await handler(value, message.source_module_id), "answer"), "answer")
        except Refused as refused:
            await self._reply(message, link, error=(refused.reason_code, refused.reason))
        except Exception:  # noqa: BLE001 - a handler is anybody's code, and who asked waits for a word
            _log.exception("routed_request_failed", source=message.source_module_id)
            await self._reply(message, link, error=("failed", "the module failed; its log says why"))
        else:
            await self._reply(message, link, answer)

    def _only(self) -> Handler | None:
        """A foreign orchestrator does not say which endpoint is meant; with one handler there is no doubt."""
        return next(iter(self._handlers.values())) if len(self._handlers) == 1 else None

    async def _reply(
        self,
        message: RoutedModuleMessage,
        link: Link,
        payload: EncodedMessage | None = None,
        *,
        error: tuple[str, str] | None = None,
    ) -> None:
        if ROUTED_ANSWER not in link.extensions:
            _log.warning("answer_not_sent", reason="this orchestrator has no way to carry an answer")
            return
        params: dict[str, Any] = {"request_id": str(message.original_request_id)}
        if payload is not None:
            params["payload"] = payload.model_dump()
        elif error is not None:
            params["error"] = {"code": error[0], "message": error[1]}
        try:
            await link.extension_call(ROUTED_ANSWER, "answer", params)
        except LinkClosed:
            if self.links is None:
                raise
            await self.links.extension_call(ROUTED_ANSWER, "answer", params)

    def _ended(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StreamFailed):
            _log.warning("stream_not_taken", reason=str(error))
        elif error is not None and not isinstance(error, LinkClosed):
            _log.error("message_not_handled", exc_info=error)


def _payload(data: bytes, what: str) -> EncodedMessage:
    """``ProtocolError`` for more than the other side would take: a line that is too long there is lost."""
    if len(data) > LARGEST:
        raise ProtocolError(what, f"{len(data)} bytes, {LARGEST} at most: send it as a stream")
    return EncodedMessage(data=data, format="Json")


async def _repeatedly(once: Callable[[], Awaitable[RoutedModuleResponse]]) -> RoutedModuleResponse:
    pause = FIRST_PAUSE
    for _ in range(ATTEMPTS - 1):
        try:
            return await once()
        except (LinkClosed, LinkTimeout) as error:
            _log.debug("question_repeated", reason=str(error))
        await asyncio.sleep(pause * (0.95 + random.random() / 10))
        pause *= 2
    return await once()


def _value(payload: EncodedMessage, *, wrapped: bool = False) -> Any:
    """The JSON value of a payload; a question is wrapped in ``Message``, an answer bare. ``ProtocolError``."""
    value = parse_json(convert(payload.data, _FORMATS[payload.format], Format.JSON), "payload")
    if wrapped and isinstance(value, dict) and "content" in value and "id" in value:
        return value["content"]
    return value
