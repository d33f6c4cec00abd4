"""A module's channel to its orchestrator: opened, proven, kept open, and opened again when it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.channels.channel import Channel
from sdk.module_runtime.channels.intake import Intake
from sdk.module_runtime.channels.metrics import ChannelMetrics
from sdk.module_runtime.channels.sockets import CONNECT_TIMEOUT, connect
from sdk.module_runtime.channels.streams import Streams
from sdk.module_runtime.channels.tls import TlsFiles, client_context
from sdk.module_runtime.errors import LinkClosed, LinkTimeout, ProtocolError
from sdk.module_runtime.module.link import Link
from sdk.module_runtime.protocol.envelope import wrap_json
from sdk.module_runtime.protocol.extensions import HELLO, MESSAGE_PACK, Hello
from sdk.module_runtime.protocol.formats import Format
from sdk.module_runtime.protocol.init import parse_socket_address
from sdk.module_runtime.protocol.packed import decode_from_orchestrator, encode, pack_message
from sdk.module_runtime.protocol.streaming import StreamAck, StreamChunk
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

    from sdk.module_runtime.channels.preferences import ChannelKind
    from sdk.module_runtime.channels.streams import IncomingStream
    from sdk.module_runtime.module.link import Rotation
    from sdk.module_runtime.protocol.frame import Frame
    from sdk.module_runtime.protocol.init import InitBlob, SocketAddress
    from sdk.module_runtime.protocol.messages import HttpRequest, ModuleToOrchestrator, RoutedModuleMessage

_log = get_logger(__name__)
FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 30.0
LASTED: Final = 5.0
"""Seconds; a connection that ends sooner was perhaps not wanted, and the next is not made sooner than the last."""
MOST_UNREAD: Final = 1024
"""Messages that wait for the orchestrator to read."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a channel leads, and what has to be shown there."""

    kind: ChannelKind
    address: SocketAddress | str
    required: bool
    ssl: SSLContext | None
    server_name: str | None
    hello: Hello | None

    @classmethod
    def of(cls, kind: ChannelKind, init: InitBlob) -> Target:
        """``ConfigurationError`` where the security that the InitBlob demands cannot be given: no channel, then."""
        address: SocketAddress | str
        context, name = None, None
        if kind == "tcp":
            assert init.tcp_channel is not None
            address, required = _address(init.tcp_channel.address), init.tcp_channel.required
            mutual = init.security_level == "Mtls"
            if mutual and not init.tcp_channel.tls_enabled:
                raise ConfigurationError("security_level is Mtls but tcp_channel has no TLS")
            if init.tcp_channel.tls_enabled:
                files = TlsFiles.from_env(init.env)
                context, name = client_context(files, mutual=mutual), files.server_name
        else:
            assert init.ipc_channel is not None
            address, required = init.ipc_channel.socket_path, init.ipc_channel.required
        return cls(kind, address, required, context, name, _hello(init))


def _address(text: str) -> SocketAddress:
    address = parse_socket_address(text)
    if address is None:
        raise ConfigurationError(f"tcp_channel.address is no ip:port: {text}")
    return address


def _hello(init: InitBlob) -> Hello | None:
    """Rust cannot read any form of it, so it is for an orchestrator that announced it."""
    if HELLO in init.extensions and init.auth_token is not None:
        return Hello(module_id=init.module_id, auth_token=init.auth_token)
    if init.security_level == "Token":
        raise ConfigurationError("security_level is Token, but the orchestrator gave no token, or cannot hear one")
    return None


