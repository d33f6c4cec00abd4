"""Coin selection, change, fee and size arithmetic: pure functions over values."""

from sdk.wallet.funding.change import MAX_CHANGE_OUTPUTS, random_below, shuffled, split_change
from sdk.wallet.funding.fees import FeeModel, Shape, dust_floor
from sdk.wallet.funding.selection import Coin, CoinSource, Funding, Need, Tier, fund

__all__ = [
    "MAX_CHANGE_OUTPUTS",
    "Coin",
    "CoinSource",
    "FeeModel",
    "Funding",
    "Need",
    "Shape",
    "Tier",
    "dust_floor",
    "fund",
    "random_below",
    "shuffled",
    "split_change",
]
