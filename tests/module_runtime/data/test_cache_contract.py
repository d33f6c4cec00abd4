"""The contract of a cache, held by memory, files, Redis and memcached alike."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from sdk.module_runtime.data.cache import (
    CacheConfig,
    CacheConfigurationError,
    CacheConnectionError,
    CacheFull,
    CacheOperationError,
    CacheSerializationError,
    Duration,
    fence_of,
    open_cache,
)
from sdk.module_runtime.data.cache.proxied import open_proxied
from sdk.module_runtime.orchestrator.hosts.cache import CacheHost
from sdk.module_runtime.orchestrator.hosts.scopes import CacheScope
from support.caches import KINDS, cache_config
from support.host_link import HostLink
from support.requirements import vectors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sdk.module_runtime.data.cache import (
        Cache,
    )


@pytest.fixture(params=KINDS)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> CacheConfig:
    return cache_config(request.param, tmp_path)


@pytest_asyncio.fixture(params=[*KINDS, "through the orchestrator"])
async def cache(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cache]:
    if request.param in KINDS:
        async with await open_cache(cache_config(request.param, tmp_path)) as opened:
            yield opened
            await opened.clear()
        return
    config = cache_config("Redis", tmp_path)
    given = config.model_dump(include={"cache_type", "hosts", "port", "namespace"})
    host = CacheHost({"m": {"main": CacheScope(**given)}}, {})
    async with await open_proxied(HostLink("m", {"Cache": host}), CacheConfig(namespace="main")) as proxied:
        yield proxied
        await proxied.clear()
    await host.close()


async def gone(cache: Cache, key: str) -> None:
    """Waits for real time on a server's clock."""
    async with asyncio.timeout(5):
        while await cache.exists(key):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_values_come_back_byte_for_byte(cache: Cache) -> None:
    values = {"empty": b"", "all": bytes(range(256)) * 40, "line": b"\r\nEND\r\n", "ключ 🔑 \n\x00": b"x"}
    await cache.set_many(values)
    assert await cache.get_many([*values, "absent"]) == values
    for key, value in values.items():
        assert await cache.get(key) == value
        assert await cache.exists(key)


async def test_what_is_not_there_is_none_and_false(cache: Cache) -> None:
    assert await cache.get("absent") is None
    assert await cache.get_many([]) == {}
    assert await cache.delete_many([]) == 0
    assert not await cache.exists("absent")
    assert not await cache.delete("absent")
    assert not await cache.unlock("absent", "1.a")


async def test_delete_says_whether_something_was_there(cache: Cache) -> None:
    await cache.set_many({"a": b"1", "b": b"2"})
    assert await cache.delete("a")
    assert await cache.get("a") is None
    assert await cache.delete_many(["a", "b", "b"]) == 1


async def test_a_ttl_of_its_own_ends_an_entry(cache: Cache) -> None:
    await cache.set("short", b"x", ttl=0.05)
    await cache.set("long", b"x", ttl=3000)
    await gone(cache, "short")
    assert await cache.get("short") is None
    assert await cache.get_many(["short", "long"]) == {"long": b"x"}
    assert await cache.set_nx("short", b"y")


async def test_setting_again_renews_the_ttl(cache: Cache) -> None:
    await cache.set("a", b"x", ttl=0.05)
    await cache.set("a", b"y", ttl=3000)
    await cache.set("b", b"x", ttl=0.05)
    await gone(cache, "b")
    assert await cache.get("a") == b"y"


async def test_the_default_ttl_ends_an_entry_without_one(config: CacheConfig) -> None:
    quick = config.model_copy(update={"default_ttl": Duration(secs=0, nanos=50_000_000)})
    async with await open_cache(quick) as cache:
        await cache.set("a", b"x")
        await cache.get_set("b", b"x")
        await cache.increment("n")
        for key in "abn":
            await gone(cache, key)


async def test_an_increment_keeps_the_ttl(cache: Cache) -> None:
    await cache.set("n", b"5", ttl=0.05)
    assert await cache.increment("n", 3) == 8
    await gone(cache, "n")


async def test_increment_counts_from_zero_both_ways(cache: Cache) -> None:
    assert [await cache.increment("n"), await cache.increment("n", 41), await cache.decrement("n", 50)] == [1, 42, -8]
    assert await cache.get("n") == b"-8"


@pytest.mark.parametrize("value", [b"abc", b"", b"1.5", b"9" * 30])
async def test_only_an_integer_is_incremented(cache: Cache, value: bytes) -> None:
    await cache.set("n", value)
    with pytest.raises(CacheOperationError):
        await cache.increment("n")
    assert await cache.get("n") == value


async def test_no_sum_leaves_64_bits(cache: Cache) -> None:
    assert await cache.increment("n", 2**63 - 1) == 2**63 - 1
    with pytest.raises(CacheOperationError):
        await cache.increment("n")
    assert await cache.get("n") == b"%d" % (2**63 - 1)
    with pytest.raises(CacheOperationError, match="64 bits"):
        await cache.increment("n", 2**63)


