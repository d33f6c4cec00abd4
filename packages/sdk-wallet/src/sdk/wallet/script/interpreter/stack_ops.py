"""Opcodes that move stack items about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.script import encode_number
from sdk.wallet.script.errors import ScriptFailure as F

if TYPE_CHECKING:
    from sdk.wallet.script.interpreter.machine import Machine


def op_toaltstack(machine: Machine) -> None:
    machine.need(1)
    machine.alt.append(machine.stack.pop())  # the memory they share does not change


def op_fromaltstack(machine: Machine) -> None:
    if not machine.alt:
        machine.fail(F.INVALID_ALTSTACK_OPERATION)
    machine.stack.append(machine.alt.pop())


def op_2drop(machine: Machine) -> None:
    machine.need(2)
    machine.pop()
    machine.pop()


def op_2dup(machine: Machine) -> None:
    _copy(machine, 2, 2)


def op_3dup(machine: Machine) -> None:
    _copy(machine, 3, 3)


def op_2over(machine: Machine) -> None:
    _copy(machine, 4, 2)


def _copy(machine: Machine, depth: int, count: int) -> None:
    """Push again the ``count`` items that begin ``depth`` below the top."""
    machine.need(depth)
    for _ in range(count):
        machine.push(machine.stack[-depth])


def op_2rot(machine: Machine) -> None:
    machine.need(6)
    machine.stack[-6:] = machine.stack[-4:] + machine.stack[-6:-4]


def op_2swap(machine: Machine) -> None:
    machine.need(4)
    machine.stack[-4:] = machine.stack[-2:] + machine.stack[-4:-2]


def op_ifdup(machine: Machine) -> None:
    machine.need(1)
    if machine.top_is_true():
        machine.push(machine.stack[-1])


def op_depth(machine: Machine) -> None:
    machine.push(encode_number(len(machine.stack)))


def op_drop(machine: Machine) -> None:
    machine.need(1)
    machine.pop()


def op_dup(machine: Machine) -> None:
    machine.need(1)
    machine.push(machine.stack[-1])


def op_nip(machine: Machine) -> None:
    machine.need(2)
    top = machine.pop()
    machine.pop()
    machine.push(top)


def op_over(machine: Machine) -> None:
    machine.need(2)
    machine.push(machine.stack[-2])


def op_pick(machine: Machine) -> None:
    machine.push(machine.stack[-1 - _index(machine)])


def op_roll(machine: Machine) -> None:
    index = _index(machine)
    machine.stack.append(machine.stack.pop(-1 - index))
    machine.spend_work(index)  # all items above it move


def _index(machine: Machine) -> int:
    machine.need(2)
    index = machine.number(1)
    machine.pop()
    if not 0 <= index < len(machine.stack):
        machine.fail(F.INVALID_STACK_OPERATION)
    return index


def op_rot(machine: Machine) -> None:
    machine.need(3)
    machine.stack.append(machine.stack.pop(-3))


def op_swap(machine: Machine) -> None:
    machine.need(2)
    machine.stack[-2:] = machine.stack[-1], machine.stack[-2]


def op_tuck(machine: Machine) -> None:
    machine.need(2)
    machine.push(machine.stack[-1])
    machine.stack[-3:] = machine.stack[-1], machine.stack[-3], machine.stack[-2]


def op_size(machine: Machine) -> None:
    machine.need(1)
    machine.push(encode_number(len(machine.stack[-1])))
