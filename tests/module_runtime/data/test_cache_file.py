"""A cache in files: whole entries only, whoever is killed when, and bounded."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from sdk.module_runtime.data.cache import CacheConfig, CacheFull, fence_of, open_cache

if TYPE_CHECKING:
    from pathlib import Path

    from sdk.module_runtime.data.cache import Cache

WRITER = """
import asyncio, sys
from sdk.module_runtime.data.cache import CacheConfig, open_cache

async def main(folder, number):
    cache = await open_cache(CacheConfig(cache_type="File", file_path=folder, max_size_bytes=2_000_000))
    turn = 0
    while True:
        turn += 1
        await cache.set(f"k{turn % 7}", bytes([turn % 256]) * (turn * 997 % 60_000), 3000)
        await cache.set(f"last{number}", b"%d" % turn, 3000)
        count = await cache.increment("count")
        print(turn, flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


def config(folder: Path, **more: object) -> CacheConfig:
    return CacheConfig(cache_type="File", file_path=str(folder), **more)  # type: ignore[arg-type]


async def test_anagrams_and_long_keys_are_entries_of_their_own(tmp_path: Path) -> None:
    """The reference names files by the sum of a key's bytes."""
    keys = ["ab", "ba", "../../etc/passwd", "a/b", "A/B", "x" * 1000, "."]
    async with await open_cache(config(tmp_path / "cache")) as cache:
        await cache.set_many({key: key.encode() for key in keys})
        assert await cache.get_many(keys) == {key: key.encode() for key in keys}
    assert os.listdir(tmp_path) == ["cache"]


async def test_processes_killed_while_writing_leave_whole_entries_and_nothing_acknowledged_is_lost(
    tmp_path: Path,
) -> None:
    turns = {"0": 0, "1": 0}
    for number in range(3):
        writers = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", WRITER, str(tmp_path), name, stdout=asyncio.subprocess.PIPE
            )
            for name in turns
        ]
        for name, writer in zip(turns, writers, strict=True):
            assert writer.stdout is not None
            for _ in range(random.Random(number).randrange(3, 20)):
                turns[name] = int(await writer.stdout.readline())
        for name, writer in zip(turns, writers, strict=True):
            writer.send_signal(signal.SIGKILL)
            assert writer.stdout is not None
            for line in (await writer.stdout.read()).split(b"\n")[:-1]:
                turns[name] = int(line)
            await writer.wait()
        async with await open_cache(config(tmp_path)) as cache:
            for name, turn in turns.items():
                last = await cache.get(f"last{name}")
                assert last is not None
                assert int(last) >= turn
            for key in range(7):
                value = await cache.get(f"k{key}")
                assert value is not None
                assert len(set(value)) <= 1, "bytes of two writes in one entry"
                if value:
                    assert any(len(value) == turn * 997 % 60_000 for turn in range(value[0], 5000, 256))


async def test_a_torn_or_foreign_file_is_no_entry(tmp_path: Path) -> None:
    async with await open_cache(config(tmp_path)) as cache:
        await cache.set("a", b"value" * 100)
        [path] = [each for each in files(tmp_path) if len(each.name) == 62]
        whole = path.read_bytes()
        flipped = whole[:60] + b"\x00" + whole[61:]
        for torn in (whole[:-1], whole[:10], b"", flipped, whole + b"x", b"\x00" * len(whole)):
            path.write_bytes(torn)
            assert await cache.get("a") is None
        assert await cache.set_nx("a", b"new")
        assert await cache.get("a") == b"new"


@pytest.mark.parametrize("torn", [b"", b"12\x00"])
async def test_a_torn_counter_of_locks_stops_nobody_and_the_fence_still_rises(tmp_path: Path, torn: bytes) -> None:
    async with await open_cache(config(tmp_path)) as cache:
        first = await cache.lock("job", 60)
        assert first is not None
        assert await cache.unlock("job", first)
        (counter,) = tmp_path.glob("*/fence")  # noqa: ASYNC240
        counter.write_bytes(torn)
        second = await cache.lock("job", 60)
        assert second is not None
        assert fence_of(second) > fence_of(first)


@pytest.mark.parametrize(("policy", "survivor"), [("LRU", "k0"), ("FIFO", "k49")])
async def test_files_stay_within_their_limit_and_the_policy_says_which_go(
    tmp_path: Path, policy: str, survivor: str
) -> None:
    now = 1000.0
    async with await open_cache(
        config(tmp_path, policy=policy, max_size_bytes=20_000, default_ttl_seconds=0), wall=lambda: now
    ) as cache:
        for number in range(50):
            now += 1
            await cache.set(f"k{number}", b"x" * 1000)
            now += 1
            await cache.get("k0")
            stats = await cache.stats()
            assert stats.memory_used_bytes is not None
            assert stats.memory_used_bytes <= 20_000
        assert await cache.get(survivor) is not None
        assert await cache.get("k1") is None
        assert (await cache.get("k0") is None) == (policy == "FIFO")
        stats = await cache.stats()
        assert stats.additional_metrics["evictions"] == str(50 - (stats.item_count or 0))


async def test_a_full_cache_that_evicts_nothing_takes_no_more_until_something_ends(tmp_path: Path) -> None:
    now = 1000.0
    async with await open_cache(config(tmp_path, policy="None", max_size_bytes=2500), wall=lambda: now) as cache:
        await cache.set("a", b"x" * 1000, ttl=10)
        await cache.set("b", b"x" * 1000, ttl=1000)
        with pytest.raises(CacheFull):
            await cache.set("c", b"x" * 1000)
        await cache.set("b", b"y" * 1000, ttl=1000)
        now += 10
        await cache.set("c", b"x" * 1000)
        assert await present(cache, "abc") == "bc"


async def test_what_killed_writers_left_is_removed_when_room_is_made(tmp_path: Path) -> None:
    async with await open_cache(config(tmp_path, max_size_bytes=3000)) as cache:
        [folder] = os.listdir(tmp_path)
        new = tmp_path / folder / "new"
        (new / "left").write_bytes(b"x" * 100)
        for number in range(5):
            await cache.set(f"k{number}", b"x" * 1000)
        assert os.listdir(new) == []


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def present(cache: Cache, keys: str) -> str:
    return "".join(await cache.get_many(keys))


def test_nobody_else_may_read_the_entries(tmp_path: Path) -> None:
    async def write() -> None:
        async with await open_cache(config(tmp_path / "cache")) as cache:
            await cache.set("a", json.dumps({"a": 1}).encode())

    asyncio.run(write())
    assert {path.stat().st_mode & 0o077 for path in files(tmp_path / "cache")} == {0}
