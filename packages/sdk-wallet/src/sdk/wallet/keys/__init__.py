"""Keys: private and public, derivation between parties, and the BRC-100 calls that need nothing else."""

from sdk.wallet.keys.address import Address
from sdk.wallet.keys.deriver import KeyDeriver
from sdk.wallet.keys.private_key import ANYONE, PrivateKey
from sdk.wallet.keys.privileged import PrivilegedKeyManager
from sdk.wallet.keys.proto_wallet import ProtoWallet
from sdk.wallet.keys.public_key import PublicKey
from sdk.wallet.keys.symmetric import SymmetricKey

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
