"""Coin selection, change, fee and size arithmetic: pure functions over values."""

from sdk.wallet.funding.change import MAX_CHANGE_OUTPUTS, random_below, shuffled, split_change
from sdk.wallet.funding.fees import (
    P2PKH_LOCKING_LENGTH,
    P2PKH_UNLOCKING_LENGTH,
    FeeModel,
    Shape,
    dust_floor,
    input_size,
    output_size,
    varint_size,
)
from sdk.wallet.funding.selection import Coin, CoinSource, Funding, Need, Tier, fund

__all__ = [
    "MAX_CHANGE_OUTPUTS",
    "P2PKH_LOCKING_LENGTH",
    "P2PKH_UNLOCKING_LENGTH",
    "Coin",
    "CoinSource",
    "FeeModel",
    "Funding",
    "Need",
    "Shape",
    "Tier",
    "dust_floor",
    "fund",
    "input_size",
    "output_size",
    "random_below",
    "shuffled",
    "split_change",
    "varint_size",
]
