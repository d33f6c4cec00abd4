"""Satoshis are conserved and the fee is exact, whatever is asked for and whatever the pool holds."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.errors import InsufficientFunds
from sdk.wallet.funding import (
    MAX_CHANGE_OUTPUTS,
    Coin,
    FeeModel,
    Need,
    Shape,
    Tier,
    dust_floor,
    fund,
    random_below,
    shuffled,
    split_change,
)
from sdk.wallet.funding.fees import CHANGE_INPUT_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.ports import Entropy
    from sdk.wallet.funding import (
        Funding,
    )

WINDOW = 6


@dataclass
class Pool:
    """Windows over a list of coins, and how often each was asked for."""

    coins: list[Coin]
    reads: int = 0

    def at_least(self, satoshis: int) -> list[Coin]:
        self.reads += 1
        order = sorted((c for c in self.coins if c.satoshis >= satoshis), key=lambda c: (c.satoshis, c.output_id))
        return order[:WINDOW]

    def below(self, satoshis: int, after: Coin | None) -> list[Coin]:
        self.reads += 1
        order = sorted((c for c in self.coins if c.satoshis < satoshis), key=lambda c: (-c.satoshis, c.output_id))
        start = 0 if after is None else order.index(after) + 1
        return order[start : start + WINDOW]

    def total(self, satoshis: int) -> tuple[int, int]:
        self.reads += 1
        kept = [c.satoshis for c in self.coins if c.satoshis > satoshis]
        return len(kept), sum(kept)


def pool(*amounts: int, tier: Tier = Tier.MINED) -> Pool:
    return Pool([Coin(i, amount, tier) for i, amount in enumerate(amounts, 1)])


def entropy_of(seed: int) -> random.Random:
    return random.Random(seed)


def need_of(spending: int, provided: int = 0, outputs: int = 1, inputs: int = 0, **options: object) -> Need:
    options.setdefault("fees", FeeModel(1))
    return Need(Shape.of([107] * inputs, [25] * outputs), spending, provided, **options)  # type: ignore[arg-type]


def attempt(
    need: Need, source: Pool, draw: Entropy, first: Sequence[Coin]
) -> tuple[InsufficientFunds | None, Funding | None]:
    try:
        return None, fund(need, source, draw, first=first)
    except InsufficientFunds as refused:
        return refused, None


def fundable(need: Need, source: Pool) -> bool:
    """With every coin that is worth its own input."""
    worth = [c.satoshis for c in source.coins if c.satoshis > need.fees.whole(CHANGE_INPUT_SIZE)]
    least = need.missing(len(worth), 1) + dust_floor(need.fees) if need.needs_change else need.missing(len(worth), 0)
    return sum(worth) >= least


amounts = st.one_of(st.integers(1, 200), st.integers(1, 100_000), st.integers(1, 10**12))
rates = st.sampled_from([FeeModel.of(rate) for rate in (0, 1, 50, 500, "0.5", "0.05")])
needs = st.builds(
    lambda spending, provided, inputs, outputs, fees, wanted, least: Need(
        Shape.of([107] * inputs, [25] * outputs),
        spending if outputs else 0,
        provided if inputs else 0,
        fees,
        wanted,
        least,
    ),
    st.integers(0, 500_000),
    st.integers(0, 500_000),
    st.integers(0, 3),
    st.integers(0, 260),
    rates,
    st.integers(-5, 200),
    st.integers(1, 10_000),
)
coins = st.lists(st.tuples(amounts, st.sampled_from(Tier)), max_size=40).map(
    lambda drawn: Pool([Coin(i, satoshis, tier) for i, (satoshis, tier) in enumerate(drawn, 1)])
)


@given(needs, coins, st.integers(0, 3), st.integers(0, 2**32))
def test_satoshis_are_conserved_and_the_fee_is_exact(need: Need, source: Pool, named: int, seed: int) -> None:
    draw = entropy_of(seed).randbytes
    first, rest = source.coins[:named], Pool(source.coins[named:])
    floor = dust_floor(need.fees)
    refused, funding = attempt(need, rest, draw, first)
    if funding is None:
        assert refused is not None
        assert refused.more_satoshis_needed > 0
        assert refused.total_satoshis_needed >= need.spending
        assert first or not fundable(need, rest)
        return
    taken = sum(coin.satoshis for coin in funding.coins)
    assert need.provided + taken == need.spending + sum(funding.change) + funding.fee
    assert len({coin.output_id for coin in funding.coins}) == len(funding.coins)
    assert len(funding.change) <= MAX_CHANGE_OUTPUTS
    assert all(amount >= floor for amount in funding.change)
    exact = need.fees.fee(need.shape.size(len(funding.coins), len(funding.change)))
    if funding.change:
        assert funding.fee == exact
    else:
        assert exact <= funding.fee < need.fees.fee(need.shape.size(len(funding.coins), 1)) + floor
        assert need.shape.fixed_outputs > 0


@given(coins, rates, st.integers(0, 100_000))
def test_sweep_takes_everything_worth_taking(source: Pool, fees: FeeModel, spending: int) -> None:
    need = Need(Shape.of([], [25, 25]), spending, 0, fees, sweep=True)
    refused, funding = attempt(need, source, random.Random(1).randbytes, ())
    if funding is None:
        assert refused is not None
        assert refused.more_satoshis_needed > 0
        return
    assert sum(c.satoshis for c in funding.coins) == spending + funding.swept + funding.fee
    assert funding.fee == fees.fee(need.shape.size(len(funding.coins), 0))
    assert funding.swept >= 1


def test_r32_a_mined_coin_comes_before_a_smaller_unproven_one() -> None:
    source = Pool([Coin(1, 2_000, Tier.SENDING), Coin(2, 2_100, Tier.UNPROVEN), Coin(3, 9_000, Tier.MINED)])
    assert [c.output_id for c in fund(need_of(1_000), source, random.randbytes).coins] == [3]


def test_r32_one_big_unproven_coin_beats_small_mined_ones() -> None:
    small = [Coin(i, 300, Tier.MINED) for i in range(2, 60)]
    source = Pool([Coin(1, 9_000_000, Tier.UNPROVEN), *small])
    assert [c.output_id for c in fund(need_of(5_000), source, random.randbytes).coins] == [1]


def test_r32_gathering_prefers_mined_coins_when_few_suffice() -> None:
    source = Pool([Coin(1, 900, Tier.UNPROVEN), Coin(2, 800, Tier.MINED), Coin(3, 700, Tier.MINED)])
    funding = fund(need_of(1_200), source, random.randbytes)
    assert sorted(c.output_id for c in funding.coins) == [2, 3]


def test_r35_a_wish_for_more_change_never_refuses() -> None:
    funding = fund(need_of(1_000, wanted_change=144, minimum_change=5_000), pool(1_010), random.randbytes)
    assert len(funding.change) == 1
    funding = fund(need_of(1_000, wanted_change=144, minimum_change=5_000), pool(1_001), random.randbytes)
    assert funding.change == ()
    assert funding.fee == 1


def test_r35_change_grows_the_pool_by_at_most_eight_outputs() -> None:
    funding = fund(need_of(1_000, wanted_change=144, minimum_change=32), pool(1_000_000), random.randbytes)
    assert len(funding.change) == 8
    assert min(funding.change) >= 32


def test_r36_what_is_missing_includes_the_fee() -> None:
    with pytest.raises(InsufficientFunds) as caught:
        fund(need_of(1_000), pool(400, 500), random.randbytes)
    missing = caught.value.more_satoshis_needed
    assert caught.value.total_satoshis_needed == 900 + missing
    assert caught.value.total_satoshis_needed > 1_000
    funding = fund(need_of(1_000), pool(400, 500, missing + 1), random.randbytes)
    assert sum(c.satoshis for c in funding.coins) == 1_000 + funding.fee + sum(funding.change)


def test_r37_complete_inputs_that_suffice_are_sent_verbatim() -> None:
    source = pool(5_000)
    funding = fund(need_of(1_000, provided=1_500, inputs=1, verbatim=True), source, random.randbytes)
    assert (funding.coins, funding.change, funding.fee) == ((), (), 500)
    assert source.reads == 0


def test_r37_complete_inputs_that_fall_short_are_funded() -> None:
    funding = fund(need_of(1_000, provided=1_000, inputs=1, verbatim=True), pool(5_000), random.randbytes)
    assert len(funding.coins) == 1
    assert 1_000 + sum(funding.change) + funding.fee == 6_000


def test_r38_a_large_pool_is_not_read_to_refuse_or_to_pay() -> None:
    source = pool(*[10] * 3_000)
    with pytest.raises(InsufficientFunds):
        fund(need_of(10**9), source, random.randbytes)
    assert source.reads == 3
    source = pool(*[10_000] * 3_000)
    fund(need_of(1_000), source, random.randbytes)
    assert source.reads == 1


def test_named_coins_come_first_and_only_as_far_as_needed() -> None:
    named = [Coin(100, 600, Tier.SENDING), Coin(101, 700, Tier.SENDING), Coin(102, 5_000, Tier.SENDING)]
    source = pool(50_000)
    funding = fund(need_of(1_000), source, random.randbytes, first=named)
    assert [c.output_id for c in funding.coins] == [100, 101]
    assert source.reads == 0
    funding = fund(need_of(20_000), source, random.randbytes, first=named[:1])
    assert [c.output_id for c in funding.coins] == [100, 1]


def test_concurrent_writers_spread_over_equal_coins() -> None:
    draw = random.Random(7).randbytes
    chosen = {fund(need_of(1_000), pool(*[5_000] * 20), draw, spread=6).coins[0].output_id for _ in range(60)}
    assert chosen == {1, 2, 3, 4, 5, 6}


@given(st.integers(1, 8), st.integers(1, 1_000), st.integers(0, 10**15), st.integers(0, 2**32))
def test_change_amounts_add_up(count: int, floor: int, spare: int, seed: int) -> None:
    amounts = split_change(count * floor + spare, count, floor, random.Random(seed).randbytes)
    assert len(amounts) == count
    assert sum(amounts) == count * floor + spare
    assert min(amounts) >= floor


@given(st.lists(st.integers(), max_size=50), st.integers(0, 2**32))
def test_shuffling_keeps_every_item(items: list[int], seed: int) -> None:
    assert sorted(shuffled(items, random.Random(seed).randbytes)) == sorted(items)


def test_a_draw_is_uniform() -> None:
    draw = random.Random(3).randbytes
    counts = [0] * 5
    for _ in range(5_000):
        counts[random_below(5, draw)] += 1
    assert min(counts) > 850


@pytest.mark.parametrize(
    ("inputs", "outputs", "size"), [(1, 1, 192), (1, 2, 226), (2, 2, 374), (252, 1, 37_340), (253, 1, 37_490)]
)
def test_size_of_a_p2pkh_transaction(inputs: int, outputs: int, size: int) -> None:
    assert Shape.of([107] * inputs, [25] * outputs).size() == size
    assert Shape.of([], []).size(inputs, outputs) == size


def test_fee_is_rounded_up_from_the_exact_fraction() -> None:
    assert FeeModel(1).fee(1_000) == 1
    assert FeeModel(1).fee(1_001) == 2
    assert FeeModel.of("0.5").fee(2_001) == 2
    with pytest.raises(ValueError, match="not negative"):
        FeeModel(-1)
