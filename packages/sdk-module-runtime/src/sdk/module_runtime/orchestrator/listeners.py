"""Where the channels of one module come in. Each instance has sockets of its own, so nobody else has to be told apart.

What connects proves with its first frame that it is that instance, by the token of its InitBlob. A module built with
the Rust SDK has no words for that: of one that ``identify = "listener"`` says so, the socket it came to is all that is
known.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from typing import TYPE_CHECKING, Final

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.channels.allowance import Allowance
from sdk.module_runtime.channels.channel import Channel
from sdk.module_runtime.channels.intake import Intake
from sdk.module_runtime.channels.metrics import ChannelMetrics
from sdk.module_runtime.channels.sockets import listen_tcp, listen_unix
from sdk.module_runtime.errors import LinkClosed, ProtocolError
from sdk.module_runtime.orchestrator import happenings
from sdk.module_runtime.orchestrator.conversation import cost_of
from sdk.module_runtime.orchestrator.pulse import Pulse, tell_alerts
from sdk.module_runtime.protocol.extensions import Hello
from sdk.module_runtime.protocol.formats import Format
from sdk.module_runtime.protocol.init import IpcChannel, TcpChannel
from sdk.module_runtime.protocol.messages import Heartbeat, HeartbeatAck
from sdk.module_runtime.protocol.packed import decode_from_module, encode
from sdk.module_runtime.socket_folder import SocketFolder
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext

    from sdk.module_runtime.orchestrator.conversation import Conversation
    from sdk.module_runtime.orchestrator.stack import Module
    from sdk.module_runtime.orchestrator.stack import Tls as TlsSettings
    from sdk.module_runtime.protocol.frame import Frame
    from sdk.module_runtime.protocol.model import WireStruct

_log = get_logger(__name__)
PROOF_WITHIN: Final = 5.0
"""Seconds from the connection to a right ``hello``."""
MOST_UNPROVEN: Final = 8
NOTES_A_SECOND: Final = 0.1
NOTES_AT_ONCE: Final = 60.0
MOST_CHANNELS: Final = 8
LARGEST_HELLO: Final = 4096
HEARTBEAT: Final = 10.0
HALF_DUPLEX_HEARTBEAT: Final = 2.0
"""A Rust module sends what it has only after it has heard something."""
_MISSED: Final = 4
"""Heartbeats within the time after which a module that answers none counts as hung."""


class ChannelSetup:
    """What all listeners share: a private folder for sockets, and how TLS is done."""

    def __init__(self, tls: TlsSettings | None = None) -> None:
        """``ConfigurationError`` if a TLS file is missing or wrong."""
        self.tls = tls
        self.context: SSLContext | None = None
        if tls is not None:
            from sdk.module_runtime.channels.tls import TlsFiles, server_context

            files = TlsFiles(str(tls.ca), str(tls.certificate), str(tls.key))
            self.context = server_context(files, mutual=tls.is_mutual)
        self._folder = SocketFolder()
        self._numbers = itertools.count(1)

    def socket_path(self) -> str:
        """A path that no instance had before."""
        return str(self._folder.path / f"{next(self._numbers)}.sock")

    def close(self) -> None:
        self._folder.close()

    def environment(self) -> dict[str, str]:
        """What a module needs for TLS, for its InitBlob."""
        if self.tls is None:
            return {}
        from sdk.module_runtime.channels import tls as names

        given = {
            names.CA: self.tls.ca,
            names.CERTIFICATE: self.tls.module_certificate,
            names.KEY: self.tls.module_key,
            names.SERVER_NAME: self.tls.server_name,
        }
        return {name: str(value) for name, value in given.items() if value is not None}


class Listener:
    """The sockets of one instance. ``ipc`` and ``tcp`` are what its InitBlob says of them."""

    def __init__(
        self, conversation: Conversation, *, by_token: bool, hung_after: float, clock: Callable[[], float]
    ) -> None:
        self.ipc: IpcChannel | None = None
        self.tcp: TcpChannel | None = None
        self.by_token, self.hung_after, self.clock = by_token, hung_after, clock
        self.conversation = conversation
        self.unproven = 0
        self.noting = Allowance(NOTES_A_SECOND, NOTES_AT_ONCE, clock)
        self.incoming: set[ChannelTransport] = set()
        self.transports: set[ChannelTransport] = set()
        """Those of ``incoming`` that are proven."""
        self.metrics: dict[str, ChannelMetrics] = {}
        """By label. A request is a heartbeat here, and its answer the module's."""
        self._servers: list[asyncio.Server] = []
        self._path: str | None = None
        self._beating: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, module: Module, setup: ChannelSetup, conversation: Conversation, clock: Callable[[], float]
    ) -> Listener:
        """``ConfigurationError`` if a socket cannot be made."""
        by_token = module.identify == "token"
        listener = cls(conversation, by_token=by_token, hung_after=module.hung_after, clock=clock)
        try:
            await listener._open(module, setup)
        except OSError as error:
            await listener.close()
            raise ConfigurationError(f"no channel for {conversation.module_id}: {error.strerror or error}") from error
        except BaseException:
            await listener.close()
            raise
        return listener

    async def _open(self, module: Module, setup: ChannelSetup) -> None:
        if "unix" in module.channels:
            self._path = setup.socket_path()
            self._servers.append(await listen_unix(lambda: self._incoming("unix"), self._path))
            self.ipc = IpcChannel(socket_path=self._path, required=False)
        if "tcp" in module.channels:
            label, context = ("tls", setup.context) if setup.context is not None else ("tcp", None)
            server, port = await listen_tcp(lambda: self._incoming(label), ssl=context)
            self._servers.append(server)
            self.tcp = TcpChannel(address=f"127.0.0.1:{port}", tls_enabled=context is not None, required=False)
        if self._servers:
            self._beating = asyncio.create_task(self._beat())

    async def close(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        for server in self._servers:
            server.close()
        closed = [transport.channel.closed for transport in self.incoming if transport.channel.is_open]
        for transport in list(self.incoming):
            transport.channel.abort("the module has ended")
        await asyncio.gather(*closed)
        for server in self._servers:
            await server.wait_closed()
        if self._path is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)

    def _incoming(self, label: str) -> Channel:
        return ChannelTransport(self, label).channel

    async def _beat(self) -> None:
        pause = min(HEARTBEAT if self.by_token else HALF_DUPLEX_HEARTBEAT, self.hung_after / _MISSED)
        while True:
            await asyncio.sleep(pause)
            for transport in list(self.transports):
                transport.beat(self.hung_after)
            for label, metrics in self.metrics.items():
                tell_alerts(self.conversation, label, metrics, self.clock())
            if self.transports and not any(each.is_heard(self.hung_after) for each in self.transports):
                _log.warning("module_hung", module_id=self.conversation.module_id, seconds=self.hung_after)
                self.conversation.hung.set()


