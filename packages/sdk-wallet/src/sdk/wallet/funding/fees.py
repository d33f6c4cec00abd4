"""Fee rates, and the size of a transaction to which coins and change may still be added (spec/wallet-stack.md §3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from sdk.core.encodings import varint_size
from sdk.core.fees import P2PKH_LOCKING_SIZE, P2PKH_UNLOCKING_SIZE, input_size, output_size

if TYPE_CHECKING:
    from collections.abc import Iterable

CHANGE_INPUT_SIZE = input_size(P2PKH_UNLOCKING_SIZE)
CHANGE_OUTPUT_SIZE = output_size(P2PKH_LOCKING_SIZE)


@dataclass(frozen=True, slots=True)
class FeeModel:
    """``satoshis_per_kilobyte`` (1,000 bytes), as an exact fraction ``rate / divisor``; fees are rounded up."""

    rate: int = 1
    divisor: int = 1

    def __post_init__(self) -> None:
        if self.rate < 0 or self.divisor < 1:
            raise ValueError("a fee rate is not negative")

    @classmethod
    def of(cls, satoshis_per_kilobyte: int | str | Fraction) -> FeeModel:
        """``of(1)``, ``of("0.5")``; text, not float, so that the rate is the one that was written."""
        exact = Fraction(satoshis_per_kilobyte)
        return cls(exact.numerator, exact.denominator)

    def fee(self, size: int) -> int:
        """Satoshis for ``size`` bytes."""
        return -(-size * self.rate // (1000 * self.divisor))

    def whole(self, size: int) -> int:
        """The same, rounded down: a coin of no more than this costs what it brings."""
        return size * self.rate // (1000 * self.divisor)


@dataclass(frozen=True, slots=True)
class Shape:
    """A transaction as asked for; its size with the coins and change that funding may add is one sum."""

    fixed_inputs: int
    fixed_outputs: int
    fixed_size: int
    """Bytes of version, lock time, the fixed inputs and the fixed outputs, without the two counts."""

    @classmethod
    def of(cls, unlocking_lengths: Iterable[int], locking_lengths: Iterable[int]) -> Shape:
        inputs = [input_size(length) for length in unlocking_lengths]
        outputs = [output_size(length) for length in locking_lengths]
        return cls(len(inputs), len(outputs), 8 + sum(inputs) + sum(outputs))

    def size(self, coins: int = 0, change: int = 0) -> int:
        """Bytes with ``coins`` P2PKH inputs and ``change`` P2PKH outputs added."""
        counts = varint_size(self.fixed_inputs + coins) + varint_size(self.fixed_outputs + change)
        return self.fixed_size + counts + coins * CHANGE_INPUT_SIZE + change * CHANGE_OUTPUT_SIZE


def dust_floor(fees: FeeModel) -> int:
    """The least a change output may hold: twice the fee of spending it alone to one output (R35)."""
    return max(1, 2 * fees.fee(Shape(0, 0, 8).size(1, 1)))
