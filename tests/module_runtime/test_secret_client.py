"""The client of secrets: bounded, fresh, one question at a time, and rotations acknowledged when they are done."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.module_runtime.orchestrator.secrets.keeper import ModuleSecrets
from sdk.module_runtime.orchestrator.secrets.keys import MasterKeys
from sdk.module_runtime.orchestrator.secrets.rights import SecretRights
from sdk.module_runtime.orchestrator.secrets.store import SecretStore
from sdk.module_runtime.secrets import (
    Change,
    Fetched,
    MemoryProvider,
    OrchestratorProvider,
    Secret,
    SecretClient,
    SecretProvider,
)
from sdk.module_runtime.secrets.errors import SecretBackendError, SecretNotFound, SecretParseError
from sdk.module_runtime.storage.migrations import MIGRATIONS
from sdk.service.database import Database
from sdk.service.migrations import upgrade
from support.secret_rig import KeeperLink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sdk.module_runtime.secrets import Access

OPERATOR = "operator:test"


class Gated(SecretProvider):
    """Answers when it is told to, with the value there was when it was asked."""

    kind: ClassVar[str] = "gated"

    def __init__(self, **values: str) -> None:
        super().__init__()
        self.values = values
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None
        self.arrived = asyncio.Event()

    async def get(self, name: str) -> Fetched:
        self.asked.append(name)
        self.arrived.set()
        value = self.values.get(name)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        if value is None:
            raise SecretNotFound(name)
        return Fetched(Secret(value))

    async def change(self, rotation_id: str | None = None, **values: str) -> None:
        self.values.update(values)
        await self._tell(Change(changed=frozenset(values), rotation_id=rotation_id))


class Clock:
    """Time that passes when it is told to; ``sleep`` ends then."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waiting: list[tuple[float, asyncio.Event]] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        event = asyncio.Event()
        self.waiting.append((self.now + seconds, event))
        await event.wait()

    async def pass_by(self, seconds: float) -> None:
        self.now += seconds
        due, self.waiting = (
            [each for each in self.waiting if each[0] <= self.now],
            [each for each in self.waiting if each[0] > self.now],
        )
        for _, event in due:
            event.set()
        await settle()


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[SecretStore]:
    async with await Database.open(f"sqlite:///{tmp_path}/secrets.db") as database:
        await upgrade(database, [MIGRATIONS])
        yield await SecretStore.open(database, MasterKeys([bytes(32)]))


def keeper_of(store: SecretStore) -> ModuleSecrets:
    return ModuleSecrets(store, {"m": SecretRights(read=("*",), write=("*",))})


async def test_many_who_ask_at_once_are_one_question_and_who_gives_up_stops_nobody() -> None:
    provider = Gated(A="value a")
    async with SecretClient(provider) as secrets:
        waiting = [asyncio.create_task(secrets.get("A")) for _ in range(50)]
        await provider.arrived.wait()
        waiting[0].cancel()
        await settle()
        provider.gate.set()
        found = await asyncio.gather(*waiting[1:])
        assert provider.asked == ["A"]
        assert all(secret is found[0] for secret in found)
        assert (await secrets.get("A")).expose() == "value a"
        assert provider.asked == ["A"]


async def test_an_error_reaches_all_who_wait_and_is_not_remembered() -> None:
    provider = Gated(A="value a")
    provider.error = SecretBackendError("A", "down")
    async with SecretClient(provider) as secrets:
        waiting = [asyncio.create_task(secrets.get("A")) for _ in range(3)]
        await provider.arrived.wait()
        provider.gate.set()
        assert [type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)] == [
            SecretBackendError
        ] * 3
        provider.error = None
        assert (await secrets.get("A")).expose() == "value a"


