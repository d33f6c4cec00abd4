"""The keys that seal secrets at rest: AES-256-GCM, bound to name and version."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.secrets.errors import SecretUnreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

KEY_BYTES: Final = 32
MOST_KEYS: Final = 16
_NONCE: Final = 12
_CONTEXT: Final = b"sdk.module_runtime secret"


class MasterKeys:
    """Keys by their public names. A sealed value opens only under its own name and version."""

    __slots__ = ("_again", "_ciphers", "_random", "current")

    def __init__(
        self,
        keys: Sequence[bytes],
        *,
        random: Callable[[int], bytes] = os.urandom,
        again: Callable[[], MasterKeys] | None = None,
    ) -> None:
        """``current`` is the first of ``keys``; ``again`` reads them anew. Raises ``ConfigurationError``."""
        if not 1 <= len(keys) <= MOST_KEYS or any(len(key) != KEY_BYTES for key in keys):
            raise ConfigurationError(f"give 1 to {MOST_KEYS} keys of {KEY_BYTES} bytes to encrypt secrets with")
        self._ciphers = {key_id(key): AESGCM(key) for key in keys}
        self._random, self._again = random, again
        self.current = key_id(keys[0])

    def __repr__(self) -> str:
        return f"<MasterKeys {', '.join(self._ciphers)}>"

    def __reduce__(self) -> str:
        raise TypeError("keys are not pickled")

    def __contains__(self, key: str) -> bool:
        return key in self._ciphers

    def renewed(self) -> MasterKeys:
        """What there is now where these came from; these if they came from nowhere. Raises ``ConfigurationError``."""
        return self if self._again is None else self._again()

    def seal(self, name: str, version: int, value: bytes, *, key: str | None = None) -> bytes:
        """Nonce, ciphertext and tag, by ``key`` (default: the current one)."""
        nonce = self._random(_NONCE)
        return nonce + self._ciphers[key or self.current].encrypt(nonce, value, _bound_to(name, version))

    def unseal(self, name: str, version: int, key: str, sealed: bytes) -> bytes:
        """Raises ``SecretUnreadable``."""
        cipher = self._ciphers.get(key)
        if cipher is None:
            raise SecretUnreadable(name, f"it was encrypted with the key {key}, which is not among those given")
        try:
            return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound_to(name, version))
        except (InvalidTag, ValueError):
            raise SecretUnreadable(name, "the stored row was altered, or belongs to another secret") from None


def key_id(key: bytes) -> str:
    """A public name of a key, from which nothing of it can be learned."""
    return hashlib.sha256(b"sdk.module_runtime key id" + key).hexdigest()[:16]


def _bound_to(name: str, version: int) -> bytes:
    return b"\0".join((_CONTEXT, name.encode(), str(version).encode()))