async def test_of_many_increments_at_once_none_is_lost(config: CacheConfig) -> None:
    async with await open_cache(config) as one:
        two = one if config.cache_type == "InMemory" else await open_cache(config)
        await asyncio.gather(*(each.increment("n") for each in (one, two) * 30))
        assert await one.get("n") == b"60"
        await two.close()


async def test_of_many_set_nx_at_once_one_succeeds(cache: Cache) -> None:
    done = await asyncio.gather(*(cache.set_nx("a", b"%d" % number) for number in range(20)))
    assert done.count(True) == 1
    assert await cache.get("a") == b"%d" % done.index(True)


async def test_get_set_hands_each_value_to_one(cache: Cache) -> None:
    values = [b"%d" % number for number in range(20)]
    handed = await asyncio.gather(*(cache.get_set("a", value) for value in values))
    last = await cache.get("a")
    assert last is not None
    assert sorted([*(each for each in handed if each is not None), last]) == sorted(values)
    assert handed.count(None) == 1


async def test_clear_and_flush_stay_inside_the_namespace(config: CacheConfig) -> None:
    """Names that could be taken for one another: ``a`` + ``b:c`` and ``a:b`` + ``c``, and patterns."""
    base = config.namespace or ""
    names = [base, f"{base}:b", f"{base}2", f"{base}%3Ab", f"{base}*", f"[{base}]", f"{base}%lock"]
    caches = [await open_cache(config.model_copy(update={"namespace": name})) for name in names]
    for number, each in enumerate(caches):
        for key in ("c", "b:c", "*", "lock:c"):
            await each.set(key, b"%d" % number)
    for number, each in enumerate(caches):
        await each.clear() if number % 2 else await each.flush()
        assert await each.get_many(["c", "b:c", "*", "lock:c"]) == {}
        for later, other in enumerate(caches[number + 1 :], number + 1):
            assert await other.get_many(["c", "b:c"]) == {"c": b"%d" % later, "b:c": b"%d" % later}
    for each in caches:
        await each.close()


async def test_clear_of_a_group_leaves_the_others(cache: Cache) -> None:
    keys = ["user:1", "user:2", "user", "users:1", "u*r:1", "other"]
    await cache.set_many(dict.fromkeys(keys, b"x"))
    await cache.clear("u*r")
    assert set(await cache.get_many(keys)) == set(keys) - {"u*r:1"}
    await cache.clear("user")
    assert set(await cache.get_many(keys)) == {"user", "users:1", "other"}
    with pytest.raises(CacheOperationError, match="no colon"):
        await cache.clear("user:1")
    await cache.set("user:1", b"again")
    assert await cache.get("user:1") == b"again"


async def test_a_lock_has_one_holder_and_clear_does_not_free_it(cache: Cache) -> None:
    token = await cache.lock("job", 3000)
    assert token is not None
    await cache.clear()
    await cache.set("job", b"an entry, not the lock")
    assert await cache.lock("job", 3000) is None
    assert await cache.lock("other", 3000) is not None
    assert not await cache.unlock("job", "1.somebody-elses")
    assert await cache.unlock("job", token)
    assert not await cache.unlock("job", token)
    assert await cache.get("job") == b"an entry, not the lock"


async def test_fences_rise_from_holder_to_holder_and_from_lock_to_lock(cache: Cache) -> None:
    fences = []
    for number in range(5):
        token = await cache.lock(f"job{number % 2}", 3000)
        assert token is not None
        fences.append(fence_of(token))
        assert await cache.unlock(f"job{number % 2}", token)
    assert fences == sorted(set(fences))


async def test_a_lock_ends_by_itself_and_its_late_holder_cannot_free_the_next(cache: Cache) -> None:
    first = await cache.lock("job", 0.05)
    assert first is not None
    async with asyncio.timeout(5):
        while (second := await cache.lock("job", 3000)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert fence_of(second) > fence_of(first)
    assert not await cache.unlock("job", first)
    assert await cache.unlock("job", second)


async def test_of_many_who_want_a_lock_one_gets_it(cache: Cache) -> None:
    tokens = await asyncio.gather(*(cache.lock("job", 3000) for _ in range(20)))
    assert len([token for token in tokens if token is not None]) == 1


@pytest.mark.parametrize("key", ["", "x" * 1025, "\ud800"])
async def test_a_key_that_cannot_serve_is_refused(cache: Cache, key: str) -> None:
    for work in (
        cache.get(key), cache.set(key, b""), cache.delete(key), cache.exists(key), cache.set_nx(key, b""),
        cache.get_set(key, b""), cache.increment(key), cache.set_many({key: b""}), cache.get_many([key]),
        cache.delete_many([key]), cache.clear(key), cache.lock(key, 1), cache.unlock(key, ""),
    ):  # fmt: skip
        with pytest.raises(CacheOperationError):
            await work


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), 1e12])
async def test_a_ttl_that_is_none_is_refused(cache: Cache, ttl: float) -> None:
    for work in (cache.set("a", b"", ttl), cache.set_nx("a", b"", ttl), cache.set_many({}, ttl), cache.lock("a", ttl)):
        with pytest.raises(CacheOperationError, match="TTL"):
            await work


