"""Which coins pay for a transaction, and what comes back as change (R31-R38; spec/wallet-stack.md §3.3).

One coin that is big enough comes before everything else, the surest such coin first; only then are coins gathered,
largest first, so that few inputs are spent. Candidates come in small ordered windows: the pool is never counted or
loaded (R38). What is too little to be worth an output goes to the fee (R35).

    coins + provided == spending + change + fee            always
    fee == model.fee(size)                                 when there is change
    fee <  model.fee(size) + one output + the dust floor   when there is none
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from sdk.core.errors import InsufficientFunds
from sdk.wallet.funding.change import MAX_CHANGE_OUTPUTS, random_below, split_change
from sdk.wallet.funding.fees import CHANGE_INPUT_SIZE, dust_floor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sdk.core.ports import Entropy
    from sdk.wallet.funding.fees import FeeModel, Shape

GATHER_LIMIT = 16
"""Up to this many inputs, surer coins are preferred over fewer inputs."""


class Tier(IntEnum):
    """How sure a coin is: whether its transaction is proven, accepted, or still waiting to be sent (R32)."""

    MINED = 0
    UNPROVEN = 1
    SENDING = 2


@dataclass(frozen=True, slots=True)
class Coin:
    output_id: int
    satoshis: int
    tier: Tier


class CoinSource(Protocol):
    """The wallet's spendable change, read in windows. A coin is given at most once by each method."""

    def at_least(self, satoshis: int) -> Sequence[Coin]:
        """The smallest coins of ``satoshis`` or more, ascending; a bounded number."""
        ...

    def below(self, satoshis: int, after: Coin | None) -> Sequence[Coin]:
        """The largest coins under ``satoshis`` that come after ``after`` in descending order; empty at the end."""
        ...

    def total(self, satoshis: int) -> tuple[int, int]:
        """How many coins of more than ``satoshis`` satoshis there are, and their sum."""
        ...


@dataclass(frozen=True, slots=True)
class Need:
    """What is to be funded. ``spending`` and ``provided`` are the satoshis of the fixed outputs and inputs.

    ``wanted_change`` outputs of at least ``minimum_change`` satoshis would bring the pool to its desired size; that
    is a wish, never a reason to refuse. ``verbatim`` says the caller's inputs are complete: nothing is added as long
    as they suffice (R37). ``sweep`` says one fixed output (counted as 0 in ``spending``) takes all there is.
    """

    shape: Shape
    spending: int
    provided: int
    fees: FeeModel
    wanted_change: int = 1
    minimum_change: int = 1
    verbatim: bool = False
    sweep: bool = False

    def fee(self, coins: int, change: int) -> int:
        return self.fees.fee(self.shape.size(coins, change))

    def missing(self, coins: int, change: int) -> int:
        """Satoshis that ``coins`` inputs must bring before ``change`` outputs get any; negative is surplus."""
        return self.spending + self.fee(coins, change) - self.provided

    @property
    def needs_change(self) -> bool:
        """A transaction has at least one output."""
        return self.shape.fixed_outputs == 0


@dataclass(frozen=True, slots=True)
class Funding:
    coins: tuple[Coin, ...]
    change: tuple[int, ...]
    fee: int
    swept: int = 0
    """What the sweeping output takes."""


def fund(need: Need, source: CoinSource, entropy: Entropy, *, first: Sequence[Coin] = (), spread: int = 1) -> Funding:
    """Chooses coins and change for ``need``.

    ``first`` are coins the caller named (noSendChange), used before others and only as far as needed. With
    ``spread`` > 1 the coin is drawn from that many equally good ones, so that concurrent writers do not all want
    the same one. Raises ``InsufficientFunds``; its numbers include the fee (R36).
    """
    if need.sweep:
        return _sweep(need, source, first)
    floor = dust_floor(need.fees)
    if _suffices(need, (), floor):
        return _settle(need, (), floor, entropy)
    named = _gather(need, first, floor)
    if _suffices(need, named, floor):
        return _settle(need, named, floor, entropy)
    coins = named + _choose(need, source, named, floor, entropy, spread)
    return _settle(need, coins, floor, entropy)


def _least(need: Need, coins: int, floor: int) -> int:
    """What ``coins`` inputs must bring for the transaction to be possible at all."""
    return need.missing(coins, 1) + floor if need.needs_change else need.missing(coins, 0)


def _suffices(need: Need, coins: Sequence[Coin], floor: int) -> bool:
    return _sum(coins) >= _least(need, len(coins), floor)


def _settled(need: Need, coins: Sequence[Coin], floor: int) -> bool:
    """Enough, and something worth keeping comes back: no satoshi goes astray."""
    return _sum(coins) - need.missing(len(coins), 1) >= floor


