"""Protocol types of the BSV blockchain: transactions, BEEF, BUMP, headers, BRC-100 shapes, errors and ports.

The names below are loaded when first used, so that importing one part does not pay for the others.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdk.core.beef import Beef
    from sdk.core.chain import ChainParameters
    from sdk.core.header import BlockHeader
    from sdk.core.merkle_path import MerklePath
    from sdk.core.script import Script
    from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput

__all__ = [
    "Beef",
    "BlockHeader",
    "ChainParameters",
    "MerklePath",
    "OutPoint",
    "Script",
    "Transaction",
    "TransactionInput",
    "TransactionOutput",
]

_HOMES = {
    "Beef": "beef",
    "BlockHeader": "header",
    "ChainParameters": "chain",
    "MerklePath": "merkle_path",
    "OutPoint": "transaction",
    "Script": "script",
    "Transaction": "transaction",
    "TransactionInput": "transaction",
    "TransactionOutput": "transaction",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
