"""The process that stands on the bus: ``python -m sdk.chaintracks.sources.teranode.bus``.

libp2p runs on trio, and what strangers send is parsed here, so it is a process of its own: bounded in memory, and free
to fall. The first line of its input is its task (``BusTask``); later lines are ``{"ban": <peer>}``; it ends with its
input. It answers with lines of JSON: ``{"kind": "block", …}`` (``Announcement``) and ``{"kind": "state", …}``.
It only dials, and it passes on what it holds for valid, as every member of a gossip network does.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import resource
import sys
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_INET, AF_INET6, AF_UNSPEC, SOCK_STREAM
from typing import TYPE_CHECKING, Any, Final

import trio
from google.protobuf.message import DecodeError
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from libp2p.pubsub.gossipsub import PROTOCOL_ID, PROTOCOL_ID_V11, GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from sdk.chaintracks.sources.teranode.allowance import Allowance
from sdk.chaintracks.sources.teranode.announcement import BadAnnouncement, parse_announcement
from sdk.chaintracks.sources.teranode.task import BusTask

if TYPE_CHECKING:
    from libp2p.crypto.keys import KeyPair

MAX_MEMORY: Final = 768 * 1024 * 1024
_WAITING: Final = 64
"""Lines that wait for the other side; what comes then is dropped, and counted."""
_MAX_RPC: Final = 512 * 1024
_MAX_LINE: Final = 64 * 1024
_DIAL: Final = 20.0
_STATE: Final = 1.0
_SHORTEST: Final = 1.0
_LONGEST: Final = 120.0
_BAN: Final = 24 * 3600.0
_REST: Final = 60.0
_MAX_BANNED: Final = 2000
_HEARTBEAT: Final = 1
_FAMILIES: Final = {"dns": AF_UNSPEC, "dns4": AF_INET, "dns6": AF_INET6}


log = logging.getLogger(__name__)


@dataclass
class Dialled:
    """A peer of ours: when it is dialled again, and why it is not there."""

    info: PeerInfo
    due: float = 0.0
    failures: int = 0
    fault: str = ""

    async def addresses(self) -> list[Multiaddr]:
        """Where it is now: names are looked up as everywhere on this host, not by the library's own resolver. Raises
        ``OSError``."""
        found = []
        for each in self.info.addrs:
            _, kind, host, _, port = str(each).split("/")
            if kind in _FAMILIES:
                answers = await trio.socket.getaddrinfo(host, int(port), family=_FAMILIES[kind], type=SOCK_STREAM)
                hosts = dict.fromkeys(str(answer[4][0]) for answer in answers)
                found += [Multiaddr(f"/ip{6 if ':' in name else 4}/{name}/tcp/{port}") for name in hosts]
            else:
                found.append(each)
        return found


@dataclass
class Bus:
    """Everything this process knows; times are trio's."""

    task: BusTask
    lines: trio.MemorySendChannel[bytes]
    peers: list[Dialled]
    delivered: Allowance = field(default_factory=lambda: Allowance(600, 50))  # by who delivers
    passed_over: Allowance = field(default_factory=lambda: Allowance(6000, 100))
    authored: Allowance = field(default_factory=lambda: Allowance(200, 1))  # by who signed
    refused: Allowance = field(default_factory=lambda: Allowance(10, 1 / 60))
    banned: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: {"blocks": 0, "refused": 0, "passed over": 0, "dropped": 0})
    host: Any = None
    pubsub: Any = None

    # messages

    def guard(self) -> None:
        """Count messages before the library checks their signatures; and where it raises over what it is sent, blame
        the sender instead of ending this process."""
        inner, read = self.pubsub.push_msg, self.pubsub.continuously_read_stream

        async def push(forwarder: ID, message: Any) -> None:
            peer = str(forwarder)
            if not self.may_deliver(peer) or str(ID(message.from_id)) in self.banned:
                return
            try:
                await inner(forwarder, message)
            except Exception as error:  # noqa: BLE001 - whatever strangers can make the library raise
                self.ban(peer, f"sent a message that cannot be read: {type(error).__name__}")

        async def read_on(stream: Any) -> None:
            try:
                await read(stream)
            except Exception as error:  # noqa: BLE001
                seconds = _BAN if isinstance(error, DecodeError) else _REST
                self.ban(str(stream.muxed_conn.peer_id), f"its stream broke: {type(error).__name__}", seconds)

        self.pubsub.push_msg, self.pubsub.continuously_read_stream = push, read_on
        self.pubsub.set_topic_validator(self.task.topic, self.valid, False)

    def may_deliver(self, peer: str) -> bool:
        """Who passes on a flood need not have made it: messages are passed over, and only a great flood ends it."""
        now = trio.current_time()
        if peer in self.banned:
            return False
        if self.delivered.take(peer, now):
            return True
        self.counts["passed over"] += 1
        if not self.passed_over.take(peer, now):
            self.ban(peer, "delivers a flood", _REST)
        return False

    def valid(self, forwarder: ID, message: Any) -> bool:
        """Whether a message is taken and passed on. Its signature holds, so that its author can be blamed."""
        author, now = str(ID(message.from_id)), trio.current_time()
        if not self.authored.take(author, now):
            self.ban(author, "floods")
            return False
        try:
            parse_announcement(message.data, author, self.task.pow_limit)
        except BadAnnouncement as error:
            self.counts["refused"] += 1
            if not self.refused.take(author, now):
                self.ban(author, f"sends what is refused: {error}")
            return False
        return True

    def take(self, message: Any) -> None:
        found = parse_announcement(message.data, str(ID(message.from_id)), self.task.pow_limit)
        self.counts["blocks"] += 1
        self.tell({"kind": "block", **found.to_line()})

    def tell(self, line: dict[str, Any]) -> None:
        try:
            self.lines.send_nowait(json.dumps(line).encode() + b"\n")
        except trio.WouldBlock:
            self.counts["dropped"] += 1

    # peers

    def ban(self, peer: str, reason: str, seconds: float = _BAN) -> None:
        """Leave ``peer`` alone, connected or not; nothing that it signed is taken meanwhile."""
        if peer in self.banned:
            return
        if len(self.banned) >= _MAX_BANNED:
            del self.banned[min(self.banned, key=lambda each: self.banned[each])]
        self.banned[peer] = trio.current_time() + seconds
        self.counts["banned"] = len(self.banned)
        for each in self.peers:
            if str(each.info.peer_id) == peer:
                each.due, each.fault = self.banned[peer], reason
        log.warning("peer banned: %s: %s", peer, reason)

    async def keep_connected(self, nursery: trio.Nursery) -> None:
        """Dial whoever is due, part from whoever is banned, and say how things stand."""
        while True:
            now = trio.current_time()
            self.banned = {each: until for each, until in self.banned.items() if until > now}
            connected = set(self.host.get_connected_peers())
            for each in connected:
                if str(each) in self.banned:
                    nursery.start_soon(self.part, each)
            for dialled in self.peers:
                if dialled.info.peer_id not in connected and dialled.due <= now:
                    dialled.due = now + 2 * _DIAL
                    nursery.start_soon(self.dial, dialled)
            self.tell(self.state())
            await trio.sleep(_STATE)

    async def part(self, peer: ID) -> None:
        with trio.move_on_after(_DIAL):
            try:
                await self.host.disconnect(peer)
            except Exception as error:  # noqa: BLE001 - the next round sees whether it is gone
                log.warning("parting from %s failed: %s", peer, error)

    async def dial(self, peer: Dialled) -> None:
        try:
            self.host.get_peerstore().clear_addrs(peer.info.peer_id)  # those it names itself are not dialled
            self.host.get_network().unblock_peer(peer.info.peer_id)  # when to try again is decided here
            with trio.fail_after(_DIAL):
                await self.host.connect(PeerInfo(peer.info.peer_id, await peer.addresses()))
        except Exception as error:  # noqa: BLE001 - whatever the library raises, that peer is not there
            peer.fault = _innermost(error)
            peer.due = trio.current_time() + min(_LONGEST, _SHORTEST * 2.0 ** min(peer.failures, 16))
            peer.failures += 1
        else:
            peer.fault, peer.failures, peer.due = "", 0, trio.current_time() + _SHORTEST

    def state(self) -> dict[str, Any]:
        """``connected`` are those that take part in the topic."""
        members, connected = self.pubsub.peer_topics.get(self.task.topic, set()), self.host.get_connected_peers()
        faults = []
        for each in self.peers:
            peer = each.info.peer_id
            fault = "is connected, but not on the topic" if peer in connected and peer not in members else each.fault
            if fault:
                faults.append(f"{peer}: {fault}")
        named = [str(each) for each in connected if each in members]
        return {"kind": "state", "connected": named, "faults": faults[:8], "counts": self.counts}


