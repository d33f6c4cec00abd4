"""Scripts as the node's test files write them, and the transactions they are tried in (spec/consensus.md §4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sdk.core import opcodes as op
from sdk.core.script import Script, push, push_number
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.script.errors import ScriptError
from sdk.wallet.script.flags import STANDARD, ScriptFlags
from sdk.wallet.script.interpreter import verify_script
from sdk.wallet.script.limits import POLICY_LIMITS

if TYPE_CHECKING:
    from sdk.wallet.script.limits import ScriptLimits

_OPCODES = {name: number for name, number in op.NUMBERS.items() if op.OP_PUSHDATA1 <= number <= op.OP_NOP10}


def parse_script(text: str) -> Script:
    """Decimal numbers are minimal pushes, ``0x…`` raw bytes, ``'text'`` a push, names come with or without ``OP_``."""
    parts = []
    for word in text.split():
        if word.removeprefix("-").isdigit():
            parts.append(push_number(int(word)))
        elif word.startswith("0x"):
            parts.append(bytes.fromhex(word[2:]))
        elif word.startswith("'") and word.endswith("'") and len(word) > 1:
            parts.append(push(word[1:-1].encode()))
        else:
            parts.append(bytes((_OPCODES[word if word.startswith("OP_") else f"OP_{word}"],)))
    return Script(b"".join(parts))


def harness_flags(names: str) -> ScriptFlags:
    flags = ScriptFlags.parse(names)
    return flags | ScriptFlags.P2SH if flags & ScriptFlags.CLEANSTACK else flags  # as the node's harness does


class ScriptCase(NamedTuple):
    """One row of ``script_tests.json``."""

    unlocking: Script
    locking: Script
    flags: ScriptFlags
    expected: str
    satoshis: int
    version: int
    name: str

    @classmethod
    def of(cls, row: list[Any], index: int) -> ScriptCase | None:
        """``None`` for a comment."""
        if len(row) == 1:
            return None
        satoshis = 0
        if isinstance(row[0], list):
            satoshis = round(row[0][-1] * 100_000_000)
            row = row[1:]
        version, unlocking, locking, flags, expected, *comment = row
        return cls(
            parse_script(unlocking),
            parse_script(locking),
            harness_flags(flags),
            expected,
            satoshis,
            int(version),
            f"{index}: {' '.join(map(str, comment))}",
        )

    def spending(self) -> Transaction:
        crediting = Transaction(
            1,
            [TransactionInput(OutPoint("0" * 64, 0xFFFFFFFF), Script(b"\0\0"))],
            [TransactionOutput(self.satoshis, self.locking)],
        )
        return Transaction(
            self.version,
            [TransactionInput(OutPoint(crediting.txid(), 0), self.unlocking)],
            [TransactionOutput(self.satoshis, Script(b""))],
        )


def evaluate(
    unlocking: str,
    locking: str,
    flags: ScriptFlags = STANDARD & ~ScriptFlags.DISCOURAGE_UPGRADABLE_NOPS,
    *,
    version: int = 1,
    limits: ScriptLimits = POLICY_LIMITS,
) -> str:
    """``OK``, or the node's name of the failure, of scripts in the notation of the node's files."""
    case = ScriptCase(parse_script(unlocking), parse_script(locking), flags, "", 0, version, "")
    try:
        verify_script(
            case.unlocking,
            case.locking,
            transaction=case.spending(),
            input_index=0,
            satoshis=0,
            flags=flags,
            limits=limits,
        )
    except ScriptError as error:
        return str(error.reason)
    return "OK"