class ChannelTransport:
    """One connection: unproven, then a transport of the conversation, then gone."""

    def __init__(self, listener: Listener, label: str) -> None:
        self.label = label
        self._listener, self._conversation = listener, listener.conversation
        self._is_proven = self._packs = False
        self._is_counted = True
        self._heard_at = listener.clock()
        self._metrics = listener.metrics.setdefault(label, ChannelMetrics())
        self._pulse = Pulse(self._metrics)
        self.channel = Channel(
            self._take,
            label=label,
            max_payload=LARGEST_HELLO,
            message_pack=listener.by_token,
            traffic=self._metrics.traffic,
        )
        self.channel.opened = self._opened
        self.channel.closed.add_done_callback(self._closed)
        self._intake: Intake[Frame] = Intake(
            self._frame,
            lambda wanted: self.channel.hold(not wanted),
            self._conversation.allowance,
            lambda frame: cost_of(frame.payload),
        )
        listener.incoming.add(self)
        listener.unproven += 1
        self._patience = asyncio.get_running_loop().call_later(PROOF_WITHIN, self._too_late)

    # --- for the conversation ---

    def send(self, message: WireStruct) -> None:
        """Bare: Rust reads no other form."""
        self.channel.send(*encode(message, packs=self._packs))

    def hold(self, held: bool) -> None:
        self._intake.hold(held)

    def is_heard(self, silence: float) -> bool:
        return self._listener.clock() - self._heard_at <= silence

    def beat(self, silence: float) -> None:
        if not self.is_heard(silence) and len(self._listener.transports) > 1:
            _log.warning("channel_silent", module_id=self._conversation.module_id, channel=self.label)
            self.channel.abort("it has not answered heartbeats")
            return
        with contextlib.suppress(LinkClosed):  # its end is told by its closing
            self.send(Heartbeat())
            self._pulse.sent(self._listener.clock())

    # --- from the connection ---

    def _opened(self) -> None:
        if self._listener.unproven > MOST_UNPROVEN or len(self._listener.transports) >= MOST_CHANNELS:
            self._refuse("too many connections")
        elif not self._listener.by_token:
            self._proven()

    def _take(self, frame: Frame) -> None:
        self._heard_at = self._listener.clock()
        if self._is_proven:
            self._intake.take(frame)
            return
        try:
            message = decode_from_module(frame.payload, frame.format)
        except ProtocolError:
            message = None
        if isinstance(message, Hello) and self._conversation.is_proven_by(message):
            self._conversation.speaks_extensions = True
            self._packs = frame.format is Format.MESSAGE_PACK
            self._proven()
        else:
            self._refuse("the first frame is no hello with this module's token")

    def _frame(self, frame: Frame) -> None:
        try:
            message = decode_from_module(frame.payload, frame.format)
        except ProtocolError as error:
            self._conversation.refuse(str(error))
            return
        if isinstance(message, HeartbeatAck):
            self._pulse.answered(self._listener.clock())
        self._conversation.receive(message, self)

    def _proven(self) -> None:
        self._is_proven = True
        self._uncount()
        self.channel.allow()
        if not any(each.label == self.label for each in self._listener.transports):
            self._metrics.opened(self._listener.clock())
        self._listener.transports.add(self)
        self._conversation.attach(self)

    def _refuse(self, reason: str) -> None:
        self._note(reason)
        self.channel.abort(reason)

    def _note(self, reason: str) -> None:
        if not self._listener.noting.take():
            return  # a stranger that comes again and again fills no log
        _log.warning("channel_refused", module_id=self._conversation.module_id, channel=self.label, reason=reason)
        self._conversation.tell(happenings.REFUSED, channel=self.label, reason=reason)

    def _too_late(self) -> None:
        if self.channel.is_open:
            self._refuse("no hello in time")
        elif self.label == "tls" and not self.channel.closed.done():
            self._note("no TLS handshake")
            self._listener.incoming.discard(self)
        self._uncount()

    def _uncount(self) -> None:
        self._patience.cancel()
        if self._is_counted:
            self._is_counted = False
            self._listener.unproven -= 1

    def _closed(self, closed: asyncio.Future[str]) -> None:
        self._uncount()
        self._intake.close()
        self._listener.incoming.discard(self)
        self._listener.transports.discard(self)
        if self._is_proven:
            if not any(each.label == self.label for each in self._listener.transports):
                self._metrics.lost(self._listener.clock())
            self._conversation.detach(self)