async def test_what_a_provider_raises_by_mistake_arrives_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    provider = Gated(A="value a-b-c")
    provider.error = RuntimeError("cannot use value a-b-c")
    provider.gate.set()
    known = Secret("value a-b-c")
    async with SecretClient(provider) as secrets:
        with pytest.raises(SecretBackendError, match="RuntimeError") as caught:
            await secrets.get("A")
    assert caught.value.__cause__ is None
    assert known.expose() not in str(caught.value) + caplog.text


async def test_modes_ask_always_or_never() -> None:
    provider = Gated(A="one")
    provider.gate.set()
    async with SecretClient(provider) as secrets:
        with pytest.raises(SecretNotFound):
            await secrets.get("A", "cache_only")
        assert provider.asked == []
        await secrets.get("A")
        provider.values["A"] = "two"
        assert (await secrets.get("A", "cache_only")).expose() == "one"
        assert (await secrets.get("A", "fresh")).expose() == "two"
        assert (await secrets.get("A")).expose() == "two"


async def test_a_fresh_answer_is_never_older_than_the_question() -> None:
    provider = Gated(A="one")
    async with SecretClient(provider) as secrets:
        old = asyncio.create_task(secrets.get("A"))
        await provider.arrived.wait()
        provider.values["A"] = "two"
        fresh = [asyncio.create_task(secrets.get("A", "fresh")) for _ in range(5)]
        await settle()
        provider.gate.set()
        assert (await old).expose() == "one"
        assert [(await each).expose() for each in fresh] == ["two"] * 5
        assert (await secrets.get("A")).expose() == "two"
        assert provider.asked == ["A", "A"]


async def test_the_cache_is_bounded_and_the_least_used_goes_first() -> None:
    provider = Gated(**{f"K{i}": f"value {i}" for i in range(20)})
    provider.gate.set()
    async with SecretClient(provider, most_cached=3) as secrets:
        for name in ("K0", "K1", "K2", "K0", "K3"):
            await secrets.get(name)
        for name in ("K0", "K2", "K3"):
            await secrets.get(name, "cache_only")
        with pytest.raises(SecretNotFound):
            await secrets.get("K1", "cache_only")


async def test_a_value_in_use_is_renewed_before_its_time_is_up_and_one_that_is_not_is_dropped() -> None:
    provider, clock = Gated(USED="one", IDLE="idle"), Clock()
    provider.gate.set()
    async with SecretClient(provider, ttl=100, clock=clock, sleep=clock.sleep, jitter=lambda: 0.5) as secrets:
        await secrets.get("USED")
        await secrets.get("IDLE")
        provider.asked.clear()
        secrets._cache["IDLE"].used = False
        provider.values["USED"] = "two"
        await settle()
        for _ in range(17):
            await clock.pass_by(5)
            assert (await secrets.get("USED", "cache_only")).expose() in ("one", "two")
        assert provider.asked == ["USED"]
        assert (await secrets.get("USED", "cache_only")).expose() == "two"
        for _ in range(4):
            await clock.pass_by(5)
        assert "IDLE" not in secrets._cache


async def test_a_value_outlives_a_provider_that_is_down_until_its_time_is_up_and_no_longer() -> None:
    provider, clock = Gated(A="one"), Clock()
    provider.gate.set()
    async with SecretClient(provider, ttl=100, clock=clock, sleep=clock.sleep) as secrets:
        await secrets.get("A")
        provider.error = SecretBackendError("A", "down")
        await clock.pass_by(90)
        assert (await secrets.get("A")).expose() == "one"
        await clock.pass_by(11)
        with pytest.raises(SecretBackendError):
            await secrets.get("A")


async def test_subscribers_hear_of_a_value_that_changed_without_notice_and_of_one_that_is_gone() -> None:
    provider, clock, heard = Gated(A="one"), Clock(), []
    provider.gate.set()

    def subscriber(name: str, secret: Secret[str] | None) -> None:
        heard.append((name, None if secret is None else secret.expose()))

    async with SecretClient(provider, ttl=100, clock=clock, sleep=clock.sleep) as secrets:
        end = secrets.subscribe(["A"], subscriber)
        await secrets.get("A")
        await settle()
        await clock.pass_by(90)
        assert heard == []
        provider.values["A"] = "two"
        await clock.pass_by(90)
        assert heard == [("A", "two")]
        del provider.values["A"]
        await clock.pass_by(90)
        assert heard == [("A", "two"), ("A", None)]
        end()
        end()
        await provider.change(A="three")
        await settle()
        assert len(heard) == 2