async def test_a_ttl_of_years_is_no_point_in_the_past(cache: Cache) -> None:
    await cache.set("a", b"x", ttl=10 * 365 * 86_400)
    assert await cache.get("a") == b"x"


async def test_a_value_that_is_too_large_is_refused_and_leaves_the_old_one(config: CacheConfig) -> None:
    async with await open_cache(config.model_copy(update={"max_size_bytes": 1000})) as cache:
        await cache.set("a", b"old")
        with pytest.raises(CacheFull):
            await cache.set("a", b"x" * 1001)
        assert await cache.get("a") == b"old"


async def test_text_and_json(cache: Cache) -> None:
    await cache.set_string("t", "grüße")
    assert await cache.get_string("t") == "grüße"
    await cache.set_json("j", {"a": [1, None, "ü"]})
    assert await cache.get_json("j") == {"a": [1, None, "ü"]}
    assert await cache.get_json("absent") is None
    await cache.set("b", b"\xff")
    bad = (cache.set_json("x", float("nan")), cache.set_json("x", {1j}), cache.set_string("x", "\ud800"))
    for work in (cache.get_string("b"), cache.get_json("b"), *bad):
        with pytest.raises(CacheSerializationError):
            await work


async def test_stats_count_what_was_done(cache: Cache) -> None:
    await cache.set("a", b"x")
    await cache.get("a")
    await cache.get("b")
    await cache.get_many(["a", "b", "c"])
    await cache.delete("a")
    stats = await cache.stats()
    assert (stats.hits, stats.misses, stats.sets, stats.deletes) == (2, 3, 1, 1)


async def test_a_closed_cache_says_so(config: CacheConfig) -> None:
    cache = await open_cache(config)
    await cache.close()
    await cache.close()
    with pytest.raises(CacheConnectionError, match="closed"):
        await cache.get("a")


async def test_a_cancelled_operation_does_not_hand_its_answer_to_another(cache: Cache) -> None:
    values = {f"k{number}": b"%d" % number * 2000 for number in range(30)}
    await cache.set_many(values)
    for number, key in enumerate(values):
        task = asyncio.create_task(cache.get(key))
        for _ in range(number % 4):
            await asyncio.sleep(0)
        task.cancel()
    found = await asyncio.gather(*(cache.get(key) for key in values))
    assert found == list(values.values())


@pytest.mark.parametrize("kind", ["Redis", "Memcached"])
async def test_a_server_that_is_not_there_is_a_connection_error(kind: str, unused_tcp_port: int) -> None:
    config = CacheConfig(cache_type=kind, hosts=["127.0.0.1"], port=unused_tcp_port, password=None)  # type: ignore[arg-type]
    with pytest.raises(CacheConnectionError, match="cannot be reached"):
        await open_cache(config)


@pytest.mark.parametrize("kind", ["Redis", "Memcached"])
@pytest.mark.parametrize("answer", [None, b"", b"garbage\r\n"])
async def test_a_server_that_hangs_or_goes_is_a_typed_error_in_time(kind: str, answer: bytes | None) -> None:
    """``None``: it never answers; else it says this and closes the connection."""

    serving = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        await reader.read(1)
        if answer is not None:
            writer.write(answer)
        else:
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = CacheConfig(cache_type=kind, hosts=["127.0.0.1"], port=port, operation_timeout_seconds=1)  # type: ignore[arg-type]
    async with server:
        async with asyncio.timeout(10):
            with pytest.raises((CacheConnectionError, CacheOperationError)):
                await open_cache(config)
            await asyncio.gather(*(task for task in serving if task is not None))


@pytest.mark.parametrize(
    "bad",
    [
        {"cache_type": "File"},
        {"cache_type": "File", "file_path": "/dev/null/x"},
        {"cache_type": "File", "file_path": "/tmp/x", "policy": "LFU"},
        {"cache_type": "Redis", "hosts": ["a", "b"]},
        {"cache_type": "Redis", "hosts": []},
        {"cache_type": "Memcached", "password": "hush"},
        {"cache_type": "Memcached", "tls_enabled": True},
        {"extra_params": {"colour": "red"}},
    ],
)
async def test_a_configuration_that_cannot_work_says_why(bad: dict[str, Any]) -> None:
    with pytest.raises(CacheConfigurationError):
        await open_cache(CacheConfig(**bad))


async def test_a_wrong_password_is_refused_and_not_shown(tmp_path: Path) -> None:
    config = cache_config("Redis", tmp_path, username=f"u{uuid.uuid4().hex}", password="hush-hush")
    with pytest.raises(CacheConfigurationError) as error:
        await open_cache(config)
    assert "hush-hush" not in str(error.value) + repr(config)


def test_configurations_read_as_rust_writes_them() -> None:
    document = json.loads(vectors("module-runtime", "09_data_config.json").read_text())
    cases = [case for case in document["cases"] if case.get("type") == "CacheConfig" and "text" in case]
    assert len(cases) >= 2
    for case in cases:
        assert json.loads(CacheConfig.model_validate_json(case["text"]).model_dump_json()) == case["value"]
