"""A BRC-100 wallet: keys, scripts, actions, storage, service providers.

``open_wallet`` and ``Wallet`` are importable from here; they are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdk.wallet.setup import open_wallet
    from sdk.wallet.wallet import Wallet

__all__ = ["Wallet", "open_wallet"]


def __getattr__(name: str) -> Any:
    if name == "open_wallet":
        from sdk.wallet.setup import open_wallet

        return open_wallet
    if name == "Wallet":
        from sdk.wallet.wallet import Wallet

        return Wallet
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
