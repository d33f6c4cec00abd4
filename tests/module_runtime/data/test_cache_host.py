"""What the orchestrator's Cache service lends, to whom and how much of it; and what a proxy makes of its answers."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from sdk.module_runtime.data.cache import (
    CacheConfig,
    CacheConfigurationError,
    CacheConnectionError,
    CacheError,
    CacheFull,
    CacheOperationError,
    CacheSerializationError,
    open_cache,
)
from sdk.module_runtime.data.cache.errors import LockLost, error_of
from sdk.module_runtime.orchestrator.hosts.cache import CacheHost
from sdk.module_runtime.orchestrator.hosts.scopes import CacheLimits, CacheScope
from support.caches import cache_config
from support.host_link import HostLink
from support.own_servers import own_servers
from support.requirements import vectors

if TYPE_CHECKING:
    from pathlib import Path

MAIN = CacheConfig(namespace="main")


def text(data: bytes) -> str:
    return b64encode(data).decode()


async def test_a_password_of_redis_that_is_a_secret_is_followed_when_it_changes() -> None:
    with own_servers(["redis"]) as servers:
        url = urlsplit(servers["redis"].url)
        assert url.hostname is not None
        scope = CacheScope(cache_type="Redis", hosts=[url.hostname], port=url.port, password_secret="CACHE")
        secrets: dict[str, str] = {}
        host = CacheHost({"m": {"main": scope}}, {}, secrets)
        client = Redis(host=url.hostname, port=url.port or 0)
        await client.config_set("requirepass", "first")
        with pytest.raises(CacheConnectionError, match="password_secret names CACHE, which is not set"):
            await host.open("m", MAIN.model_dump())
        secrets["CACHE"] = "first"
        connection = await host.open("m", MAIN.model_dump())
        await client.config_set("requirepass", "second")
        await client.client_kill_filter(skipme=True)
        for password, works in (("first", False), ("second", True)):
            secrets["CACHE"] = password
            try:
                await host.operate("m", connection, "ping", {})
            except CacheError:
                assert not works
            else:
                assert works
        await client.aclose()
        await host.close()


async def test_the_operations_answer_in_the_shapes_of_the_table() -> None:
    host = CacheHost({"m": {"main": CacheScope()}}, {}, wall=lambda: 5.0)
    connection = await host.open("m", {"namespace": "main"})

    async def do(operation: str, **params: Any) -> Any:
        return json.loads(json.dumps(await host.operate("m", connection, operation, params)))

    assert await do("set", key="k", value=text(b"v\x00"), ttl_seconds=60) is None
    assert await do("get", key="k") == text(b"v\x00")
    assert await do("get", key="absent") is None
    assert await do("set_nx", key="k", value=text(b"x"), ttl_seconds=None) is False
    assert await do("exists", key="k") is True
    assert await do("get_set", key="k", value=text(b"w")) == text(b"v\x00")
    assert await do("increment", key="n", delta=-3) == -3
    assert await do("set_many", items={"a": text(b"1"), "g:b": text(b"2")}, ttl_seconds=None) is None
    assert await do("get_many", keys=["a", "g:b", "z"]) == {"a": text(b"1"), "g:b": text(b"2")}
    assert await do("clear", namespace="g") is None
    assert await do("delete_many", keys=["a", "g:b"]) == 1
    token = await do("lock", key="job", ttl_seconds=60)
    assert token.startswith("5000000.")
    assert await do("lock", key="job", ttl_seconds=60) is None
    assert await do("unlock", key="job", lock_token=token) is True
    stats = await do("stats")
    assert stats["hits"] == 4
    assert set(stats) == {
        "hits", "misses", "sets", "deletes", "item_count", "memory_used_bytes", "additional_metrics",
    }  # fmt: skip
    assert await do("ping") is None
    assert await do("flush") is None
    assert await do("delete", key="k") is False
    assert await do("close") is None
    with pytest.raises(CacheConnectionError, match="no such connection"):
        await do("ping")
    await host.close()


def test_a_configuration_as_rust_writes_it_opens_by_its_namespace() -> None:
    async def check() -> None:
        host = CacheHost({"m": {"app": CacheScope()}}, {})
        cases = json.loads(vectors("module-runtime", "09_data_config.json").read_text())["cases"]
        (redis,) = [case["value"] for case in cases if case["name"] == "cache_config_redis"]
        await host.open("m", redis)  # whose address and type are not the module's to say
        await host.close()

    asyncio.run(check())


async def test_a_module_reaches_what_its_stack_entry_names_and_nothing_else() -> None:
    host = CacheHost({"m": {"main": CacheScope()}, "other": {"its-own": CacheScope()}}, {})
    mine = await host.open("m", None)
    for module, wanted in (
        ("m", {"namespace": "its-own"}), ("m", {"namespace": 5}), ("m", {"namespace": ["main"]}),
        ("other", None), ("stranger", {"namespace": "main"}),
    ):  # fmt: skip
        with pytest.raises(CacheConfigurationError, match="no cache of that name"):
            await host.open(module, wanted)
    for module in ("other", "stranger", ""):
        for operation in ("ping", "close", "get", "flush"):
            with pytest.raises(CacheConnectionError, match="no such connection"):
                await host.operate(module, mine, operation, {"key": "a"})
    await host.close()


async def test_modules_on_one_server_share_only_what_the_stack_lets_them(tmp_path: Path) -> None:
    server = cache_config("Redis", tmp_path)
    given = server.model_dump(include={"cache_type", "hosts", "port"})
    unique = server.namespace or ""
    shared = CacheScope(**given, namespace=f"{unique}-shared")
    scopes = {"main": CacheScope(**given), "s": shared}
    host = CacheHost({f"{unique}a": scopes, f"{unique}b": scopes}, {})
    links = [HostLink(f"{unique}{name}", {"Cache": host}) for name in "ab"]
    (a, b), (shared_a, shared_b) = [
        [await open_cache(CacheConfig(namespace=name), link) for link in links] for name in ("main", "s")
    ]
    await a.set("k", b"a's")
    assert await b.get("k") is None
    await b.set("k", b"b's")
    await b.flush()
    assert await a.get("k") == b"a's"
    await shared_a.set("k", b"both")
    assert await shared_b.get("k") == b"both"
    for each in (a, b, shared_a):
        await each.clear()
    await host.close()


async def test_entries_outlive_the_module_and_its_connections_do_not() -> None:
    host = CacheHost({"m": {"main": CacheScope()}}, {})
    link = HostLink("m", {"Cache": host})
    cache = await open_cache(MAIN, link)
    await cache.set("k", b"kept")
    await host.release("m")
    with pytest.raises(CacheConnectionError, match="no such connection"):
        await cache.get("k")
    again = await open_cache(MAIN, link)
    assert await again.get("k") == b"kept"
    await host.close()


async def test_a_flood_is_refused_and_takes_no_more_than_the_scope_has(caplog: pytest.LogCaptureFixture) -> None:
    scope = CacheScope(
        max_size_bytes=100_000, limits=CacheLimits(connections=2, keys=50, bytes=20_000, value_bytes=10_000)
    )
    host = CacheHost({"m": {"main": scope}}, {})
    link = HostLink("m", {"Cache": host})
    cache = await open_cache(MAIN, link)
    for number in range(300):
        await cache.set(f"k{number}", b"hush" * 250)
    stats = await cache.stats()
    assert stats.memory_used_bytes is not None
    assert stats.memory_used_bytes <= 100_000
    with pytest.raises(CacheFull, match="10000 bytes that this module may store"):
        await cache.set("giant", b"hush" * 3_000)
    keys = [f"k{number}" for number in range(250, 300)]
    with pytest.raises(CacheFull, match="ask for fewer"):
        await cache.get_many(keys)
    assert len(await cache.get_many(keys[:10])) == 10
    for work in (
        cache.get_many(map(str, range(51))), cache.delete_many(map(str, range(51))),
        cache.set_many({str(number): b"" for number in range(51)}),
    ):  # fmt: skip
        with pytest.raises(CacheOperationError, match="51 keys"):
            await work
    second = await open_cache(MAIN, link)
    with pytest.raises(CacheConnectionError, match="2 connections"):
        await open_cache(MAIN, link)
    await second.close()
    assert await cache.get("k299") == b"hush" * 250
    assert "hush" not in caplog.text
    assert "hush" not in str([record.__dict__ for record in caplog.records])
    await host.close()


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("get", None), ("get", []), ("get", {}), ("get", {"key": 1}), ("get", {"key": ""}), ("set", {"key": "k"}),
        ("set", {"key": "k", "value": "***", "ttl_seconds": None}), ("set", {"key": "k", "value": [1, 2]}),
        ("set", {"key": "k", "value": "", "ttl_seconds": "1"}), ("set", {"key": "k", "value": "", "ttl_seconds": 0}),
        ("set", {"key": "k", "value": "", "ttl_seconds": True}), ("set", {"key": "k", "value": "", "ttl_seconds": -1}),
        ("increment", {"key": "k", "delta": 1.5}), ("increment", {"key": "k", "delta": True}),
        ("increment", {"key": "k", "delta": 2**64}), ("set_many", {"items": []}), ("set_many", {"items": {"k": 1}}),
        ("get_many", {"keys": "k"}), ("get_many", {"keys": [1]}), ("lock", {"key": "k", "ttl_seconds": None}),
        ("unlock", {"key": "k"}), ("clear", {"namespace": 5}), ("clear", {"namespace": "a:b"}), ("no_such", {}),
    ],
)  # fmt: skip
async def test_parameters_that_are_none_are_refused_and_harm_nothing(operation: str, params: Any) -> None:
    host = CacheHost({"m": {"main": CacheScope()}}, {})
    connection = await host.open("m", None)
    await host.operate("m", connection, "set", {"key": "k", "value": text(b"5"), "ttl_seconds": None})
    with pytest.raises(CacheOperationError):
        await host.operate("m", connection, operation, params)
    assert await host.operate("m", connection, "get", {"key": "k"}) == text(b"5")
    await host.close()


async def test_an_orchestrator_of_the_rust_wire_alone_gets_whole_seconds() -> None:
    sent: list[Any] = []

    class Listening(HostLink):
        async def operate(self, connection_id: str, service_type: Any, operation: str, params: Any, **more: Any) -> Any:
            sent.append(params["ttl_seconds"])
            return await super().operate(connection_id, service_type, operation, params, **more)

    for extensions, wanted in (((), [1, 1, None, 3]), (("correlation",), [0.2, 1, None, 2.5])):
        sent.clear()
        host = CacheHost({"m": {"main": CacheScope()}}, {})
        cache = await open_cache(MAIN, Listening("m", {"Cache": host}, extensions))
        for ttl in (0.2, 1, None, 2.5):
            await cache.set("k", b"", ttl)
        assert sent == wanted
        await host.close()


async def test_a_broken_link_is_a_connection_error_and_nothing_is_sent_again() -> None:
    host = CacheHost({"m": {"main": CacheScope()}}, {})
    link = HostLink("m", {"Cache": host})
    cache = await open_cache(MAIN, link)
    link.deaf = frozenset({"increment"})
    with pytest.raises(CacheConnectionError, match="the answer was lost"):
        await cache.increment("n")
    link.deaf = frozenset()
    assert await cache.get("n") == b"1"
    await link.cut()
    with pytest.raises(CacheConnectionError, match="was cut"):
        await cache.get("n")
    with pytest.raises(CacheConnectionError, match="did not open it"):
        await open_cache(MAIN, link)
    await cache.close()
    await host.close()


async def test_an_answer_that_is_none_is_an_error_and_no_value() -> None:
    class Odd(HostLink):
        answer: Any = None

        async def open_service(self, *_: Any, **__: Any) -> str:
            return "c"

        async def operate(self, *_: Any, **__: Any) -> Any:
            return self.answer

    link = Odd("m", {})
    cache = await open_cache(MAIN, link)
    for answer, work in (
        ("***", cache.get("k")), ({"value": "dg=="}, cache.get("k")), (5, cache.get("k")), (True, cache.get("k")),
        ([256], cache.get("k")), (["a"], cache.get("k")), ("3", cache.increment("k")), (None, cache.increment("k")),
        (None, cache.get_many(["k"])), ({"k": 5}, cache.get_many(["k"])), (7, cache.lock("k", 1)),
        (None, cache.stats()), (True, cache.delete_many(["k"])),
    ):  # fmt: skip
        link.answer = answer
        with pytest.raises(CacheSerializationError):
            await work
    link.answer = [118, 0, 255]
    assert await cache.get("k") == b"v\x00\xff", "an array of bytes, as Rust accepts too"
    link.answer = None
    assert not await cache.delete("k")


def test_an_errors_text_says_which_it_is() -> None:
    for error in (
        CacheFull("a"),
        CacheOperationError("b: c"),
        CacheConnectionError("d"),
        LockLost("e"),
        CacheError("f"),
    ):
        again = error_of(str(error))
        assert type(again) is type(error)
    assert type(error_of("the orchestrator failed")) is CacheError