async def test_a_rotation_is_acknowledged_after_the_new_value_is_here_and_subscribers_have_it(
    store: SecretStore,
) -> None:
    link = KeeperLink(keeper_of(store), "m")
    order: list[str] = []
    gate = asyncio.Event()

    async def subscriber(name: str, secret: Secret[str] | None) -> None:
        assert secret is not None
        await gate.wait()
        order.append(f"{name} {secret.expose()} {len(link.acknowledged)}")

    async with SecretClient(OrchestratorProvider(link)) as secrets:
        await store.set({"A": "one a", "B": "one b", "C": "one c"}, actor=OPERATOR)
        await secrets.get_many(["A", "B"])
        secrets.subscribe(["A", "B"], subscriber)
        rotation = (await store.set({"A": "two a", "B": "two b", "C": "two c"}, actor=OPERATOR)).rotation_id
        assert (await secrets.get("A")).expose() == "two a"
        assert link.acknowledged == []
        gate.set()
        assert await link.until_acknowledged(1) == [(rotation, True, None)]
        assert order == ["A two a 0", "B two b 0"]
        assert (await secrets.get("B", "cache_only")).expose() == "two b"
        assert await store.pending("m") == {}


async def test_a_subscriber_that_fails_or_hangs_fails_the_rotation_and_keeps_no_other_from_hearing(
    store: SecretStore,
) -> None:
    link, heard = KeeperLink(keeper_of(store), "m"), []

    def fails(_name: str, secret: Secret[str] | None) -> None:
        assert secret is not None
        raise ConnectionError(f"refused with {secret.expose()}")

    async def hangs(_name: str, _secret: Secret[str] | None) -> None:
        await asyncio.Event().wait()

    output = io.StringIO()
    handler = logging.StreamHandler(output)
    logging.getLogger("sdk").addHandler(handler)
    try:
        async with SecretClient(OrchestratorProvider(link), subscriber_limit=0.05) as secrets:
            await store.set({"A": "one a-value"}, actor=OPERATOR)
            await secrets.get("A")
            ends = [secrets.subscribe(["A"], each) for each in (fails, hangs)]
            secrets.subscribe(["A"], lambda name, _secret: heard.append(name))
            rotation = (await store.set({"A": "two a-value"}, actor=OPERATOR)).rotation_id
            [(told, success, message)] = await link.until_acknowledged(1)
            assert (told, success, heard) == (rotation, False, ["A"])
            assert message == "A: a subscriber failed with TimeoutError"
            assert [row.failure for row in await store.holders("A")] == [message]
            for end in ends:
                end()
            await secrets.get("A", "fresh")
            assert (await link.until_acknowledged(2))[1] == (rotation, True, None), "the next answer reminds of it"
            assert await store.pending("m") == {}
    finally:
        logging.getLogger("sdk").removeHandler(handler)
    assert "ConnectionError" in output.getvalue() or "secret_subscriber_failed" in output.getvalue()
    assert "a-value" not in output.getvalue()


async def test_a_rotation_that_was_missed_is_found_at_the_next_question_and_all_else_is_renewed(
    store: SecretStore,
) -> None:
    link = KeeperLink(keeper_of(store), "m")
    async with SecretClient(OrchestratorProvider(link)) as secrets:
        await store.set({"A": "one a", "B": "one b"}, actor=OPERATOR)
        await secrets.get_many(["A", "B"])
        link.connected = False
        rotation = (await store.set({"A": "two a", "B": "two b"}, actor=OPERATOR)).rotation_id
        link.connected = True
        assert (await secrets.get("B", "cache_only")).expose() == "one b"
        assert (await secrets.get("A", "fresh")).expose() == "two a"
        assert await link.until_acknowledged(1) == [(rotation, True, None)]
        assert (await secrets.get("B", "cache_only")).expose() == "two b"


