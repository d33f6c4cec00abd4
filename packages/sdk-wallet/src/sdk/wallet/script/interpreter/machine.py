"""The machine that runs one script after another on one stack (spec/consensus.md §4.3, 4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from sdk.core import opcodes as op
from sdk.core.script import decode_number, encode_number
from sdk.wallet.script import limits as bounds
from sdk.wallet.script.errors import ScriptError, ScriptFailure
from sdk.wallet.script.flags import ScriptFlags

if TYPE_CHECKING:
    from sdk.wallet.script.interpreter.context import Spend
    from sdk.wallet.script.interpreter.table import OpcodeTable
    from sdk.wallet.script.limits import ScriptLimits

# Plain integers: an IntFlag costs a microsecond an operation.
_MINIMALDATA = int(ScriptFlags.MINIMALDATA)
_UTXO_AFTER_GENESIS = int(ScriptFlags.UTXO_AFTER_GENESIS)
_UTXO_AFTER_CHRONICLE = int(ScriptFlags.UTXO_AFTER_CHRONICLE)

# Nanoseconds, about what each takes here (see ``ScriptLimits.work``).
_INSTRUCTION_COST = 1_000
_SKIPPED_COST = 500
_READING_COST = 4  # a byte of a number
_WRITING_COST = 2
_SHORT = 8  # numbers whose cost is that of the instruction
TRUE = b"\x01"
FALSE = b""


class Machine:
    """Two stacks of byte strings, the conditionals and counters of the script that runs, and the limits on all of them.

    Handlers of opcodes are functions of the machine; they take operands with ``pop`` and raise through ``fail``.
    """

    __slots__ = (
        "allowed_work",
        "alt",
        "blocked",
        "code",
        "code_start",
        "code_suffix",
        "conditions",
        "elses",
        "flags",
        "instruction",
        "limits",
        "max_memory",
        "max_number",
        "memory",
        "minimal",
        "operations",
        "position",
        "returned",
        "since_genesis",
        "spend",
        "stack",
        "stopped",
        "table",
        "work",
    )

    def __init__(self, spend: Spend, flags: int, limits: ScriptLimits, table: OpcodeTable) -> None:
        self.spend = spend
        self.flags = flags
        self.limits = limits
        self.table = table
        self.minimal = bool(flags & _MINIMALDATA)
        self.since_genesis = bool(flags & _UTXO_AFTER_GENESIS)
        self.max_number = self._max_number()
        self.max_memory = limits.stack_memory
        self.work = self.allowed_work = limits.work if limits.work is not None else 1 << 100
        self.stack: list[bytes] = []
        self.alt: list[bytes] = []
        self.memory = 0
        self._reset(b"", b"")

    def _max_number(self) -> int:
        if not self.since_genesis:
            return bounds.OLD_NUMBER_LENGTH
        if self.flags & _UTXO_AFTER_CHRONICLE:
            return self.limits.chronicle_number_length
        return self.limits.number_length

    def _reset(self, code: bytes, code_suffix: bytes) -> None:
        self.code = code
        self.code_suffix = code_suffix
        self.code_start = 0  # behind the last executed OP_CODESEPARATOR
        self.position = 0  # behind the instruction
        self.instruction = 0
        self.conditions: list[bool] = []
        self.blocked = 0  # conditions that are false
        self.elses: list[bool] = []
        self.operations = 0
        self.returned = False
        self.stopped = False
        for each in self.alt:
            self.memory -= len(each) + bounds.ELEMENT_OVERHEAD
        self.alt.clear()

    # -- what handlers use

    def fail(self, reason: ScriptFailure) -> NoReturn:
        raise ScriptError(reason)

    def push(self, data: bytes) -> None:
        self.memory += len(data) + bounds.ELEMENT_OVERHEAD
        if self.memory > self.max_memory and self.since_genesis:
            raise ScriptError(ScriptFailure.STACK_SIZE)
        self.stack.append(data)

    def push_bool(self, value: bool) -> None:
        self.push(TRUE if value else FALSE)

    def push_number(self, value: int) -> None:
        """A computed number; after Genesis it must not be longer than an operand may be."""
        data = encode_number(value)
        if len(data) > _SHORT:
            self.spend_work(_WRITING_COST * len(data))
        if self.since_genesis and len(data) > self.max_number:
            raise ScriptError(ScriptFailure.SCRIPTNUM_OVERFLOW)
        self.push(data)

    def pop(self) -> bytes:
        """The top item; callers have checked the depth with ``need``."""
        data = self.stack.pop()
        self.memory -= len(data) + bounds.ELEMENT_OVERHEAD
        return data

    def need(self, depth: int) -> None:
        if len(self.stack) < depth:
            raise ScriptError(ScriptFailure.INVALID_STACK_OPERATION)

    def number(self, depth: int, max_length: int | None = None) -> int:
        """The item ``depth`` below the top (1 is the top) as a number; it stays."""
        data = self.stack[-depth]
        if len(data) > (self.max_number if max_length is None else max_length):
            raise ScriptError(ScriptFailure.SCRIPTNUM_OVERFLOW)
        if self.minimal and not is_minimal_number(data):
            raise ScriptError(ScriptFailure.SCRIPTNUM_MINENCODE)
        if len(data) > _SHORT:
            self.spend_work(_READING_COST * len(data))
        return decode_number(data)

    def top_is_true(self) -> bool:
        """Whether the top item is; it stays."""
        self.spend_work(len(self.stack[-1]))
        return is_true(self.stack[-1])

    def spend_work(self, cost: int) -> None:
        self.work -= cost
        if self.work < 0:
            raise ScriptError(ScriptFailure.WORK_LIMIT)

    @property
    def work_done(self) -> int:
        return self.allowed_work - self.work

    def reserve(self, size: int) -> None:
        """Refuse a result of ``size`` bytes before it is made, if the stack cannot hold it."""
        if self.since_genesis and self.memory + size > self.max_memory:
            raise ScriptError(ScriptFailure.STACK_SIZE)
        self.spend_work(size)

    def count_operations(self, count: int) -> None:
        self.operations += count
        limit = self.limits.operations if self.since_genesis else bounds.OLD_OPERATIONS
        if self.operations > limit:
            raise ScriptError(ScriptFailure.OP_COUNT)

    # -- running

    def run(self, code: bytes, name: str, code_suffix: bytes = b"") -> None:
        """Run ``code`` on the stack as it is. Raises ``ScriptError`` with the place.

        ``code_suffix`` is what signatures in it cover beside the rest of ``code``.
        """
        self._reset(code, code_suffix)
        if len(code) > (self.limits.script_size if self.since_genesis else bounds.OLD_SCRIPT_SIZE):
            raise ScriptError(ScriptFailure.SCRIPT_SIZE, name)
        try:
            self._run()
        except ScriptError as error:
            raise ScriptError(error.reason, name, self.instruction) from None

    def _run(self) -> None:
        code, size = self.code, len(self.code)
        while self.position < size:
            self.instruction = self.position
            opcode = code[self.position]
            executing = not self.blocked and (not self.returned or opcode == op.OP_RETURN)
            self.spend_work(_INSTRUCTION_COST if executing else _SKIPPED_COST)
            if opcode <= op.OP_PUSHDATA4:
                data = self._read_push(opcode)
                if executing:
                    if self.minimal and not is_minimal_push(opcode, data):
                        raise ScriptError(ScriptFailure.MINIMALDATA)
                    self.push(data)
            else:
                self.position += 1
                self._step(opcode, executing)
                if self.stopped:
                    return
            if not self.since_genesis and len(self.stack) + len(self.alt) > bounds.OLD_STACK_ITEMS:
                raise ScriptError(ScriptFailure.STACK_SIZE)
        if self.conditions:
            raise ScriptError(ScriptFailure.UNBALANCED_CONDITIONAL)

    def _step(self, opcode: int, executing: bool) -> None:
        if opcode > op.OP_16:
            self.count_operations(1)
        refusal = self.table.refused.get(opcode)  # even where nothing executes
        if refusal is not None:
            raise ScriptError(refusal)
        if executing:
            self.table.handlers[opcode](self)
        else:
            skipped = self.table.when_skipped.get(opcode)
            if skipped is not None:
                skipped(self)

    def _read_push(self, opcode: int) -> bytes:
        code = self.code
        if opcode < op.OP_PUSHDATA1:
            start, length = self.position + 1, opcode
        else:
            start = self.position + 1 + (1 << (opcode - op.OP_PUSHDATA1))
            length = int.from_bytes(code[self.position + 1 : start], "little")
        end = start + length
        if end > len(code):
            raise ScriptError(ScriptFailure.BAD_OPCODE)
        if length > bounds.OLD_ELEMENT_SIZE and not self.since_genesis:
            raise ScriptError(ScriptFailure.PUSH_SIZE)
        self.position = end
        return code[start:end]

    def signed_code(self) -> bytes:
        """What a signature checked now covers of the scripts."""
        self.spend_work(len(self.code) - self.code_start + len(self.code_suffix))
        return self.code[self.code_start :] + self.code_suffix


def is_true(data: bytes) -> bool:
    """False is any number of zero bytes, the last of which may be 0x80."""
    if not data:
        return False
    before_last = len(data) - 1
    return data[-1] not in (0, 0x80) or data.count(0, 0, before_last) != before_last


def is_minimal_number(data: bytes) -> bool:
    if not data or data[-1] & 0x7F:
        return True
    return len(data) > 1 and bool(data[-2] & 0x80)


def is_minimal_push(opcode: int, data: bytes) -> bool:
    size = len(data)
    if size == 0:
        return opcode == op.OP_0
    if size == 1 and (1 <= data[0] <= 16 or data[0] == 0x81):
        return False  # there are opcodes for these
    if size <= 75:
        return opcode == size
    if size <= 0xFF:
        return opcode == op.OP_PUSHDATA1
    return opcode == op.OP_PUSHDATA2 if size <= 0xFFFF else True
