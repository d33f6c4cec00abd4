"""Opcodes on numbers (spec/consensus.md §4.5): of four bytes before Genesis, of thousands since."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.wallet.script.errors import ScriptFailure as F
from sdk.wallet.script.interpreter.machine import FALSE, TRUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.wallet.script.interpreter.machine import Machine

_MAX_SHIFT = 2**31 - 1


def unary(compute: Callable[[int], int]) -> Callable[[Machine], None]:
    def handler(machine: Machine) -> None:
        machine.need(1)
        value = machine.number(1)
        machine.pop()
        machine.push_number(compute(value))

    return handler


def binary(compute: Callable[[int, int], int]) -> Callable[[Machine], None]:
    def handler(machine: Machine) -> None:
        left, right = _operands(machine)
        machine.push_number(compute(left, right))

    return handler


def _operands(machine: Machine) -> tuple[int, int]:
    machine.need(2)
    left, right = machine.number(2), machine.number(1)
    machine.pop()
    machine.pop()
    return left, right


def op_mul(machine: Machine) -> None:
    machine.need(2)
    left, right = machine.number(2), machine.number(1)
    machine.spend_work(len(machine.pop()) * len(machine.pop()) // 16)
    machine.push_number(left * right)


def op_div(machine: Machine) -> None:
    left, right = _dividend_and_divisor(machine, F.DIV_BY_ZERO)
    quotient = abs(left) // abs(right)
    machine.push_number(-quotient if (left < 0) != (right < 0) else quotient)


def op_mod(machine: Machine) -> None:
    left, right = _dividend_and_divisor(machine, F.MOD_BY_ZERO)
    remainder = abs(left) % abs(right)
    machine.push_number(-remainder if left < 0 else remainder)


def _dividend_and_divisor(machine: Machine, zero: F) -> tuple[int, int]:
    machine.need(2)
    left, right = machine.number(2), machine.number(1)
    if right == 0:
        machine.fail(zero)
    divisor, dividend = len(machine.pop()), len(machine.pop())
    machine.spend_work((max(dividend - divisor, 0) + 8) * divisor // 8)
    return left, right


def op_2div(machine: Machine) -> None:
    machine.need(1)
    value = machine.number(1)
    machine.pop()
    machine.push_number(-(abs(value) >> 1) if value < 0 else value >> 1)


def op_lshiftnum(machine: Machine) -> None:
    machine.need(2)
    value, count = machine.number(2), machine.number(1)
    if count < 0:
        machine.fail(F.INVALID_NUMBER_RANGE)
    if len(machine.stack[-2]) + count // 8 > machine.max_number:
        machine.fail(F.SCRIPTNUM_OVERFLOW)
    machine.pop()
    machine.pop()
    machine.push_number(-(-value << count) if value < 0 else value << count)


def op_rshiftnum(machine: Machine) -> None:
    machine.need(2)
    value, count = machine.number(2), machine.number(1)
    if count < 0:
        machine.fail(F.INVALID_NUMBER_RANGE)
    if count > _MAX_SHIFT:
        machine.fail(F.BIG_INT)
    machine.pop()
    machine.pop()
    machine.push_number(-(-value >> count) if value < 0 else value >> count)


def op_numequalverify(machine: Machine) -> None:
    left, right = _operands(machine)
    if left != right:
        machine.fail(F.NUMEQUALVERIFY)


def op_within(machine: Machine) -> None:
    machine.need(3)
    value, low, high = machine.number(3), machine.number(2), machine.number(1)
    for _ in range(3):
        machine.pop()
    machine.push(TRUE if low <= value < high else FALSE)
