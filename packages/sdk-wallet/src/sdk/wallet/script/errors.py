"""What can go wrong with scripts.

SdkError
├─ ScriptError            a script that does not unlock; ``reason`` is the node's name for it
├─ TemplateError          bytes that are not the script a template decodes (ParseError)
└─ SpvError               a BEEF that proves nothing; ``reason``, and the transaction and input at fault
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sdk.core.errors import ParseError, SdkError


class ScriptFailure(StrEnum):
    """Why a script fails, by the node's names (spec/consensus.md §4.8)."""

    UNKNOWN_ERROR = "UNKNOWN_ERROR"
    EVAL_FALSE = "EVAL_FALSE"
    OP_RETURN = "OP_RETURN"
    SCRIPT_SIZE = "SCRIPT_SIZE"
    PUSH_SIZE = "PUSH_SIZE"
    OP_COUNT = "OP_COUNT"
    STACK_SIZE = "STACK_SIZE"
    SIG_COUNT = "SIG_COUNT"
    PUBKEY_COUNT = "PUBKEY_COUNT"
    OPERAND_SIZE = "OPERAND_SIZE"
    INVALID_NUMBER_RANGE = "INVALID_NUMBER_RANGE"
    SPLIT_RANGE = "SPLIT_RANGE"
    IMPOSSIBLE_ENCODING = "IMPOSSIBLE_ENCODING"
    SCRIPTNUM_OVERFLOW = "SCRIPTNUM_OVERFLOW"
    SCRIPTNUM_MINENCODE = "SCRIPTNUM_MINENCODE"
    VERIFY = "VERIFY"
    EQUALVERIFY = "EQUALVERIFY"
    NUMEQUALVERIFY = "NUMEQUALVERIFY"
    CHECKSIGVERIFY = "CHECKSIGVERIFY"
    CHECKMULTISIGVERIFY = "CHECKMULTISIGVERIFY"
    BAD_OPCODE = "BAD_OPCODE"
    DISABLED_OPCODE = "DISABLED_OPCODE"
    INVALID_STACK_OPERATION = "INVALID_STACK_OPERATION"
    INVALID_ALTSTACK_OPERATION = "INVALID_ALTSTACK_OPERATION"
    UNBALANCED_CONDITIONAL = "UNBALANCED_CONDITIONAL"
    DIV_BY_ZERO = "DIV_BY_ZERO"
    MOD_BY_ZERO = "MOD_BY_ZERO"
    NEGATIVE_LOCKTIME = "NEGATIVE_LOCKTIME"
    UNSATISFIED_LOCKTIME = "UNSATISFIED_LOCKTIME"
    SIG_HASHTYPE = "SIG_HASHTYPE"
    SIG_DER = "SIG_DER"
    SIG_HIGH_S = "SIG_HIGH_S"
    SIG_NULLDUMMY = "SIG_NULLDUMMY"
    NULLFAIL = "NULLFAIL"
    PUBKEYTYPE = "PUBKEYTYPE"
    NONCOMPRESSED_PUBKEY = "NONCOMPRESSED_PUBKEY"
    ILLEGAL_FORKID = "ILLEGAL_FORKID"
    MISSING_FORKID = "MISSING_FORKID"
    ILLEGAL_CHRONICLE = "ILLEGAL_CHRONICLE"
    MINIMALDATA = "MINIMALDATA"
    MINIMALIF = "MINIMALIF"
    SIG_PUSHONLY = "SIG_PUSHONLY"
    CLEANSTACK = "CLEANSTACK"
    DISCOURAGE_UPGRADABLE_NOPS = "DISCOURAGE_UPGRADABLE_NOPS"
    BIG_INT = "BIG_INT"
    INVALID_FLAGS = "INVALID_FLAGS"
    WORK_LIMIT = "WORK_LIMIT"
    """Ours alone: the script would keep the processor busy for too long (the node has a clock for this)."""


class ScriptError(SdkError):
    """A script fails: ``unlocking``, ``locking`` or ``redeem``, at the instruction that begins at byte ``position``."""

    code = "ERR_SCRIPT"

    def __init__(self, reason: ScriptFailure, script: str | None = None, position: int | None = None) -> None:
        self.reason, self.script, self.position = reason, script, position
        super().__init__(reason, script, position)

    def __str__(self) -> str:
        if self.script is None:
            return f"script failure {self.reason}"
        where = "" if self.position is None else f" at byte {self.position}"
        return f"script failure {self.reason} in the {self.script} script{where}"


class TemplateError(ParseError):
    """A script that does not have the shape of this template."""

    code = "ERR_TEMPLATE"


class SpvFailure(StrEnum):
    """Why a BEEF proves nothing."""

    MISSING_SUBJECT = "missing-subject"
    MISSING_ANCESTOR = "missing-ancestor"
    MISSING_OUTPUT = "missing-output"
    INVALID_PROOF = "invalid-proof"
    WRONG_ROOT = "wrong-root"
    INVALID_TRANSACTION = "invalid-transaction"
    """A rule of its own is broken (spec/consensus.md §5.1): no inputs, amounts out of range, an input twice, …"""
    UNPROVEN_COINBASE = "unproven-coinbase"
    IMMATURE_COINBASE = "immature-coinbase"
    DOUBLE_SPEND = "double-spend"
    OUTPUTS_ABOVE_INPUTS = "outputs-above-inputs"
    FEE_TOO_LOW = "fee-too-low"
    SCRIPT = "script"


class SpvError(SdkError):
    """A BEEF is refused. ``txid`` is the transaction at fault, ``input_index`` its input where one is to blame."""

    code = "ERR_SPV"

    def __init__(self, reason: SpvFailure, txid: str, detail: str, input_index: int | None = None) -> None:
        self.reason, self.txid, self.detail, self.input_index = reason, txid, detail, input_index
        super().__init__(reason, txid, detail, input_index)

    def __str__(self) -> str:
        where = "" if self.input_index is None else f", input {self.input_index}"
        return f"transaction {self.txid}{where}: {self.detail} ({self.reason})"

    def to_wire(self) -> dict[str, Any]:
        return {**super().to_wire(), "reason": self.reason.value, "txid": self.txid}