def _innermost(error: BaseException) -> str:
    """What the library's errors about errors are about."""
    while True:
        several = getattr(error, "errors", None) or getattr(error, "exceptions", None) or ()
        inner = error.__cause__ or next(iter(several), None)
        if not isinstance(inner, BaseException):
            return " ".join(str(error).split())[:200] or type(error).__name__
        error = inner


def identity(path: str | None) -> KeyPair:
    """The key in ``path``, 32 bytes that only we may read; a new one where there is none.

    One for once without ``path``, or while another process has it: two members of one name would part each other from
    their peers. Raises ``PermissionError`` when others may read it, ``ValueError`` when it is damaged.
    """
    if path is None:
        return create_new_key_pair()
    place = Path(path)
    if not place.exists():
        _make_key(place)
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)  # never closed: it holds the lock
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.warning("another process goes by the identity in %s: this one takes one for once", place)
        os.close(descriptor)
        return create_new_key_pair()
    if os.fstat(descriptor).st_mode & 0o077:
        raise PermissionError(f"{place} may be read by others: chmod 600 it")
    seed = os.read(descriptor, 33)
    if len(seed) != 32:
        raise ValueError(f"{place} holds no key of 32 bytes: delete it for a new one")
    return create_new_key_pair(seed)


def _make_key(place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f"{place.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.urandom(32))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(beside, place)  # unlike a rename, never over the key of another process
    except FileExistsError:
        log.info("another process has made %s meanwhile", place)
    finally:
        beside.unlink()


async def read_commands(bus: Bus, given: Any, done: trio.CancelScope) -> None:
    """Until there are no more; then this process has no reason to be."""
    rest = b""
    while part := await given.receive_some(4096):
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            bus.ban(json.loads(line)["ban"], "told so")
        if len(rest) > _MAX_LINE:
            break
    done.cancel()


async def write_lines(lines: trio.MemoryReceiveChannel[bytes], answers: Any) -> None:
    async for line in lines:
        await answers.send_all(line)


async def run(task: BusTask) -> None:
    given, answers = trio.lowlevel.FdStream(os.dup(0)), trio.lowlevel.FdStream(os.dup(1))
    send, receive = trio.open_memory_channel[bytes](_WAITING)
    bus = Bus(task, send, [Dialled(info_from_p2p_addr(Multiaddr(each))) for each in task.peers])
    bus.host = new_host(key_pair=identity(task.key_file))
    router = GossipSub(
        [PROTOCOL_ID_V11, PROTOCOL_ID], degree=6, degree_low=4, degree_high=12, heartbeat_interval=_HEARTBEAT
    )
    bus.pubsub = Pubsub(bus.host, router, max_inbound_rpc_size=_MAX_RPC, allowed_topics={task.topic})
    bus.guard()
    async with (
        bus.host.run(listen_addrs=[]),
        background_trio_service(bus.pubsub),
        background_trio_service(router),
        trio.open_nursery() as nursery,
    ):
        await bus.host.get_network().auto_connector.stop()  # it dials addresses that strangers name
        await bus.pubsub.wait_until_ready()
        subscription = await bus.pubsub.subscribe(task.topic)
        nursery.start_soon(write_lines, receive, answers)
        nursery.start_soon(bus.keep_connected, nursery)
        nursery.start_soon(read_commands, bus, given, nursery.cancel_scope)
        while True:
            bus.take(await subscription.get())


def main() -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    _, allowed = resource.getrlimit(resource.RLIMIT_DATA)
    most = MAX_MEMORY if allowed == resource.RLIM_INFINITY else min(MAX_MEMORY, allowed)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    with open(0, "rb", buffering=0, closefd=False) as given:  # what follows is read from the pipe
        task = BusTask.from_line(given.readline(_MAX_LINE))
    trio.run(run, task)


if __name__ == "__main__":
    main()
