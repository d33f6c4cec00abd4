"""The order in which the scripts of an input are run and judged (spec/consensus.md §4.3)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sdk.core.script import Script
from sdk.wallet.script.errors import ScriptError, ScriptFailure
from sdk.wallet.script.flags import STANDARD, ScriptFlags
from sdk.wallet.script.interpreter import p2pkh, table
from sdk.wallet.script.interpreter.context import Spend
from sdk.wallet.script.interpreter.machine import Machine
from sdk.wallet.script.limits import POLICY_LIMITS
from sdk.wallet.script.sighash import SignatureHasher

if TYPE_CHECKING:
    from sdk.core.transaction import Transaction
    from sdk.wallet.script.limits import ScriptLimits

_F = ScriptFlags
_P2SH = int(_F.P2SH)
_STRICTENC = int(_F.STRICTENC)
_DERSIG = int(_F.DERSIG)
_LOW_S = int(_F.LOW_S)
_SIGPUSHONLY = int(_F.SIGPUSHONLY)
_CLEANSTACK = int(_F.CLEANSTACK)
_FORKID = int(_F.SIGHASH_FORKID)
_GENESIS = int(_F.GENESIS)
_CHRONICLE = int(_F.CHRONICLE)
_UTXO_AFTER_GENESIS = int(_F.UTXO_AFTER_GENESIS)
_UTXO_AFTER_CHRONICLE = int(_F.UTXO_AFTER_CHRONICLE)
_MALLEABLE_FREE_OF = int(
    _F.LOW_S | _F.NULLFAIL | _F.MINIMALDATA | _F.NULLDUMMY | _F.CLEANSTACK | _F.MINIMALIF | _F.SIGPUSHONLY
)


def verify_script(
    unlocking: Script,
    locking: Script,
    *,
    transaction: Transaction,
    input_index: int,
    satoshis: int,
    flags: ScriptFlags = STANDARD,
    limits: ScriptLimits = POLICY_LIMITS,
    hasher: SignatureHasher | None = None,
) -> None:
    """Check that ``unlocking``, in input ``input_index`` of ``transaction``, unlocks ``locking`` with its ``satoshis``.

    ``flags`` are by default what a node relays today for an output of today; ``flags.block_flags`` has them by height.
    Pass the ``hasher`` of the transaction when several of its inputs are checked. Raises ``ScriptError`` whose
    ``reason`` is the node's name of the failure.
    """
    if hasher is None:
        hasher = SignatureHasher(transaction)
    verify_input(unlocking.data, locking.data, hasher, input_index, satoshis, int(flags), limits)


def verify_input(
    unlocking: bytes,
    locking: bytes,
    hasher: SignatureHasher,
    input_index: int,
    satoshis: int,
    flags: int,
    limits: ScriptLimits,
) -> int:
    """``verify_script`` on bytes; the work it took (see ``ScriptLimits``). Raises ``ScriptError``."""
    rules = _effective_flags(flags, False)
    if p2pkh.is_simple_spend(unlocking, locking, hasher, input_index, satoshis, rules):
        return 0
    version = hasher.version
    if version > 1:
        rules = _effective_flags(flags, True)
    spend = Spend(hasher, input_index, satoshis, version, hasher.lock_time)
    malleable = version > 1 and bool(rules & _CHRONICLE)
    return _verify(Script(unlocking), Script(locking), spend, rules, limits, malleable=malleable)


@lru_cache(maxsize=256)
def _effective_flags(flags: int, higher_version: bool) -> int:
    """What is left of ``flags``: Chronicle frees higher versions from the rules against malleability."""
    if flags & _UTXO_AFTER_CHRONICLE and not flags & _UTXO_AFTER_GENESIS:
        raise ScriptError(ScriptFailure.INVALID_FLAGS)
    if flags & _CLEANSTACK and not flags & _P2SH:
        raise ScriptError(ScriptFailure.INVALID_FLAGS)
    if flags & _FORKID:
        flags |= _STRICTENC
    if flags & _LOW_S:
        flags |= _DERSIG
    if higher_version and flags & _CHRONICLE:
        flags &= ~_MALLEABLE_FREE_OF
    elif not flags & (_GENESIS | _CHRONICLE):
        flags &= ~_SIGPUSHONLY
    return flags


def _verify(
    unlocking: Script, locking: Script, spend: Spend, flags: int, limits: ScriptLimits, *, malleable: bool
) -> int:
    if flags & _SIGPUSHONLY and not unlocking.is_push_only():
        raise ScriptError(ScriptFailure.SIG_PUSHONLY, "unlocking")
    machine = Machine(spend, flags, limits, _table(flags))
    machine.run(unlocking.data, "unlocking", code_suffix=locking.data if malleable else b"")
    is_script_hash = flags & _P2SH and not flags & _UTXO_AFTER_GENESIS and locking.is_p2sh()
    before = list(machine.stack)
    machine.run(locking.data, "locking")
    _judge(machine, "locking")
    if is_script_hash:
        if not unlocking.is_push_only():
            raise ScriptError(ScriptFailure.SIG_PUSHONLY, "unlocking")
        machine.stack = before
        machine.run(machine.stack.pop(), "redeem")
        _judge(machine, "redeem")
    if flags & _CLEANSTACK and len(machine.stack) != 1:
        raise ScriptError(ScriptFailure.CLEANSTACK, "locking")
    return machine.work_done


def _judge(machine: Machine, name: str) -> None:
    if not machine.stack or not machine.top_is_true():
        raise ScriptError(ScriptFailure.EVAL_FALSE, name)


def _table(flags: int) -> table.OpcodeTable:
    if flags & _UTXO_AFTER_CHRONICLE:
        return table.CHRONICLE
    return table.GENESIS if flags & _UTXO_AFTER_GENESIS else table.BEFORE_GENESIS
