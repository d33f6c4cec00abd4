"""What a module asks for its secrets: cached, kept fresh, told about changes."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import random
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar

from sdk.module_runtime.errors import RuntimeModuleError
from sdk.module_runtime.secrets.errors import SecretBackendError, SecretNotFound
from sdk.module_runtime.secrets.names import check_name
from sdk.module_runtime.secrets.provider import Change
from sdk.module_runtime.secrets.redaction import redact_exception, redact_secrets
from sdk.module_runtime.secrets.typed import as_base64, as_bool, as_float, as_hex, as_int
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
    from types import TracebackType

    from sdk.module_runtime.secrets.provider import Fetched, SecretProvider
    from sdk.module_runtime.secrets.typed import Secret

_log = get_logger(__name__)

DEFAULT_TTL: Final = 900.0
MOST_CACHED: Final = 1_000
REFRESH_AT: Final = 0.8
"""Of its time a cached value is used before it is asked for again."""
SUBSCRIBER_LIMIT: Final = 30.0
LONGEST_MESSAGE: Final = 500

T = TypeVar("T")
Mode = Literal["cached", "fresh", "cache_only"]
Operation = Literal["get", "set", "delete", "list", "rotate"]


@dataclass(frozen=True, slots=True)
class Access:
    """For the audit of a module: what was done with which name, and ``ok``, ``cached`` or the code of the error."""

    operation: Operation
    name: str
    outcome: str


@dataclass(slots=True)
class _Cached:
    secret: Secret[str]
    expires: float
    refresh_at: float
    rotation_id: str | None
    used: bool = False


class SecretClient:
    """Use as ``async with SecretClient(provider) as secrets``, or ``start`` and ``close`` it.

    At most ``most_cached`` values are kept, the least used go first, none is used longer than ``ttl`` seconds. One that
    is in use is asked for again before that. However many ask for a name at once, the provider is asked once. A
    rotation is acknowledged when the new value is here and all subscribers have taken it; as failed if one could not.
    """

    def __init__(
        self,
        provider: SecretProvider,
        *,
        ttl: float = DEFAULT_TTL,
        most_cached: int = MOST_CACHED,
        subscriber_limit: float = SUBSCRIBER_LIMIT,
        audit: Callable[[Access], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        if ttl <= 0 or most_cached < 1:
            raise ValueError("ttl and most_cached must be above zero")
        self._provider, self._ttl, self._most, self._limit = provider, ttl, most_cached, subscriber_limit
        self._audit, self._clock, self._sleep, self._jitter = audit or _log_access, clock, sleep, jitter
        self._cache: OrderedDict[str, _Cached] = OrderedDict()
        self._asked: dict[str, asyncio.Task[Secret[str]]] = {}
        self._next: dict[str, asyncio.Task[Secret[str]]] = {}
        self._outdated: set[str] = set()  # names whose running question may bring an old answer
        self._rotating: set[str] = set()
        self._subscribers: dict[str, list[Callable[[str, Secret[str] | None], Awaitable[None] | None]]] = {}
        self._turn = asyncio.Lock()
        self._end: Callable[[], None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    def __repr__(self) -> str:
        return f"<SecretClient of {self._provider.kind}, {len(self._cache)} cached>"

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()

    def start(self) -> None:
        """Follow rotations and other changes, and refresh what is in use."""
        if self._end is None:
            self._end = self._provider.on_change(self._changed)
            self._provider.start()
            self._spawn(self._refresh_for_ever())

    async def close(self) -> None:
        """Forget all, and close the provider."""
        if self._end is not None:
            self._end()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._cache.clear()
        await self._provider.close()

    # values

    async def get(self, name: str, mode: Mode = "cached") -> Secret[str]:
        """``fresh`` asks the provider whatever is cached; ``cache_only`` never asks it. Raises ``SecretError``."""
        check_name(name)
        cached = self._cache.get(name)
        if mode != "fresh" and cached is not None and self._clock() < cached.expires:
            cached.used = True
            self._cache.move_to_end(name)
            self._audit(Access("get", name, "cached"))
            return cached.secret
        if mode == "cache_only":
            self._audit(Access("get", name, SecretNotFound.code))
            raise SecretNotFound(name, "it is not in the cache")
        secret = await self._fetch(name, again=mode == "fresh")
        if name in self._cache:
            self._cache[name].used = True
        return secret

    async def get_many(self, names: Iterable[str]) -> dict[str, Secret[str]]:
        """All or ``SecretError``; asked for one after the other, as the Rust wire demands."""
        return {name: await self.get(name) for name in names}

    async def get_int(self, name: str) -> Secret[int]:
        return as_int(name, await self.get(name))

    async def get_float(self, name: str) -> Secret[float]:
        return as_float(name, await self.get(name))

    async def get_bool(self, name: str) -> Secret[bool]:
        return as_bool(name, await self.get(name))

    async def get_base64(self, name: str) -> Secret[bytes]:
        return as_base64(name, await self.get(name))

    async def get_hex(self, name: str) -> Secret[bytes]:
        return as_hex(name, await self.get(name))

    async def set(self, name: str, value: str) -> None:
        """Where the provider keeps it. Raises ``SecretError``, or ``Unsupported`` under an orchestrator without it."""
        await self._change("set", name, self._provider.set(name, value))

    async def delete(self, name: str) -> None:
        await self._change("delete", name, self._provider.delete(name))

    async def names(self) -> list[str]:
        with self._audited("list", "*"):
            return await self._provider.names()

    def subscribe(
        self, names: Iterable[str], subscriber: Callable[[str, Secret[str] | None], Awaitable[None] | None]
    ) -> Callable[[], None]:
        """``subscriber(name, secret)`` after each change of these; None when it is gone. The result ends it.

        A rotation is acknowledged when it has returned; it must raise if it cannot use the new value.
        """
        wanted = [check_name(name) for name in names]
        for name in wanted:
            self._subscribers.setdefault(name, []).append(subscriber)

        def end() -> None:
            for name in wanted:
                with contextlib.suppress(ValueError, KeyError):
                    self._subscribers[name].remove(subscriber)
                    if not self._subscribers[name]:
                        del self._subscribers[name]

        return end

    # asking

    async def _fetch(self, name: str, *, again: bool) -> Secret[str]:
        """One question at a time for each name. Who stops waiting stops nobody else.

        With ``again`` the question is put after this call; meanwhile all others wait for its answer too.
        """
        running = self._asked.get(name)
        if running is None:
            task = self._asked[name] = self._spawn(self._ask(name))
        elif again or name in self._outdated:
            self._outdated.add(name)
            task = self._next.get(name) or self._spawn(self._ask_after(running, name))
            self._next[name] = task
        else:
            task = running
        return await asyncio.shield(task)

    async def _ask_after(self, running: asyncio.Task[Secret[str]], name: str) -> Secret[str]:
        await asyncio.wait((running,))
        return await self._ask(name)

    async def _ask(self, name: str) -> Secret[str]:
        try:
            with self._audited("get", name):
                fetched = await self._from_provider(name)
            if name not in self._outdated:
                self._keep(name, fetched)
        finally:
            self._outdated.discard(name)
            if name in self._next:
                self._asked[name] = self._next.pop(name)
            else:
                del self._asked[name]
        if fetched.rotation_id is not None and fetched.rotation_id not in self._rotating:
            self._missed(name, fetched.rotation_id)
        return fetched.secret

    async def _from_provider(self, name: str) -> Fetched:
        try:
            return await self._provider.get(name)
        except RuntimeModuleError:
            raise
        except Exception as error:  # noqa: BLE001 - a provider is anybody's code, and its errors may show the value
            _log.error("secret_provider_failed", secret_name=name, trace=redact_exception(error))
            reason = f"the provider {self._provider.kind!r} failed with {type(error).__name__}"
            raise SecretBackendError(name, reason) from None

    def _missed(self, name: str, rotation_id: str) -> None:
        """The answer to a plain question was the first word of a rotation: what else is cached may be old too."""
        others = {each for each, cached in self._cache.items() if cached.rotation_id != rotation_id}
        self._rotating.add(rotation_id)
        self._spawn(self._take_over(Change(changed=frozenset(others | {name}), rotation_id=rotation_id)))

    def _keep(self, name: str, fetched: Fetched) -> None:
        now = self._clock()
        early = self._ttl * (REFRESH_AT - 0.1 * self._jitter())  # so that not all are asked for at once
        self._cache[name] = _Cached(fetched.secret, now + self._ttl, now + early, fetched.rotation_id)
        self._cache.move_to_end(name)
        while len(self._cache) > self._most:
            self._cache.popitem(last=False)

    async def _change(self, operation: Operation, name: str, work: Awaitable[None]) -> None:
        with self._audited(operation, name):
            await work
        self._forget(name)

    def _forget(self, name: str) -> None:
        """What is cached or on its way may be old."""
        self._cache.pop(name, None)
        if name in self._asked:
            self._outdated.add(name)

    # changes

    async def _changed(self, change: Change) -> None:
        """Called by the provider, which must not wait: subscribers may take long, and may ask it for more."""
        if change.rotation_id is not None:
            self._rotating.add(change.rotation_id)
        self._spawn(self._take_over(change))

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # who waited has it, and perhaps nobody waits any more

    async def _take_over(self, change: Change) -> None:
        """Fetch what is concerned, tell subscribers, and only then acknowledge."""
        concerned = [name for name in sorted(change.names) if name in self._cache or name in self._subscribers]
        for name in change.names:
            self._forget(name)
        async with self._turn:
            failures = [await self._take_over_one(name) for name in concerned]
        await self._acknowledge(change.rotation_id, [each for each in failures if each is not None])

    async def _take_over_one(self, name: str) -> str | None:
        """What went wrong, without any value, or None."""
        secret: Secret[str] | None
        try:
            secret = await self._fetch(name, again=True)
        except SecretNotFound:
            secret = None  # it is gone, and subscribers are told so
        except RuntimeModuleError as error:
            return f"{name}: {error.code}"
        return await self._tell(name, secret)

    async def _tell(self, name: str, secret: Secret[str] | None) -> str | None:
        failure = None
        for subscriber in list(self._subscribers.get(name, ())):
            try:
                async with asyncio.timeout(self._limit):
                    outcome = subscriber(name, secret)
                    if inspect.isawaitable(outcome):
                        await outcome
            except Exception as error:  # noqa: BLE001 - the others still must know
                failure = f"{name}: a subscriber failed with {type(error).__name__}"
                _log.error("secret_subscriber_failed", secret_name=name, trace=redact_exception(error))
        self._audit(Access("rotate", name, "ok" if failure is None else "failed"))
        return failure

    async def _acknowledge(self, rotation_id: str | None, failures: list[str]) -> None:
        if rotation_id is None:
            return
        message = redact_secrets("; ".join(failures))[:LONGEST_MESSAGE] if failures else None
        try:
            await self._provider.acknowledge(rotation_id, success=not failures, message=message)
        except RuntimeModuleError as error:
            _log.warning("secret_rotation_not_acknowledged", rotation_id=rotation_id, reason=error.code)
        finally:
            self._rotating.discard(rotation_id)

    # keeping fresh

    async def _refresh_for_ever(self) -> None:
        while True:
            await self._sleep(self._ttl * 0.05)
            await self.refresh_due()

    async def refresh_due(self) -> None:
        """Ask again for what is in use and soon too old, and drop what nobody has used since the last time."""
        now = self._clock()
        for name, cached in list(self._cache.items()):
            if now < cached.refresh_at:
                continue
            if not cached.used and name not in self._subscribers:
                if now >= cached.expires:
                    self._cache.pop(name, None)
                continue
            await self._refresh(name, cached)

    async def _refresh(self, name: str, cached: _Cached) -> None:
        try:
            secret = await self._fetch(name, again=False)
        except SecretNotFound:
            self._cache.pop(name, None)
            await self._tell(name, None)
        except RuntimeModuleError as error:
            _log.warning("secret_not_refreshed", secret_name=name, reason=error.code)
        else:
            if secret != cached.secret:
                await self._tell(name, secret)

    @contextlib.contextmanager
    def _audited(self, operation: Operation, name: str) -> Iterator[None]:
        try:
            yield
        except RuntimeModuleError as error:
            self._audit(Access(operation, name, error.code))
            raise
        self._audit(Access(operation, name, "ok"))


def _log_access(access: Access) -> None:
    _log.debug("secret_access", operation=access.operation, secret_name=access.name, outcome=access.outcome)
