"""The header service of the wallet stack, followed through the gateway by the client that its users have."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import ClientSession
from yarl import URL

from sdk.chaintracks.client import ChaintracksClient
from sdk.chaintracks.client.updates import HeadersUpdate, ReorgUpdate
from sdk.devnet.system.stack import clean_environment, stack
from support.commands import SDK

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import StreamReader

    from sdk.chaintracks.client.stream import UpdateStream

PATIENCE = 60.0


async def test_subscribers_hear_of_blocks_and_reorganisations_and_come_back_after_a_restart(tmp_path: Path) -> None:
    async with stack(tmp_path, say=lambda _: None) as running, asyncio.timeout(3 * PATIENCE):
        gateway = str(URL(running.wallet.url).origin())
        async with ClientSession() as http, ChaintracksClient(gateway, chain="mock") as client:
            devnet = running.devnet.url
            tips, reorgs = client.header_updates(), client.reorg_updates()
            told = asyncio.create_task(until_tip(tips, await mined(http, devnet)))
            async with http.get(f"{gateway}/v2/reorg/stream") as events:
                assert events.status == 200
                await event(events.content)  # how long to wait before coming back
                await told
                reorganised = asyncio.create_task(anext(reorgs))
                await live(reorgs)
                async with http.post(f"{devnet}/reorg", json={"depth": 1}) as answer:
                    new_tip = (await answer.json())["tip"]
                update = await reorganised
                assert isinstance(update, ReorgUpdate)
                assert (update.depth, update.new_tip[1].hash()) == (1, new_tip)
                assert new_tip in await event(events.content)
            await until_tip(tips, new_tip)

            connections = tips.connections
            await command("restart", "headers", "--stack", str(tmp_path / "stack.toml"))
            await until_tip(tips, await mined(http, devnet))
            assert tips.connections > connections


async def mined(http: ClientSession, devnet: str) -> str:
    """The hash of a new block."""
    async with http.post(f"{devnet}/mine", json={"blocks": 1}) as answer:
        assert answer.status == 200, await answer.text()
        tip: str = (await answer.json())["tip"]
        return tip


async def until_tip(updates: UpdateStream, block_hash: str) -> None:
    async for update in updates:
        if isinstance(update, HeadersUpdate) and update.tip.hash() == block_hash:
            return


async def live(updates: UpdateStream) -> None:
    while not updates.live:  # noqa: ASYNC110 - it has no event for that
        await asyncio.sleep(0.02)


async def event(content: StreamReader) -> str:
    """The next that is no comment."""
    while (text := (await content.readuntil(b"\n\n")).decode()).startswith(":"):
        continue
    return text


async def command(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        SDK, "runtime", *arguments, env=clean_environment(), stdout=-1, stderr=-1
    )
    out, err = await process.communicate()
    assert process.returncode == 0, out + err
