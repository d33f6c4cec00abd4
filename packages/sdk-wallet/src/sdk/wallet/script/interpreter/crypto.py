"""Hashing opcodes and OP_CODESEPARATOR."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.wallet.script.interpreter.machine import Machine


def hashing(compute: Callable[[bytes], bytes]) -> Callable[[Machine], None]:
    def handler(machine: Machine) -> None:
        machine.need(1)
        machine.spend_work(3 * len(machine.stack[-1]))
        machine.push(compute(machine.pop()))

    return handler


def sha1(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


def op_codeseparator(machine: Machine) -> None:
    machine.code_start = machine.position