def _gather(need: Need, candidates: Iterable[Coin], floor: int) -> tuple[Coin, ...]:
    taken: list[Coin] = []
    for coin in candidates:
        if _settled(need, taken, floor):
            break
        taken.append(coin)
    return tuple(taken)


def _choose(
    need: Need, source: CoinSource, named: tuple[Coin, ...], floor: int, entropy: Entropy, spread: int
) -> tuple[Coin, ...]:
    enough = need.missing(len(named) + 1, 1) - _sum(named) + max(floor, 2 * need.minimum_change)
    taken = {coin.output_id for coin in named}
    single = [coin for coin in source.at_least(enough) if coin.output_id not in taken]
    if single:
        best = min(coin.tier for coin in single)
        equal = [coin for coin in single if coin.tier == best][:spread]
        return (equal[random_below(len(equal), entropy) if len(equal) > 1 else 0],)
    return _gather_largest(need, source, named, floor, enough)


def _gather_largest(
    need: Need, source: CoinSource, named: tuple[Coin, ...], floor: int, enough: int
) -> tuple[Coin, ...]:
    names = {coin.output_id for coin in named}
    worthless = need.fees.whole(CHANGE_INPUT_SIZE)
    found: list[Coin] = []
    after: Coin | None = None
    while True:
        page = source.below(enough, after)
        useful = [coin for coin in page if coin.satoshis > worthless and coin.output_id not in names]
        found.extend(useful)
        if _settled(need, (*named, *found), floor):
            return _surest(need, named, found, floor)
        if not page or page[-1].satoshis <= worthless:
            break
        if after is None:
            _refuse_early(need, source, named, worthless, floor)
        after = page[-1]
    for count in range(1, len(found) + 1):
        if _suffices(need, (*named, *found[:count]), floor):
            return tuple(found[:count])
    raise _insufficient(need, len(named) + len(found), _sum(named) + _sum(found), floor)


def _surest(need: Need, named: tuple[Coin, ...], found: Sequence[Coin], floor: int) -> tuple[Coin, ...]:
    """Coins of the surest tiers that do it with few inputs; else the largest coins, whatever their tier."""
    for tier in Tier:
        among = [coin for coin in found if coin.tier <= tier]
        taken = _gather(need, (*named, *among), floor)[len(named) :]
        if len(taken) <= GATHER_LIMIT and _settled(need, (*named, *taken), floor):
            return taken
    return _gather(need, (*named, *found), floor)[len(named) :]


def _refuse_early(need: Need, source: CoinSource, named: tuple[Coin, ...], worthless: int, floor: int) -> None:
    """After one page that did not do: would the whole pool? One sum instead of reading all of it (R38)."""
    count, satoshis = source.total(worthless)
    have = satoshis + _sum(named)
    if have < _least(need, len(named) + count, floor):
        raise _insufficient(need, len(named) + count, have, floor)


def _settle(need: Need, coins: tuple[Coin, ...], floor: int, entropy: Entropy) -> Funding:
    have = need.provided + _sum(coins)
    if need.verbatim and not coins and not need.needs_change:
        return Funding((), (), have - need.spending)
    count = _change_count(need, coins, floor)
    if count == 0:
        return Funding(coins, (), have - need.spending)
    change = _sum(coins) - need.missing(len(coins), count)
    least = floor if count == 1 else max(floor, need.minimum_change)
    return Funding(coins, split_change(change, count, least, entropy), need.fee(len(coins), count))


def _change_count(need: Need, coins: Sequence[Coin], floor: int) -> int:
    have, least = _sum(coins), max(floor, need.minimum_change)
    for count in range(min(max(need.wanted_change, 1), MAX_CHANGE_OUTPUTS), 1, -1):
        if have - need.missing(len(coins), count) >= count * least:
            return count
    return 1 if have - need.missing(len(coins), 1) >= floor else 0


def _sweep(need: Need, source: CoinSource, first: Sequence[Coin]) -> Funding:
    worthless = need.fees.whole(CHANGE_INPUT_SIZE)
    coins = list(first)
    names = {coin.output_id for coin in first}
    after: Coin | None = None
    while page := source.below(1 << 63, after):
        coins.extend(coin for coin in page if coin.satoshis > worthless and coin.output_id not in names)
        after = page[-1]
    swept = _sum(coins) - need.missing(len(coins), 0)
    if swept < 1:
        raise InsufficientFunds(need.spending + need.fee(len(coins), 0) + 1, 1 - swept)
    return Funding(tuple(coins), (), need.fee(len(coins), 0), swept)


def _insufficient(need: Need, coins: int, have: int, floor: int) -> InsufficientFunds:
    least = _least(need, coins, floor)
    return InsufficientFunds(least + need.provided, least - have)


def _sum(coins: Iterable[Coin]) -> int:
    return sum(coin.satoshis for coin in coins)
