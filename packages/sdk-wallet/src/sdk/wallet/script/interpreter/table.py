"""Which opcode does what, by the era of the output that is spent (spec/consensus.md §4.1)."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, NamedTuple

from sdk.core import opcodes as op
from sdk.wallet.keys.hashes import hash160, hash256, ripemd160, sha256
from sdk.wallet.script.errors import ScriptFailure
from sdk.wallet.script.interpreter import arithmetic, crypto, flow, signatures, splice, stack_ops

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    from sdk.wallet.script.interpreter.machine import Machine

    Handler: TypeAlias = Callable[[Machine], None]


class OpcodeTable(NamedTuple):
    """``handlers`` by opcode; what else runs ``when_skipped``; what is ``refused`` even where nothing executes."""

    handlers: tuple[Handler, ...]
    when_skipped: Mapping[int, Handler]
    refused: Mapping[int, ScriptFailure]


def _pushes(data: bytes) -> Handler:
    def handler(machine: Machine) -> None:
        machine.push(data)

    return handler


_COMMON: dict[int, Handler] = {
    **{opcode: _pushes(data) for opcode, data in flow.small_numbers().items()},
    op.OP_NOP: flow.nothing,
    op.OP_IF: flow.op_if,
    op.OP_NOTIF: flow.op_notif,
    op.OP_ELSE: flow.op_else,
    op.OP_ENDIF: flow.op_endif,
    op.OP_VERIFY: flow.op_verify,
    op.OP_RETURN: flow.op_return,
    op.OP_TOALTSTACK: stack_ops.op_toaltstack,
    op.OP_FROMALTSTACK: stack_ops.op_fromaltstack,
    op.OP_2DROP: stack_ops.op_2drop,
    op.OP_2DUP: stack_ops.op_2dup,
    op.OP_3DUP: stack_ops.op_3dup,
    op.OP_2OVER: stack_ops.op_2over,
    op.OP_2ROT: stack_ops.op_2rot,
    op.OP_2SWAP: stack_ops.op_2swap,
    op.OP_IFDUP: stack_ops.op_ifdup,
    op.OP_DEPTH: stack_ops.op_depth,
    op.OP_DROP: stack_ops.op_drop,
    op.OP_DUP: stack_ops.op_dup,
    op.OP_NIP: stack_ops.op_nip,
    op.OP_OVER: stack_ops.op_over,
    op.OP_PICK: stack_ops.op_pick,
    op.OP_ROLL: stack_ops.op_roll,
    op.OP_ROT: stack_ops.op_rot,
    op.OP_SWAP: stack_ops.op_swap,
    op.OP_TUCK: stack_ops.op_tuck,
    op.OP_CAT: splice.op_cat,
    op.OP_SPLIT: splice.op_split,
    op.OP_NUM2BIN: splice.op_num2bin,
    op.OP_BIN2NUM: splice.op_bin2num,
    op.OP_SIZE: stack_ops.op_size,
    op.OP_INVERT: splice.op_invert,
    op.OP_AND: splice.bitwise(operator.and_),
    op.OP_OR: splice.bitwise(operator.or_),
    op.OP_XOR: splice.bitwise(operator.xor),
    op.OP_EQUAL: splice.op_equal,
    op.OP_EQUALVERIFY: splice.op_equalverify,
    op.OP_1ADD: arithmetic.unary(lambda a: a + 1),
    op.OP_1SUB: arithmetic.unary(lambda a: a - 1),
    op.OP_2MUL: flow.disabled_opcode,
    op.OP_2DIV: flow.disabled_opcode,
    op.OP_NEGATE: arithmetic.unary(operator.neg),
    op.OP_ABS: arithmetic.unary(abs),
    op.OP_NOT: arithmetic.unary(operator.not_),
    op.OP_0NOTEQUAL: arithmetic.unary(operator.truth),
    op.OP_ADD: arithmetic.binary(operator.add),
    op.OP_SUB: arithmetic.binary(operator.sub),
    op.OP_MUL: arithmetic.op_mul,
    op.OP_DIV: arithmetic.op_div,
    op.OP_MOD: arithmetic.op_mod,
    op.OP_LSHIFT: splice.op_lshift,
    op.OP_RSHIFT: splice.op_rshift,
    op.OP_BOOLAND: arithmetic.binary(lambda a, b: a != 0 and b != 0),
    op.OP_BOOLOR: arithmetic.binary(lambda a, b: a != 0 or b != 0),
    op.OP_NUMEQUAL: arithmetic.binary(operator.eq),
    op.OP_NUMEQUALVERIFY: arithmetic.op_numequalverify,
    op.OP_NUMNOTEQUAL: arithmetic.binary(operator.ne),
    op.OP_LESSTHAN: arithmetic.binary(operator.lt),
    op.OP_GREATERTHAN: arithmetic.binary(operator.gt),
    op.OP_LESSTHANOREQUAL: arithmetic.binary(operator.le),
    op.OP_GREATERTHANOREQUAL: arithmetic.binary(operator.ge),
    op.OP_MIN: arithmetic.binary(min),
    op.OP_MAX: arithmetic.binary(max),
    op.OP_WITHIN: arithmetic.op_within,
    op.OP_RIPEMD160: crypto.hashing(ripemd160),
    op.OP_SHA1: crypto.hashing(crypto.sha1),
    op.OP_SHA256: crypto.hashing(sha256),
    op.OP_HASH160: crypto.hashing(hash160),
    op.OP_HASH256: crypto.hashing(hash256),
    op.OP_CODESEPARATOR: crypto.op_codeseparator,
    op.OP_CHECKSIG: signatures.op_checksig,
    op.OP_CHECKSIGVERIFY: signatures.op_checksigverify,
    op.OP_CHECKMULTISIG: signatures.op_checkmultisig,
    op.OP_CHECKMULTISIGVERIFY: signatures.op_checkmultisigverify,
    **dict.fromkeys(range(op.OP_NOP1, op.OP_NOP10 + 1), flow.upgradable_nothing),
    op.OP_CHECKLOCKTIMEVERIFY: flow.op_checklocktimeverify,
    op.OP_CHECKSEQUENCEVERIFY: flow.op_checksequenceverify,
}

_CHRONICLE: dict[int, Handler] = {
    op.OP_VER: flow.op_ver,
    op.OP_VERIF: flow.op_verif,
    op.OP_VERNOTIF: flow.op_vernotif,
    op.OP_2MUL: arithmetic.unary(lambda a: a << 1),
    op.OP_2DIV: arithmetic.op_2div,
    op.OP_SUBSTR: splice.op_substr,
    op.OP_LEFT: splice.op_left,
    op.OP_RIGHT: splice.op_right,
    op.OP_LSHIFTNUM: arithmetic.op_lshiftnum,
    op.OP_RSHIFTNUM: arithmetic.op_rshiftnum,
}

_WHEN_SKIPPED: dict[int, Handler] = {
    op.OP_IF: flow.skipped_if,
    op.OP_NOTIF: flow.skipped_if,
    op.OP_ELSE: flow.op_else,
    op.OP_ENDIF: flow.op_endif,
}


def _handlers(chosen: Mapping[int, Handler]) -> tuple[Handler, ...]:
    return tuple(chosen.get(opcode, flow.bad_opcode) for opcode in range(256))


BEFORE_GENESIS = OpcodeTable(
    _handlers(_COMMON),
    _WHEN_SKIPPED,
    {
        op.OP_2MUL: ScriptFailure.DISABLED_OPCODE,
        op.OP_2DIV: ScriptFailure.DISABLED_OPCODE,
        op.OP_VERIF: ScriptFailure.BAD_OPCODE,
        op.OP_VERNOTIF: ScriptFailure.BAD_OPCODE,
    },
)
GENESIS = OpcodeTable(_handlers(_COMMON), _WHEN_SKIPPED, {})
CHRONICLE = OpcodeTable(
    _handlers({**_COMMON, **_CHRONICLE}),
    {**_WHEN_SKIPPED, op.OP_VERIF: flow.skipped_if, op.OP_VERNOTIF: flow.skipped_if},
    {},
)
