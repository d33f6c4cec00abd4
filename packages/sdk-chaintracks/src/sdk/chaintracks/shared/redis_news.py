"""News over Redis publish/subscribe (ADR 0055)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sdk.core.errors import ConfigurationError
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.asyncio import Redis
    from redis.asyncio.client import PubSub

log = get_logger(__name__)

FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 5.0
_LONGEST: Final = 128


class RedisNews:
    """A message is a token as it is. Tokens of another store on the same channel cost its readers a look, no more."""

    def __init__(self, redis: Redis, channel: str) -> None:
        self._redis, self._channel = redis, channel
        self._waiting: str | None = None
        self._telling: asyncio.Task[None] | None = None

    @classmethod
    def open(cls, url: str, channel: str) -> RedisNews:
        """Connects when it is used. ``ConfigurationError`` for an address that is none, or without the package."""
        try:
            from redis.asyncio import Redis
        except ImportError:
            raise ConfigurationError("fan-out needs redis: pip install 'sdk-chaintracks[redis]'") from None
        try:
            redis = Redis.from_url(url, socket_connect_timeout=5, health_check_interval=10)
        except ValueError:
            raise ConfigurationError("the fan-out's address is not redis://, rediss:// or unix://") from None
        return cls(redis, channel)

    async def listen(self, heard: Callable[[str | None], None]) -> None:
        from redis.exceptions import RedisError

        delay = FIRST_DELAY
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    await pubsub.subscribe(self._channel)
                    heard(None)  # whatever was told while nobody listened
                    delay = FIRST_DELAY
                    await self._receive(pubsub, heard)
            except (RedisError, OSError) as error:
                log.warning("no news over redis", reason=type(error).__name__, retry_in=delay)
            await asyncio.sleep(delay)
            delay = min(LONGEST_DELAY, delay * 2)

    def tell(self, token: str) -> None:
        self._waiting = token
        if self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._publish())

    async def close(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        await self._redis.aclose()

    async def _receive(self, pubsub: PubSub, heard: Callable[[str | None], None]) -> None:
        async for message in pubsub.listen():
            data = message["data"]
            if isinstance(data, bytes) and len(data) <= _LONGEST and data.isascii():
                heard(data.decode())

    async def _publish(self) -> None:
        from redis.exceptions import RedisError

        try:
            while self._waiting is not None:
                token, self._waiting = self._waiting, None
                await self._redis.publish(self._channel, token)
        except (RedisError, OSError) as error:  # the others find it when they look
            log.warning("news was not told over redis", reason=type(error).__name__)
        finally:
            self._telling = None