class ModuleChannel:
    """``link`` and ``streams`` are there while the channel is connected."""

    def __init__(
        self,
        target: Target,
        extensions: frozenset[str],
        on_http: Callable[[HttpRequest, Link], None],
        on_shutdown: Callable[[], None],
        on_routed: Callable[[RoutedModuleMessage, Link], None],
        on_stream: Callable[[IncomingStream], None] | None = None,
        *,
        rotations: list[Rotation] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``rotations`` are told of new secrets, whichever connection brings the news."""
        self.target = target
        self._rotations = rotations
        self._greeting: ModuleToOrchestrator | None = None
        self._changed, self._retargeted = asyncio.Event(), asyncio.Event()
        self._connected: Channel | None = None
        self.metrics = ChannelMetrics()
        """Of all connections of this channel."""
        self.link: Link | None = None
        self.streams: Streams | None = None
        self._extensions = extensions
        self._unread = 0
        self._on_stream = on_stream
        self._on_http, self._on_shutdown, self._on_routed, self._jitter = on_http, on_shutdown, on_routed, jitter

    async def keep(self, opened: asyncio.Future[None]) -> None:
        """Runs until cancelled. ``opened`` is resolved at the first connection, or with why there is none."""
        delay, clock = 0.0, asyncio.get_running_loop().time
        while True:
            began = clock()
            try:
                await self._once(opened)
            except (LinkClosed, LinkTimeout) as error:
                if not opened.done():
                    opened.set_exception(error)
                    opened.exception()  # only a required channel's opening is awaited
                _log.warning("channel_not_open", channel=self.target.kind, reason=str(error))
                began = clock()
            delay = FIRST_DELAY if clock() - began > LASTED else min(LONGEST_DELAY, max(FIRST_DELAY, 2 * delay))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay * (0.5 + self._jitter() / 2)):
                    await self._retargeted.wait()
            self._retargeted.clear()

    async def greet(self, message: ModuleToOrchestrator) -> None:
        """Send it now, if the channel is open, and first whenever it is opened again."""
        self._greeting = message
        if self.link is not None:
            with contextlib.suppress(LinkClosed):  # it is sent once the channel is open again
                await self.link.send(message)

    def retarget(self, target: Target) -> None:
        """Lead elsewhere, or show something else there, from now on."""
        self.target = target
        self._retargeted.set()
        if self._connected is not None:
            self._connected.abort("another connection takes its place")

    async def until_open(self) -> None:
        while self.link is None:
            await self._changed.wait()

    async def until_lost(self) -> None:
        while self.link is not None:
            await self._changed.wait()

    def _change(self) -> None:
        """Wake who waits for the channel to be open or lost."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _once(self, opened: asyncio.Future[None]) -> None:
        target, packs = self.target, MESSAGE_PACK in self._extensions
        # Of many frames that were read at once some are handled in each turn, so that their answers can hold the rest.
        intake: Intake[Frame] = Intake(self._take, lambda wanted: channel.hold(not wanted))
        channel = Channel(intake.take, label=target.kind, message_pack=packs, traffic=self.metrics.traffic)
        await connect(
            lambda: channel,
            target.address,
            ssl=target.ssl,
            server_name=target.server_name,
            timeout=CONNECT_TIMEOUT,
        )

        async def send(message: ModuleToOrchestrator) -> None:
            payload, format_ = encode(message, packs=packs)
            channel.send(wrap_json(payload) if format_ is Format.JSON else payload, format_)
            if not channel.is_writable:
                await self._until_read(channel, intake)

        link = Link(
            send,
            self._extensions,
            on_http=self._on_http,
            on_shutdown=self._on_shutdown,
            on_routed=self._on_routed,
            rotations=self._rotations,
        )
        try:
            if target.hello is not None:
                if packs:
                    channel.send(pack_message(target.hello), Format.MESSAGE_PACK)
                else:
                    await send(target.hello)
            if self._greeting is not None:
                await send(self._greeting)
            self.streams = Streams(channel.send, self._on_stream, packs=packs)
            self.link, self._connected = link, channel
            self.metrics.opened(asyncio.get_running_loop().time())
            self._change()
            if not opened.done():
                opened.set_result(None)
            _log.info("channel_open", channel=target.kind)
            _log.info("channel_closed", channel=target.kind, reason=await asyncio.shield(channel.closed))
        finally:
            intake.flush()
            if self.streams is not None:
                self.streams.close()
            if self.link is not None:
                self.metrics.lost(asyncio.get_running_loop().time())
            self.link = self.streams = self._connected = None
            self._change()
            await link.close()
            channel.close()

    async def _until_read(self, channel: Channel, intake: Intake[Frame]) -> None:
        """An orchestrator that leaves too much of ours unread is not read either: it may be asking for more."""
        self._unread += 1
        if self._unread == MOST_UNREAD:
            intake.hold(True)
        try:
            await channel.drain()
        finally:
            if self._unread == MOST_UNREAD:
                intake.hold(False)
            self._unread -= 1

    def _take(self, frame: Frame) -> None:
        try:
            message = decode_from_orchestrator(frame.payload, frame.format)
        except ProtocolError as error:
            _log.warning("frame_skipped", channel=self.target.kind, reason=str(error))
            return
        if isinstance(message, (StreamChunk, StreamAck)):
            self._take_stream(message)
            return
        if self.link is not None:
            self.link.receive(message)

    def _take_stream(self, message: StreamChunk | StreamAck) -> None:
        if self.streams is not None:
            try:
                self.streams.receive(message)
            except LinkClosed:
                _log.debug("acknowledgement_not_sent", channel=self.target.kind)
