"""Conditionals, OP_VERIFY, OP_RETURN, lock times, and opcodes that do nothing or must not be there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core import opcodes as op
from sdk.core.script import encode_number
from sdk.core.transaction import FINAL_SEQUENCE, LOCK_TIME_THRESHOLD
from sdk.wallet.script.errors import ScriptFailure as F
from sdk.wallet.script.flags import ScriptFlags

if TYPE_CHECKING:
    from sdk.wallet.script.interpreter.machine import Machine

_MINIMALIF = int(ScriptFlags.MINIMALIF)
_DISCOURAGE = int(ScriptFlags.DISCOURAGE_UPGRADABLE_NOPS)
_CLTV = int(ScriptFlags.CHECKLOCKTIMEVERIFY)
_CSV = int(ScriptFlags.CHECKSEQUENCEVERIFY)
_LOCK_TIME_LENGTH = 5
_SEQUENCE_DISABLED = 1 << 31
_SEQUENCE_TYPE = 1 << 22
_SEQUENCE_MASK = _SEQUENCE_TYPE | 0xFFFF


def bad_opcode(machine: Machine) -> None:
    machine.fail(F.BAD_OPCODE)


def disabled_opcode(machine: Machine) -> None:
    machine.fail(F.DISABLED_OPCODE)


def nothing(machine: Machine) -> None:
    """OP_NOP."""


def upgradable_nothing(machine: Machine) -> None:
    if machine.flags & _DISCOURAGE:
        machine.fail(F.DISCOURAGE_UPGRADABLE_NOPS)


def op_if(machine: Machine) -> None:
    _open(machine, _condition(machine))


def op_notif(machine: Machine) -> None:
    _open(machine, not _condition(machine))


def op_verif(machine: Machine) -> None:
    _open(machine, _is_version(machine))


def op_vernotif(machine: Machine) -> None:
    _open(machine, not _is_version(machine))


def skipped_if(machine: Machine) -> None:
    """A conditional inside a branch that does not execute."""
    _open(machine, False)


def _open(machine: Machine, value: bool) -> None:
    machine.conditions.append(value)
    machine.elses.append(False)
    machine.blocked += not value


def _condition(machine: Machine) -> bool:
    if not machine.stack:
        machine.fail(F.UNBALANCED_CONDITIONAL)
    if machine.flags & _MINIMALIF and machine.stack[-1] not in (b"", b"\x01"):
        machine.fail(F.MINIMALIF)
    value = machine.top_is_true()
    machine.pop()
    return value


def _is_version(machine: Machine) -> bool:
    if not machine.stack:
        machine.fail(F.UNBALANCED_CONDITIONAL)
    return machine.pop() == _version(machine)


def _version(machine: Machine) -> bytes:
    return machine.spend.version.to_bytes(4, "little", signed=True)


def op_ver(machine: Machine) -> None:
    machine.push(_version(machine))


def op_else(machine: Machine) -> None:
    if not machine.conditions or (machine.elses[-1] and machine.since_genesis):
        machine.fail(F.UNBALANCED_CONDITIONAL)
    machine.conditions[-1] = value = not machine.conditions[-1]
    machine.elses[-1] = True
    machine.blocked += -1 if value else 1


def op_endif(machine: Machine) -> None:
    if not machine.conditions:
        machine.fail(F.UNBALANCED_CONDITIONAL)
    machine.blocked -= not machine.conditions.pop()
    machine.elses.pop()


def op_verify(machine: Machine) -> None:
    machine.need(1)
    if not machine.top_is_true():
        machine.fail(F.VERIFY)
    machine.pop()


def op_return(machine: Machine) -> None:
    """Since Genesis: the end, or inside a conditional nothing but its grammar from here on (§4.4)."""
    if not machine.since_genesis:
        machine.fail(F.OP_RETURN)
    if machine.conditions:
        machine.returned = True
    else:
        machine.stopped = True


def op_checklocktimeverify(machine: Machine) -> None:
    if machine.since_genesis or not machine.flags & _CLTV:
        upgradable_nothing(machine)
        return
    machine.need(1)
    wanted = machine.number(1, _LOCK_TIME_LENGTH)
    if wanted < 0:
        machine.fail(F.NEGATIVE_LOCKTIME)
    actual = machine.spend.lock_time
    same_kind = (wanted < LOCK_TIME_THRESHOLD) == (actual < LOCK_TIME_THRESHOLD)
    if not same_kind or wanted > actual or machine.spend.sequence == FINAL_SEQUENCE:
        machine.fail(F.UNSATISFIED_LOCKTIME)


def op_checksequenceverify(machine: Machine) -> None:
    if machine.since_genesis or not machine.flags & _CSV:
        upgradable_nothing(machine)
        return
    machine.need(1)
    wanted = machine.number(1, _LOCK_TIME_LENGTH)
    if wanted < 0:
        machine.fail(F.NEGATIVE_LOCKTIME)
    if wanted & _SEQUENCE_DISABLED:
        return
    actual = machine.spend.sequence
    if machine.spend.version & 0xFFFFFFFF < 2 or actual & _SEQUENCE_DISABLED:
        machine.fail(F.UNSATISFIED_LOCKTIME)
    wanted, actual = wanted & _SEQUENCE_MASK, actual & _SEQUENCE_MASK
    if (wanted < _SEQUENCE_TYPE) != (actual < _SEQUENCE_TYPE) or wanted > actual:
        machine.fail(F.UNSATISFIED_LOCKTIME)


def small_numbers() -> dict[int, bytes]:
    """What OP_1NEGATE and OP_1 … OP_16 push."""
    numbers = {opcode: encode_number(opcode - op.OP_1 + 1) for opcode in range(op.OP_1, op.OP_16 + 1)}
    return {op.OP_1NEGATE: encode_number(-1), **numbers}
