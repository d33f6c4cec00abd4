"""Public keys of somebody else's, from a JSON Web Key Set (RFC 7517)."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from sdk.core.errors import ConfigurationError, ServiceError
from sdk.module_runtime.auth.errors import AuthUnavailable, TokenInvalid
from sdk.module_runtime.auth.keys import JwtKey, KeySet
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.service.http_client import HttpClient

_log = get_logger(__name__)
MOST_KEYS: Final = 100


def keys_of(document: Any) -> list[JwtKey]:
    """The usable keys of a set; those for encryption, shared secrets and what cannot be read are left out."""
    found = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(found, list) or len(found) > MOST_KEYS:
        raise ConfigurationError(f"a key set is an object with at most {MOST_KEYS} keys")
    usable: dict[str | None, JwtKey] = {}
    for jwk in found:
        try:
            key = JwtKey.jwk(jwk if isinstance(jwk, dict) else {})
        except ConfigurationError as error:
            _log.info("jwk_left_out", reason=str(error))
        else:
            usable.setdefault(key.kid, key)
    if len(usable) > 1:
        usable.pop(None, None)  # nobody could name it
    return list(usable.values())


class JwksKeys:
    """Fetched when they are first needed, again after ``max_age`` seconds, and for a ``kid`` that is not known yet.

    That last at most every ``pause`` seconds, whatever kids strangers think up. When the source is down, keys that are
    known are used for ``stale`` seconds more.
    """

    def __init__(
        self,
        client: HttpClient,
        url: str,
        *,
        max_age: float = 600.0,
        stale: float = 3600.0,
        pause: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._url, self._clock = client, url, clock
        self._max_age, self._stale, self._pause = max_age, stale, pause
        self._keys: KeySet | None = None
        self._fetched = self._tried = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, kid: str | None, algorithm: str) -> JwtKey:
        keys = await self._current()
        try:
            return keys.find_now(kid, algorithm)
        except TokenInvalid as error:
            if error.reason != "UnknownKey" or self._clock() - self._tried < self._pause:
                raise
        return (await self._renewed(keys)).find_now(kid, algorithm)

    async def close(self) -> None:
        await self._client.close()

    async def _current(self) -> KeySet:
        keys = self._keys
        if keys is not None and self._clock() - self._fetched < self._max_age:
            return keys
        if keys is not None and self._clock() - self._tried < self._pause:
            return self._not_too_old(keys)
        return await self._renewed(keys)

    async def _renewed(self, known: KeySet | None) -> KeySet:
        """Several who find the same keys too old ask once."""
        async with self._lock:
            if self._keys is not None and self._keys is not known:
                return self._keys
            self._tried = self._clock()
            try:
                self._keys = KeySet(keys_of(await self._client.get_json(self._url)))
                self._fetched = self._clock()
            except (ServiceError, ConfigurationError) as error:
                _log.warning("jwks_not_fetched", url=self._url, reason=str(error))
                if known is None:
                    raise AuthUnavailable("the keys that tokens are checked with cannot be had") from None
                return self._not_too_old(known)
            return self._keys

    def _not_too_old(self, keys: KeySet) -> KeySet:
        if self._clock() - self._fetched > self._max_age + self._stale:
            raise AuthUnavailable("the keys that tokens are checked with are too old, and cannot be had anew")
        return keys
