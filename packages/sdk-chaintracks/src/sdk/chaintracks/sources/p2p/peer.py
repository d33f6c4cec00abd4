"""One connection to a node: handshake, questions and answers, announcements."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from sdk.chaintracks.consensus.fields import HEADER, display, header_hash, previous_hash
from sdk.chaintracks.errors import SourceLied, SourceUnavailable
from sdk.chaintracks.sources.p2p.messages import (
    BLOCK,
    FRAME_HEAD,
    LEAST_VERSION,
    MAX_HEADERS,
    PROTOCOL_VERSION,
    FrameHead,
    Version,
    frame,
    get_headers,
    parse_headers,
    parse_inventory,
)
from sdk.core.errors import ParseError
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sdk.core.ports import Clock, Entropy

AGENT: Final = "/sdk-chaintracks:0.1/"
_FOREIGN_AGENTS: Final = ("abc", "cash", "bch")
_UNASKED_LIMIT: Final = 200
"""Messages of no use in a row before a peer is dropped."""
_FULL: Final = MAX_HEADERS * HEADER
_MOST_BEFORE: Final = 100
"""Messages before the handshake is done."""

log = get_logger(__name__)


class PeerTimes:
    """Seconds a peer is waited for."""

    def __init__(
        self, *, connect: float = 10.0, handshake: float = 30.0, answer: float = 30.0, silence: float = 300.0
    ) -> None:
        self.connect, self.handshake, self.answer, self.silence = connect, handshake, answer, silence


class Peer:
    """A node that has shaken hands. Methods raise ``SourceUnavailable`` when it stalls or hangs up, and
    ``SourceLied`` when it breaks the protocol; it is of no use after either."""

    def __init__(
        self, name: str, magic: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, times: PeerTimes
    ) -> None:
        self.name = name
        self._magic, self._reader, self._writer, self._times = magic, reader, writer, times
        self._answer: asyncio.Future[bytes] | None = None
        self._asked: Sequence[bytes] = ()  # the locator of the question that waits for its answer
        self._useless = 0
        self._pump: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self.start_height = 0
        self.announced: Callable[[], None] = lambda: None

    @classmethod
    async def connect(
        cls, host: str, port: int, magic: bytes, *, height: int, clock: Clock, entropy: Entropy, times: PeerTimes
    ) -> Peer:
        """Dial and shake hands; ``height`` is that of our own tip."""
        name = f"{host}:{port}"
        try:
            async with asyncio.timeout(times.connect):
                reader, writer = await asyncio.open_connection(host, port)
        except (OSError, TimeoutError) as error:
            raise SourceUnavailable(name, f"cannot be reached: {error or 'timed out'}") from error
        peer = cls(name, magic, reader, writer, times)
        try:
            async with asyncio.timeout(times.handshake):
                await peer._shake_hands(height, int(clock().timestamp()), int.from_bytes(entropy(8), "little"))
        except BaseException as error:
            await peer.close()
            if isinstance(error, TimeoutError):
                raise SourceUnavailable(name, "did not finish the handshake in time") from error
            raise
        peer._pump = asyncio.create_task(peer._read_on(), name=f"peer {name}")
        return peer

    @property
    def is_alive(self) -> bool:
        return self._failure is None

    async def headers_after(self, locator: Sequence[bytes]) -> bytes:
        """Up to 2000 headers after the first hash of ``locator`` (newest first) that the peer has too.

        The next question is sent along when the answer is full, so that the peer works while we do.
        """
        if self._answer is None or self._asked[0] != locator[0]:
            await self._ask(locator)
        answer = self._answer
        assert answer is not None
        try:
            async with asyncio.timeout(self._times.answer):
                raw = await asyncio.shield(answer)
        except TimeoutError as error:
            raise self._fail(SourceUnavailable(self.name, "did not answer getheaders in time")) from error
        finally:
            self._answer = None
        if len(raw) == _FULL:
            await self._ask([header_hash(raw[-HEADER:])])
        return raw

    async def close(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await self._writer.wait_closed()

    # inside

    def _fail(self, error: Exception) -> Exception:
        if self._failure is None:
            self._failure = error
        return error

    async def _ask(self, locator: Sequence[bytes]) -> None:
        if self._failure is not None:
            raise self._failure
        self._answer = asyncio.get_running_loop().create_future()
        self._asked = locator
        await self._send("getheaders", get_headers(locator))

    async def _send(self, command: str, payload: bytes = b"") -> None:
        self._writer.write(frame(self._magic, command, payload))
        try:
            async with asyncio.timeout(self._times.answer):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            raise self._fail(SourceUnavailable(self.name, f"the connection is lost: {error}")) from error

    async def _receive(self) -> tuple[str, bytes]:
        """The next message; one with a wrong checksum is passed over, as the node does."""
        while True:
            try:
                head = FrameHead.parse(self._magic, await self._reader.readexactly(FRAME_HEAD))
                async with asyncio.timeout(self._times.answer):
                    payload = await self._reader.readexactly(head.length)
            except (asyncio.IncompleteReadError, OSError, TimeoutError) as error:
                raise SourceUnavailable(
                    self.name, "hung up" if not isinstance(error, TimeoutError) else "stalled"
                ) from error
            except ParseError as error:
                raise SourceLied(self.name, str(error)) from error
            if head.fits(payload):
                return head.command, payload
            self._unasked()

    async def _shake_hands(self, height: int, now: int, nonce: int) -> None:
        """The two messages may come in any order."""
        ours = Version(PROTOCOL_VERSION, 0, now, nonce, AGENT, height)
        await self._send("version", ours.to_bytes())
        theirs: Version | None = None
        acknowledged = False
        for _ in range(_MOST_BEFORE):
            command, payload = await self._receive()
            if command == "verack":
                acknowledged = True
            elif command == "version" and theirs is None:
                theirs = self._accepted(payload, nonce)
                await self._send("verack")
            elif command == "ping" and len(payload) == 8:
                await self._send("pong", payload)
            if theirs is not None and acknowledged:
                break
        else:
            raise SourceLied(self.name, f"sent {_MOST_BEFORE} messages and had not shaken hands")
        self.start_height = max(0, theirs.start_height)
        await self._send("sendheaders")

    def _accepted(self, payload: bytes, nonce: int) -> Version:
        try:
            theirs = Version.parse(payload)
        except ParseError as error:
            raise SourceLied(self.name, str(error)) from error
        if theirs.nonce == nonce:
            raise SourceUnavailable(self.name, "is this very program")
        if theirs.version < LEAST_VERSION:
            raise SourceUnavailable(self.name, f"speaks version {theirs.version}, too old")
        if any(each in theirs.agent.lower() for each in _FOREIGN_AGENTS):
            raise SourceUnavailable(self.name, f"follows another chain: {theirs.agent[:80]!r}")
        return theirs

    async def _read_on(self) -> None:
        try:
            while True:
                async with asyncio.timeout(self._times.silence):
                    command, payload = await self._receive()
                await self._handle(command, payload)
        except TimeoutError:
            self._end(SourceUnavailable(self.name, f"said nothing for {self._times.silence:.0f} s"))
        except (SourceUnavailable, SourceLied) as error:
            self._end(error)
        except ParseError as error:
            self._end(SourceLied(self.name, str(error)))

    def _end(self, error: Exception) -> None:
        self._fail(error)
        log.info("peer lost", peer=self.name, reason=str(error))
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
            self._answer.exception()  # it is told to whoever waits; nobody may
        self.announced()

    async def _handle(self, command: str, payload: bytes) -> None:
        if command == "headers":
            self._take_headers(parse_headers(payload))
        elif command == "inv":
            if any(kind == BLOCK for kind, _ in parse_inventory(payload)):
                self.announced()
            self._unasked()
        elif command == "ping":
            if len(payload) != 8:
                raise ParseError("ping message", f"{len(payload)} bytes, not 8", 0)
            await self._send("pong", payload)
            self._unasked()
        else:
            self._unasked()

    def _take_headers(self, raw: bytes) -> None:
        """An answer follows what was asked about; any other headers announce a block."""
        for at in range(HEADER, len(raw), HEADER):
            if raw[at + 4 : at + 36] != header_hash(raw[at - HEADER : at]):
                raise SourceLied(
                    self.name, f"{display(header_hash(raw[at : at + HEADER]))} does not follow what it sent before"
                )
        waiting = self._answer is not None and not self._answer.done()
        if self._answer is not None and waiting and (not raw or previous_hash(raw) in self._asked):
            self._answer.set_result(raw)
            self._useless = 0
            return
        if raw:
            self.announced()
        self._unasked()

    def _unasked(self) -> None:
        self._useless += 1
        if self._useless > _UNASKED_LIMIT:
            raise SourceLied(self.name, f"sent {_UNASKED_LIMIT} messages in a row that nobody asked for")
