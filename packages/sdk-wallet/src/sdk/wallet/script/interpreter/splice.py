"""Opcodes on byte strings: parts, lengths, bits, comparison (spec/consensus.md §4.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.script import decode_number, encode_number
from sdk.wallet.script import limits as bounds
from sdk.wallet.script.errors import ScriptFailure as F

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.wallet.script.interpreter.machine import Machine

_MAX_SIZE = 2**31 - 1
_REWRITING_COST = 6  # a byte of a number that is read and written


def op_cat(machine: Machine) -> None:
    machine.need(2)
    size = len(machine.stack[-2]) + len(machine.stack[-1])
    _fits(machine, size)
    machine.reserve(size)
    right, left = machine.pop(), machine.pop()
    machine.push(left + right)


def _fits(machine: Machine, size: int) -> None:
    if size > bounds.OLD_ELEMENT_SIZE and not machine.since_genesis:
        machine.fail(F.PUSH_SIZE)


def op_split(machine: Machine) -> None:
    machine.need(2)
    position = machine.number(1)
    data = machine.stack[-2]
    if not 0 <= position <= len(data):
        machine.fail(F.SPLIT_RANGE)
    machine.spend_work(len(data))
    machine.pop()
    machine.pop()
    machine.push(data[:position])
    machine.push(data[position:])


def op_num2bin(machine: Machine) -> None:
    machine.need(2)
    size = machine.number(1)
    if not 0 <= size <= _MAX_SIZE:
        machine.fail(F.PUSH_SIZE)
    _fits(machine, size)
    machine.reserve(max(size, len(machine.stack[-2])))
    machine.pop()
    machine.spend_work(_REWRITING_COST * len(machine.stack[-1]))
    number = minimally_encoded(machine.pop())
    if len(number) > size:
        machine.fail(F.IMPOSSIBLE_ENCODING)
    machine.push(_widened(number, size))


def _widened(number: bytes, size: int) -> bytes:
    """A minimal number as ``size`` bytes: the sign moves to the last one."""
    if len(number) == size:
        return number
    if not number:
        return bytes(size)
    sign = number[-1] & 0x80
    return number[:-1] + bytes((number[-1] & 0x7F,)) + bytes(size - len(number) - 1) + bytes((sign,))


def op_bin2num(machine: Machine) -> None:
    machine.need(1)
    machine.spend_work(_REWRITING_COST * len(machine.stack[-1]))
    number = minimally_encoded(machine.pop())
    if len(number) > machine.max_number:
        machine.fail(F.INVALID_NUMBER_RANGE)
    machine.push(number)


def minimally_encoded(data: bytes) -> bytes:
    return encode_number(decode_number(data))


def op_substr(machine: Machine) -> None:
    machine.need(3)
    data = machine.stack[-3]
    start, length = machine.number(2), machine.number(1)
    if not (0 <= start < len(data) and 0 <= length <= len(data) - start):
        machine.fail(F.INVALID_NUMBER_RANGE)
    machine.spend_work(length)
    for _ in range(3):
        machine.pop()
    machine.push(data[start : start + length])


def op_left(machine: Machine) -> None:
    data, length = _data_and_length(machine)
    machine.push(data[:length])


def op_right(machine: Machine) -> None:
    data, length = _data_and_length(machine)
    machine.push(data[len(data) - length :])


def _data_and_length(machine: Machine) -> tuple[bytes, int]:
    machine.need(2)
    data, length = machine.stack[-2], machine.number(1)
    if not 0 <= length <= len(data):
        machine.fail(F.INVALID_NUMBER_RANGE)
    machine.spend_work(length)
    machine.pop()
    machine.pop()
    return data, length


def op_invert(machine: Machine) -> None:
    machine.need(1)
    machine.spend_work(len(machine.stack[-1]))
    machine.push(machine.pop().translate(_INVERTED))


_INVERTED = bytes(255 - value for value in range(256))


def bitwise(combine: Callable[[int, int], int]) -> Callable[[Machine], None]:
    def handler(machine: Machine) -> None:
        machine.need(2)
        left, right = machine.stack[-2], machine.stack[-1]
        if len(left) != len(right):
            machine.fail(F.OPERAND_SIZE)
        machine.spend_work(4 * len(left))
        machine.pop()
        machine.pop()
        result = combine(int.from_bytes(left, "little"), int.from_bytes(right, "little"))
        machine.push(result.to_bytes(len(left), "little"))

    return handler


def op_lshift(machine: Machine) -> None:
    data, count = _bits_and_count(machine)
    bits = 8 * len(data)
    if count >= bits:
        machine.push(bytes(len(data)))
    else:
        shifted = (int.from_bytes(data, "big") << count) & ((1 << bits) - 1)
        machine.push(shifted.to_bytes(len(data), "big"))


def op_rshift(machine: Machine) -> None:
    data, count = _bits_and_count(machine)
    if count >= 8 * len(data):
        machine.push(bytes(len(data)))
    else:
        machine.push((int.from_bytes(data, "big") >> count).to_bytes(len(data), "big"))


def _bits_and_count(machine: Machine) -> tuple[bytes, int]:
    machine.need(2)
    data, count = machine.stack[-2], machine.number(1)
    if count < 0:
        machine.fail(F.INVALID_NUMBER_RANGE)
    machine.spend_work(4 * len(data))
    machine.pop()
    machine.pop()
    return data, count


def op_equal(machine: Machine) -> None:
    machine.need(2)
    machine.spend_work(len(machine.stack[-1]))
    machine.push_bool(machine.pop() == machine.pop())


def op_equalverify(machine: Machine) -> None:
    op_equal(machine)
    if not machine.stack[-1]:
        machine.fail(F.EQUALVERIFY)
    machine.pop()
