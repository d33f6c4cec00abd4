"""The wallet's own coins: P2PKH outputs whose keys are derived by BRC-29."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from sdk.wallet.script.templates import brc29, p2pkh

if TYPE_CHECKING:
    from sdk.core.script import Script
    from sdk.wallet.keys import KeyDeriver, PrivateKey

MAX_REMEMBERED = 4096


class CoinKey(NamedTuple):
    """What locks a coin and what unlocks it."""

    private_key: PrivateKey
    locking_script: Script


class OwnCoins:
    """Derives the keys of change and of payments received; remembers the last few thousand: change is soon spent."""

    __slots__ = ("_deriver", "_known", "_lock")

    def __init__(self, deriver: KeyDeriver) -> None:
        self._deriver = deriver
        self._known: OrderedDict[tuple[str, str, str], CoinKey] = OrderedDict()
        self._lock = Lock()

    @property
    def identity_key(self) -> str:
        return self._deriver.identity_key

    def key(self, prefix: str, suffix: str, sender: str | None = None) -> CoinKey:
        """The key of a coin that ``sender`` (66 hex; ourselves if ``None``) derived for us.

        Raises ``InvalidParameter`` for a prefix, suffix or sender that cannot be one.
        """
        name = (prefix, suffix, sender or "self")
        with self._lock:
            found = self._known.get(name)
            if found is not None:
                self._known.move_to_end(name)
                return found
        private_key = brc29.unlocking_key(self._deriver, name[2], prefix, suffix)
        key = CoinKey(private_key, p2pkh.lock_to_key(private_key.public_key))
        with self._lock:
            self._known[name] = key
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
        return key

    def forget(self) -> None:
        with self._lock:
            self._known.clear()
