"""Our header service on a message bus whose other members are go-libp2p with go-libp2p-pubsub, as Teranode's are."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import signal
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp
import pytest

from sdk.chaintracks.sources.teranode.data_hub import DataHubs
from support.header_rig import GENESIS, grown, mined, raw
from support.programs import Program, all_gone
from support.requirements import teranode_python
from support.teranode_rig import LENT, bus_of, following, members, until

if TYPE_CHECKING:
    from pathlib import Path

    from sdk.chaintracks.events import TipEvent
    from sdk.core.header import BlockHeader

LONG = grown([GENESIS], 4300)
NOBODY = (
    "12D3KooWLontQWbeWmteKZ9EbnzzYR7d6kxZt6Rqw6ABq6L2fLrt",
    "12D3KooWHtHWFEcQpBTeASFWj8AH3d2LQVFgJbsBkgane8pyeKN1",
)


async def test_a_service_becomes_current_and_stays_so_through_a_reorganisation(tmp_path: Path) -> None:
    async with members() as [member], following(tmp_path, [member]) as ours:
        assert "no answer yet" in str(await ours.service.why_not_current())
        await member.show(LONG)
        await member.announce()
        await ours.reaches(LONG)
        await until(lambda: ours.service.is_current)
        assert await ours.service.chain.headers(0, 5000) == raw(LONG)
        assert ours.service.sources_status()[0].last_error is None
        asked = await member.asked()
        assert asked == 5  # pages of 1,000

        one_more = grown(LONG, 1)
        await member.show(one_more)
        await member.announce()
        await ours.reaches(one_more)
        assert await member.asked() == asked  # it follows our tip: nobody need be asked for it

        events: list[TipEvent] = []
        ours.service.chain.listeners.append(events.append)
        other = grown(one_more[:-30], 33, salt="fork")
        await member.show(other)
        await member.announce()
        await ours.reaches(other)
        assert await ours.service.chain.headers(0, 5000) == raw(other)
        assert [(each.depth, each.tip.height) for each in events] == [(30, len(other) - 1)]


async def test_a_branch_of_less_work_changes_nothing_and_nobody_is_blamed(tmp_path: Path) -> None:
    async with members(2) as [first, second], following(tmp_path, [first, second]) as ours:
        await first.show(LONG[:51])
        await first.announce()
        await ours.reaches(LONG[:51])
        await second.show(grown(LONG[:40], 5, salt="short"))
        await second.announce()
        await until(lambda: ours.bus.counts["blocks"] == 2)
        await first.show(LONG[:52])
        await first.announce()
        await ours.reaches(LONG[:52])
        assert ours.bus.counts.get("banned", 0) == 0
        assert len(ours.source.peers) == 2


async def test_lies_move_nothing_and_whoever_tells_the_truth_is_still_heard(tmp_path: Path) -> None:
    """A message without proof of work is not taken; a header with it that breaks a rule costs its author the peer."""
    async with members(2) as [liar, honest], following(tmp_path, [liar, honest]) as ours:
        await honest.show(LONG[:101])
        await honest.announce()
        await ours.reaches(LONG[:101])
        idle, real = _without_work(LONG[100]), mined(LONG[100], salt="real")
        lies = [
            liar.message(idle, 101),
            liar.message(real, 101, Hash=idle.hash()),
            liar.message(real, -1),
            liar.message(real, 101, DataHubURL=7),
            "[]",
            "{" * 50_000,
        ]
        await liar.call("publish", messages=lies)
        await until(lambda: ours.bus.counts["refused"] == len(lies))
        assert ours.height == 100
        assert liar.id in ours.source.peers

        easier = mined(LONG[100], bits=0x207FFFFE)  # proves its work, but the network demands other bits
        await liar.call("publish", messages=[liar.message(easier, 101)])
        await until(lambda: ours.source.peers == (honest.id,))
        assert ours.height == 100
        await honest.show(LONG[:103])
        await honest.announce()
        await ours.reaches(LONG[:103])
        await until(lambda: ours.service.is_current)


def _without_work(parent: BlockHeader) -> BlockHeader:
    header = mined(parent)
    while header.meets_target():
        header = replace(header, nonce=header.nonce + 1)
    return header


async def test_a_datahub_whose_headers_break_a_rule_is_left_and_its_branch_moves_nothing(tmp_path: Path) -> None:
    async with members(2) as [liar, honest], following(tmp_path, [liar, honest]) as ours:
        await honest.show(LONG[:101])
        await honest.announce()
        await ours.reaches(LONG[:101])
        easier = mined(LONG[50], bits=0x207FFFFE)
        await liar.show(grown([*LONG[:51], easier], 60))
        await liar.announce()
        await until(lambda: ours.source.peers == (honest.id,))
        assert await liar.asked() == 1
        assert await ours.service.chain.headers(0, 200) == raw(LONG[:101])
        await honest.show(LONG[:104])
        await honest.announce()
        await ours.reaches(LONG[:104])


async def test_a_flood_ends_with_whoever_floods_and_holds_up_nobody(tmp_path: Path) -> None:
    async with members(2) as [flooder, honest], following(tmp_path, [flooder, honest]) as ours:
        await honest.show(LONG[:11])
        await honest.announce()
        await ours.reaches(LONG[:11])
        flood = [flooder.message(LONG[at], at, ClientName=str(at)) for at in range(1, 2001)]
        await flooder.call("publish", messages=flood)
        await until(lambda: ours.source.peers == (honest.id,))
        assert ours.bus.counts["blocks"] < 300  # 200 at once, and one a second
        assert flooder.id in ours.bus.fault
        assert "floods" in ours.bus.fault
        await honest.show(LONG[:13])
        await honest.announce()
        await ours.reaches(LONG[:13])
        assert ours.bus.started == 1


async def test_whoever_passes_on_a_flood_is_kept_and_whoever_made_it_is_not_heard(tmp_path: Path) -> None:
    async with members(2) as [flooder, relay], following(tmp_path, [relay]) as ours:
        await flooder.call("connect", peer=relay.address)
        await flooder.show(LONG[:2])
        async with asyncio.timeout(60):
            while ours.height < 1:  # until the relay passes on what it hears
                await flooder.announce()
                await asyncio.sleep(0.2)
        await flooder.call("publish", messages=[json.dumps({"nothing": at}) for at in range(300)])
        await until(lambda: ours.bus.counts.get("banned") == 1)
        assert ours.bus.counts["refused"] == 11
        assert ours.source.peers == (relay.id,)
        blocks = ours.bus.counts["blocks"]
        await flooder.show(LONG[:12])
        await flooder.announce()
        await relay.show(LONG[:13])
        await relay.announce()
        await ours.reaches(LONG[:13])
        await until(lambda: ours.bus.counts["blocks"] > blocks)
        assert ours.bus.counts["blocks"] == blocks + 1
        assert ours.source.peers == (relay.id,)


@pytest.mark.parametrize("odd", ["no RPC", "too long", "no key"])
async def test_bytes_that_are_no_messages_end_nothing(tmp_path: Path, odd: str) -> None:
    given = {"no RPC": "05ffffffffff", "too long": "ffffffff0f", "no key": _rpc_with_unreadable_key()}[odd]
    async with members(2) as [first, honest], following(tmp_path, [first, honest]) as ours:
        await first.call("raw", messages=[given])
        if odd != "too long":  # then it is the stream that ends
            await until(lambda: ours.source.peers == (honest.id,))
            assert "DecodeError" in ours.bus.fault
        await honest.show(LONG[:11])
        await honest.announce()
        await ours.reaches(LONG[:11])
        assert ours.bus.started == 1


def _rpc_with_unreadable_key() -> str:
    """RPC{publish: [Message{from, data, seqno, topic, signature, key}]}, whose key is no key."""

    def part(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    topic = b"teranode/bitcoin/1.0.0/mocknet-block"
    message = part(1, b"\x12\x20" + bytes(32)) + part(2, b"{}") + part(3, bytes(8)) + part(4, topic)
    message += part(5, bytes(64)) + part(6, b"\xff\xff\xff")
    body = bytes([2 << 3 | 2]) + _varint(len(message)) + message
    return (_varint(len(body)) + body).hex()


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128, number >> 7])


async def test_a_lost_connection_and_a_lost_process_are_made_again(tmp_path: Path) -> None:
    async with members() as [member], following(tmp_path, [member]) as ours:
        [known] = await member.members()
        await member.call("hang up")
        await until(lambda: ours.bus.lost == 1)
        await until(lambda: bool(ours.source.peers))
        assert ours.bus.pid is not None
        os.kill(ours.bus.pid, signal.SIGKILL)
        await until(lambda: ours.bus.started == 2)
        await until(lambda: bool(ours.source.peers))
        assert await member.members() == [known]  # its identity was kept
        assert (tmp_path / "bus.key").stat().st_mode & 0o777 == 0o600
        await member.show(LONG[:11])
        await member.announce()
        await ours.reaches(LONG[:11])


async def test_a_peer_is_found_by_the_name_of_its_host_and_one_that_is_not_there_says_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with members() as [member]:
        addresses = [
            member.address.replace("/ip4/127.0.0.1", "/dns4/localhost"),
            f"/dns4/no.such.host.invalid/tcp/9/p2p/{NOBODY[0]}",
            f"/ip4/127.0.0.1/tcp/{port}/p2p/{NOBODY[1]}",
        ]
        bus = bus_of(tmp_path, addresses)
        bus.begin()
        await until(lambda: bus.connected == (member.id,) and all(each in bus.fault for each in NOBODY))
        no_name, refused = bus.fault.split("; ")
        assert no_name.startswith(f"{NOBODY[0]}: [Errno -")
        assert refused.startswith(f"{NOBODY[1]}: [Errno {errno.ECONNREFUSED}]")
        await bus.close()


async def test_two_processes_over_one_key_are_two_members(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "bus.key").symlink_to(tmp_path / "bus.key")
    async with members() as [member], following(tmp_path, [member]), following(tmp_path / "second", [member]) as second:
        assert len(await member.members()) == 2
        await member.show(LONG[:11])
        await member.announce()
        await second.reaches(LONG[:11])


@pytest.mark.parametrize(("mode", "size", "reason"), [(0o644, 32, "chmod 600 it"), (0o600, 31, "no key of 32 bytes")])
async def test_a_key_that_others_may_read_or_that_is_damaged_is_not_used(
    tmp_path: Path, mode: int, size: int, reason: str
) -> None:
    key = tmp_path / "bus.key"
    key.write_bytes(bytes(size))
    key.chmod(mode)
    bus = bus_of(tmp_path, [f"/ip4/127.0.0.1/tcp/9/p2p/{NOBODY[0]}"])
    bus.begin()
    await until(lambda: reason in bus.fault)
    await bus.close()
    assert key.read_bytes() == bytes(size)


async def test_a_datahub_of_ours_makes_current_before_any_block_is_announced(tmp_path: Path) -> None:
    async with members() as [member]:
        await member.show(LONG)
        async with following(tmp_path, [member], hubs=[member.hub]) as ours:
            await ours.reaches(LONG)
            await until(lambda: ours.service.is_current)


async def test_a_datahub_in_our_own_network_is_not_asked_unless_allowed(tmp_path: Path) -> None:
    async with members() as [member], following(tmp_path, [member], pages=DataHubs()) as ours:
        await member.show(LONG)
        await member.announce()
        await until(lambda: ours.service.sources_status()[0].last_error is not None)
        assert "is no host of the Internet" in str(ours.service.sources_status()[0].last_error)
        assert await member.asked() == 0
        assert ours.height == 0


async def test_the_command_serves_what_the_bus_announces(tmp_path: Path) -> None:
    async with members() as [member]:
        environ = {
            **os.environ,
            "PYTHONPATH": LENT,
            "SDK_TERANODE_PYTHON": str(teranode_python()),
            "SDK_TERANODE_ALLOW_PRIVATE": "true",
            "SDK_TERANODE_PEERS": json.dumps({"mock": [member.address], "main": ["/ip4/127.0.0.1/tcp/1/p2p/Qm1"]}),
        }
        command = ["sdk", "chaintracks", "serve", "--network", "mock", "--source", "teranode", "--port", "0"]
        program = Program("serve", command, environ, tmp_path / "log", cwd=tmp_path)
        async with all_gone([program]), aiohttp.ClientSession() as session:
            await program.start()
            await until(lambda: "http://" in program.log.read_text())
            found = re.search(r"http://127\.0\.0\.1:\d+", program.log.read_text())
            assert found is not None
            await member.until_joined()
            await member.show(LONG[:200])
            await member.announce()
            async with asyncio.timeout(60):
                while True:
                    async with session.get(f"{found[0]}/readyz") as answer:
                        if answer.status == 200:
                            break
                    await asyncio.sleep(0.05)
            async with session.get(f"{found[0]}/v2/tip/hash") as answer:
                assert (await answer.json())["value"] == LONG[199].hash()
            assert (tmp_path / "teranode-mock.key").exists()
            await program.stop()
