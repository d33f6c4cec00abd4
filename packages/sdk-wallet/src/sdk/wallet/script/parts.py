"""The parts of a transaction as slices of its bytes: what verification reads, without an object for each.

``Transaction`` has checked the bytes to the end, so nothing here looks at bounds again.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from sdk.core.encodings import read_varint

if TYPE_CHECKING:
    from typing import TypeAlias

    from sdk.core.transaction import Transaction

    OutputPart: TypeAlias = tuple[int, bytes]
    """Satoshis and locking script."""

NULL_OUTPOINT = bytes(32) + b"\xff" * 4
_WHAT = "transaction"
_satoshis_at = Struct("<q").unpack_from


class TransactionParts:
    """Inputs by column: ``outpoints`` of 36 bytes, ``scripts``, ``sequences`` of 4 bytes. Outputs when asked for."""

    __slots__ = ("_bounds", "_outputs", "is_coinbase", "outpoints", "outputs_at", "raw", "scripts", "sequences")

    def __init__(self, transaction: Transaction) -> None:
        self.raw = raw = transaction.to_bytes()
        self.outpoints: list[bytes] = []
        self.scripts: list[bytes] = []
        self.sequences: list[bytes] = []
        self._bounds: list[tuple[int, int]] | None = None
        self._outputs: list[OutputPart] | None = None
        count = raw[4]
        position = 5
        if count > 0xFC:
            count, position = read_varint(raw, 4, _WHAT)
        for _ in range(count):
            length, start = raw[position + 36], position + 37
            if length > 0xFC:
                length, start = read_varint(raw, position + 36, _WHAT)
            self.outpoints.append(raw[position : position + 36])
            position = start + length
            self.scripts.append(raw[start:position])
            self.sequences.append(raw[position : position + 4])
            position += 4
        self.outputs_at = position
        self.is_coinbase = self.outpoints == [NULL_OUTPOINT]

    @property
    def version(self) -> int:
        return int.from_bytes(self.raw[:4], "little", signed=True)

    @property
    def lock_time(self) -> int:
        return int.from_bytes(self.raw[-4:], "little")

    @property
    def outputs(self) -> list[OutputPart]:
        if self._outputs is None:
            raw = self.raw
            found: list[OutputPart] = []
            count, position = read_varint(raw, self.outputs_at, _WHAT)
            for _ in range(count):
                length, start = raw[position + 8], position + 9
                if length > 0xFC:
                    length, start = read_varint(raw, position + 8, _WHAT)
                (satoshis,) = _satoshis_at(raw, position)
                position = start + length
                found.append((satoshis, raw[start:position]))
            self._outputs = found
        return self._outputs

    @property
    def output_bounds(self) -> list[tuple[int, int]]:
        """Where each output begins and ends in the bytes."""
        if self._bounds is None:
            found: list[tuple[int, int]] = []
            count, position = read_varint(self.raw, self.outputs_at, _WHAT)
            for _ in range(count):
                length, start = read_varint(self.raw, position + 8, _WHAT)
                found.append((position, start + length))
                position = start + length
            self._bounds = found
        return self._bounds
