"""Keys: private and public, derivation between parties, and the BRC-100 calls that need nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.wallet.keys.address import Address
from sdk.wallet.keys.deriver import KeyDeriver
from sdk.wallet.keys.private_key import ANYONE, PrivateKey
from sdk.wallet.keys.public_key import PublicKey
from sdk.wallet.keys.symmetric import SymmetricKey

if TYPE_CHECKING:
    from sdk.wallet.keys.privileged import PrivilegedKeyManager
    from sdk.wallet.keys.proto_wallet import ProtoWallet

__all__ = [
    "ANYONE",
    "Address",
    "KeyDeriver",
    "PrivateKey",
    "PrivilegedKeyManager",
    "ProtoWallet",
    "PublicKey",
    "SymmetricKey",
]


def __getattr__(name: str) -> object:
    """The two that load pydantic models, when asked for: a key alone should not cost them."""
    if name == "ProtoWallet":
        from sdk.wallet.keys.proto_wallet import ProtoWallet

        return ProtoWallet
    if name == "PrivilegedKeyManager":
        from sdk.wallet.keys.privileged import PrivilegedKeyManager

        return PrivilegedKeyManager
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
