"""A key of tokens that is a secret of the store, and follows it when it is rotated."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from sdk.core.errors import StorageError
from sdk.module_runtime.auth.errors import AuthUnavailable, TokenInvalid
from sdk.module_runtime.auth.keys import SYMMETRIC, JwtKey
from sdk.module_runtime.secrets.errors import SecretError, SecretNotFound
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.module_runtime.orchestrator.secrets.store import SecretStore

_log = get_logger(__name__)
LOOK_EVERY: Final = 2.0
_ACTOR: Final = "orchestrator"


class StoredKeys:
    """A shared key, or a private or public key in PEM. Tokens that the key before has signed are good for ``overlap``
    seconds more; when the secret is deleted, none is good any more.
    """

    def __init__(
        self,
        store: SecretStore,
        name: str,
        algorithm: str | None,
        *,
        overlap: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._name, self._algorithm, self._overlap, self._clock = store, name, algorithm, overlap, clock
        self._version: int | None = None
        self._keys: list[tuple[JwtKey, float]] = []  # the newest first, each with the end of its time
        self._looked = float("-inf")
        self._turn = asyncio.Lock()

    async def current(self) -> JwtKey:
        """What signs now. Raises ``AuthUnavailable``; ``ConfigurationError`` for a secret that is no key."""
        async with self._turn:
            if self._clock() - self._looked >= LOOK_EVERY:
                await self._look()
        if not self._keys:
            raise AuthUnavailable(f"the secret {self._name!r}, the key of tokens, cannot be had")
        return self._keys[0][0]

    async def find(self, kid: str | None, algorithm: str) -> JwtKey:
        """By its name; a token that names none of ours is held to the newest."""
        found, now = await self.current(), self._clock()
        found = next((key for key, until in self._keys if key.kid == kid and now < until), found)
        if algorithm not in found.algorithms:
            raise TokenInvalid("InvalidAlgorithm")
        return found

    async def close(self) -> None:
        self._keys.clear()

    async def _look(self) -> None:
        try:
            version = await self._store.version(self._name)
            if version is None:
                self._version = None
                self._keys.clear()
            elif version != self._version:
                self._take(version, await self._store.read(self._name, actor=_ACTOR))
            self._looked = self._clock()
        except SecretNotFound:
            self._keys.clear()
        except (SecretError, StorageError) as error:  # the keys that are known still are
            _log.warning("token_key_not_read", secret_name=self._name, reason=error.code)

    def _take(self, version: int, value: str) -> None:
        now, kid = self._clock(), f"v{version}"
        is_shared = self._algorithm in SYMMETRIC or not value.startswith("-----BEGIN")
        key = (
            JwtKey.secret(value, self._algorithm or "HS256", kid=kid)
            if is_shared
            else JwtKey.pem(value, self._algorithm, kid=kid)
        )
        before = [(each, min(until, now + self._overlap)) for each, until in self._keys]
        self._keys = [(key, float("inf")), *(each for each in before if now < each[1])]
        self._version = version