async def test_a_deleted_secret_leaves_the_cache(store: SecretStore) -> None:
    link, heard = KeeperLink(keeper_of(store), "m"), asyncio.Queue[Any]()
    async with SecretClient(OrchestratorProvider(link)) as secrets:
        await secrets.set("A", "one a")
        assert (await secrets.get("A")).expose() == "one a"
        secrets.subscribe(["A"], lambda name, secret: heard.put_nowait((name, secret)))
        await secrets.delete("A")
        assert await asyncio.wait_for(heard.get(), 10) == ("A", None)
        assert (await link.until_acknowledged(1))[0][1] is True
        with pytest.raises(SecretNotFound):
            await secrets.get("A", "cache_only")


async def test_ones_own_change_is_seen_at_once() -> None:
    async with SecretClient(MemoryProvider({"A": "one"})) as secrets:
        await secrets.get("A")
        await secrets.set("A", "two")
        assert (await secrets.get("A")).expose() == "two"
        assert await secrets.names() == ["A"]


async def test_every_access_is_audited_by_name_and_outcome() -> None:
    seen: list[Access] = []
    async with SecretClient(MemoryProvider({"A": "12", "B": "x-value"}), audit=seen.append) as secrets:
        assert (await secrets.get_int("A")).expose() == 12
        await secrets.get("A")
        with pytest.raises(SecretNotFound):
            await secrets.get("C")
        with pytest.raises(SecretParseError):
            await secrets.get_bool("B")
        await secrets.names()
    assert [(each.operation, each.name, each.outcome) for each in seen] == [
        ("get", "A", "ok"),
        ("get", "A", "cached"),
        ("get", "C", "ERR_SECRET_NOT_FOUND"),
        ("get", "B", "ok"),
        ("list", "*", "ok"),
    ]
    assert "x-value" not in repr(seen)


async def test_closing_ends_what_waits_and_leaves_no_task() -> None:
    provider = Gated(A="value a")
    secrets = SecretClient(provider)
    secrets.start()
    waiting = asyncio.create_task(secrets.get("A"))
    await provider.arrived.wait()
    await secrets.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


class Slow(MemoryProvider):
    """Each answer takes as many turns of the loop as it is told, and is the value from when it was asked."""

    def __init__(self, delays: list[int]) -> None:
        super().__init__({"A": "value 0"})
        self._delays = delays

    async def get(self, name: str) -> Fetched:
        fetched = await super().get(name)
        for _ in range(self._delays.pop() if self._delays else 1):
            await asyncio.sleep(0)
        return fetched


@settings(max_examples=150)
@given(
    st.lists(st.sampled_from(["get", "fresh", "set", "turn", "cancel"]), max_size=40),
    st.lists(st.integers(0, 6), max_size=40),
)
async def test_whatever_happens_at_once_no_answer_is_older_than_its_question_and_the_last_value_stays(
    actions: list[str], delays: list[int]
) -> None:
    provider = Slow(delays)
    newest, tasks = 0, []

    async def ask(secrets: SecretClient, mode: Any) -> None:
        before = newest
        value = int((await secrets.get("A", mode)).expose().split()[1])
        if mode == "fresh":
            assert before <= value <= newest

    async with SecretClient(provider) as secrets:
        for action in actions:
            if action in ("get", "fresh"):
                tasks.append(asyncio.create_task(ask(secrets, "cached" if action == "get" else "fresh")))
            elif action == "set":
                newest += 1
                await provider.set("A", f"value {newest}")
            elif action == "cancel" and tasks:
                tasks.pop().cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        await settle()
        assert (await secrets.get("A")).expose() == f"value {newest}"
