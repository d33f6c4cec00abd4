"""How many change outputs, of how much, and in what order outputs stand. Randomness is passed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.ports import Entropy

MAX_CHANGE_OUTPUTS = 8

T = TypeVar("T")


def split_change(total: int, count: int, floor: int, entropy: Entropy) -> tuple[int, ...]:
    """``count`` amounts of at least ``floor`` satoshis that add up to exactly ``total``, of uneven random size.

    ``total`` must be at least ``count * floor``. Uneven, so that change does not tell itself apart by being equal.
    """
    if count == 1:
        return (total,)
    spare = total - count * floor
    random = entropy(2 * count)
    weights = [1 + int.from_bytes(random[2 * i : 2 * i + 2], "big") for i in range(count)]
    whole = sum(weights)
    amounts = [floor + spare * weight // whole for weight in weights]
    amounts[0] += total - sum(amounts)
    return tuple(amounts)


def random_below(bound: int, entropy: Entropy) -> int:
    """Uniform in ``range(bound)``: draws that would favour small numbers are drawn again."""
    size = (bound.bit_length() + 7) // 8 + 1
    limit = (1 << 8 * size) // bound * bound
    while (drawn := int.from_bytes(entropy(size), "big")) >= limit:
        pass
    return drawn % bound


def shuffled(items: Sequence[T], entropy: Entropy) -> list[T]:
    """Fisher-Yates."""
    order = list(items)
    for last in range(len(order) - 1, 0, -1):
        other = random_below(last + 1, entropy)
        order[last], order[other] = order[other], order[last]
    return order
