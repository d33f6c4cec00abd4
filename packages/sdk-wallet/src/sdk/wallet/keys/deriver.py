"""The keys of one identity: for every protocol, key id and counterparty (BRC-42, BRC-43)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from sdk.core.errors import InvalidOperation, InvalidParameter, InvalidPublicKey
from sdk.wallet.keys import curve
from sdk.wallet.keys.derivation import tweak
from sdk.wallet.keys.private_key import ANYONE
from sdk.wallet.keys.protocol import invoice_number
from sdk.wallet.keys.public_key import PublicKey
from sdk.wallet.keys.symmetric import SymmetricKey

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from sdk.wallet.keys.private_key import PrivateKey
    from sdk.wallet.keys.protocol import ProtocolID

    Counterparty: TypeAlias = str | PublicKey
    """``"self"``, ``"anyone"``, 66 hex digits, or the key itself."""


class _Peer(NamedTuple):
    public_key: PublicKey
    shared_secret: bytes


class KeyDeriver:
    """Derives from ``root``; remembers shared secrets, symmetric and public keys, ``cache_size`` of each.

    The caches hold secrets for as long as the deriver lives; ``forget`` empties them. Safe to use from many threads.
    """

    __slots__ = ("_peer", "_public", "_root", "_symmetric", "identity_key")

    def __init__(self, root: PrivateKey, *, cache_size: int = 2000) -> None:
        self._root = root
        self.identity_key = root.public_key.to_hex()
        self._peer = lru_cache(maxsize=cache_size)(_peers_of(root))
        self._symmetric = lru_cache(maxsize=cache_size)(_symmetric_keys_of(root))
        self._public = lru_cache(maxsize=cache_size)(_public_keys_of(root))

    @property
    def root_key(self) -> PrivateKey:
        return self._root

    @property
    def public_key(self) -> PublicKey:
        """The identity key."""
        return self._root.public_key

    def forget(self) -> None:
        """Empty the caches."""
        self._peer.cache_clear()
        self._symmetric.cache_clear()
        self._public.cache_clear()

    def derive_public_key(
        self, protocol_id: ProtocolID, key_id: str, counterparty: Counterparty, for_self: bool = False
    ) -> PublicKey:
        """The counterparty's child key, or with ``for_self`` our own.

        Raises ``InvalidParameter`` (``protocolID``, ``keyID`` or ``counterparty``).
        """
        invoice = invoice_number(protocol_id, key_id)
        return self._public(self._peer(_name(counterparty)), invoice, for_self)

    def derive_private_key(self, protocol_id: ProtocolID, key_id: str, counterparty: Counterparty) -> PrivateKey:
        """Our own child key. Raises ``InvalidParameter``."""
        invoice = invoice_number(protocol_id, key_id)
        return self._root.add(tweak(self._peer(_name(counterparty)).shared_secret, invoice))

    def derive_symmetric_key(self, protocol_id: ProtocolID, key_id: str, counterparty: Counterparty) -> SymmetricKey:
        """What both sides can derive, and they alone; ``anyone`` is everybody. Raises ``InvalidParameter``."""
        invoice = invoice_number(protocol_id, key_id)
        return self._symmetric(self._peer(_name(counterparty)), invoice)

    def reveal_counterparty_secret(self, counterparty: Counterparty) -> bytes:
        """The shared point with ``counterparty``, 33 bytes (BRC-69). It opens every key of the two.

        Raises ``InvalidOperation`` for oneself: that would give away every key one has alone.
        """
        peer = self._peer(_name(counterparty))
        if peer.public_key == self._root.public_key:
            raise InvalidOperation(
                'Counterparty secrets cannot be revealed for counterparty "self"; name another party\'s public key.'
            )
        return peer.shared_secret

    def reveal_specific_secret(self, counterparty: Counterparty, protocol_id: ProtocolID, key_id: str) -> bytes:
        """The scalar between root and child for one key, 32 bytes (BRC-72). Raises ``InvalidParameter``."""
        invoice = invoice_number(protocol_id, key_id)
        return tweak(self._peer(_name(counterparty)).shared_secret, invoice)

    def resolve(self, counterparty: Counterparty) -> PublicKey:
        """The key that ``self``, ``anyone`` or 66 hex digits stand for. Raises ``InvalidParameter``."""
        return self._peer(_name(counterparty)).public_key

    def __repr__(self) -> str:
        return f"KeyDeriver(identity {self.identity_key})"


def _name(counterparty: Counterparty) -> str:
    if isinstance(counterparty, str):
        return counterparty
    if isinstance(counterparty, PublicKey):
        return counterparty.to_hex()
    raise InvalidParameter("counterparty", '"self", "anyone" or a public key')


def _peers_of(root: PrivateKey) -> Callable[[str], _Peer]:
    def peer(name: str) -> _Peer:
        key = _resolve(root, name)
        return _Peer(key, root.shared_secret(key))

    return peer


def _public_keys_of(root: PrivateKey) -> Callable[[_Peer, str, bool], PublicKey]:
    def public(peer: _Peer, invoice: str, for_self: bool) -> PublicKey:
        scalar = tweak(peer.shared_secret, invoice)
        return root.add(scalar).public_key if for_self else peer.public_key.add(scalar)

    return public


def _symmetric_keys_of(root: PrivateKey) -> Callable[[_Peer, str], SymmetricKey]:
    def symmetric(peer: _Peer, invoice: str) -> SymmetricKey:
        scalar = tweak(peer.shared_secret, invoice)
        theirs = curve.add_generator(peer.public_key.point, scalar)
        return SymmetricKey(curve.shared_point(root.add(scalar).to_bytes(), theirs)[1:])

    return symmetric


def _resolve(root: PrivateKey, name: str) -> PublicKey:
    if name == "self":
        return root.public_key
    if name == "anyone":
        return ANYONE.public_key
    try:
        return PublicKey.from_hex(name)
    except InvalidPublicKey as error:
        raise InvalidParameter(
            "counterparty", '"self", "anyone" or a public key', f"The counterparty parameter: {error}"
        ) from None
