"""Signature checks: encodings, the digest's script, OP_CHECKSIG and OP_CHECKMULTISIG (spec/consensus.md §4.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.script import push
from sdk.wallet.keys import curve
from sdk.wallet.keys.signature import is_strict_der
from sdk.wallet.script import limits as bounds
from sdk.wallet.script import sighash
from sdk.wallet.script.errors import ScriptFailure as F
from sdk.wallet.script.flags import ScriptFlags
from sdk.wallet.script.interpreter.lax_der import parse_lax_der

if TYPE_CHECKING:
    from sdk.wallet.script.interpreter.machine import Machine

_STRICTENC = int(ScriptFlags.STRICTENC)
_LOW_S = int(ScriptFlags.LOW_S)
_ANY_DER = int(ScriptFlags.DERSIG | ScriptFlags.LOW_S | ScriptFlags.STRICTENC)
_COMPRESSED = int(ScriptFlags.COMPRESSED_PUBKEYTYPE)
_FORKID = int(ScriptFlags.SIGHASH_FORKID)
_CHRONICLE = int(ScriptFlags.CHRONICLE)
_NULLFAIL = int(ScriptFlags.NULLFAIL)
_NULLDUMMY = int(ScriptFlags.NULLDUMMY)
_COUNT_LENGTH = 4
_CHECK_COST = 70_000
_SCAN_COST = 150
_TAKING_APART_COST = 10
_MODIFIERS = sighash.CHRONICLE | sighash.FORKID | sighash.ANYONECANPAY


def op_checksig(machine: Machine) -> None:
    machine.need(2)
    signature, key = machine.stack[-2], machine.stack[-1]
    check_signature_encoding(machine, signature)
    check_key_encoding(machine, key)
    valid = False
    if signature:
        code = without_signature(machine, machine.signed_code(), signature)
        valid = is_signed(machine, signature, key, code)
        if not valid and machine.flags & _NULLFAIL:
            machine.fail(F.NULLFAIL)
    machine.pop()
    machine.pop()
    machine.push_bool(valid)


def op_checksigverify(machine: Machine) -> None:
    op_checksig(machine)
    if not machine.stack[-1]:
        machine.fail(F.CHECKSIGVERIFY)
    machine.pop()


def op_checkmultisig(machine: Machine) -> None:
    keys_count = _count(machine, 1, F.PUBKEY_COUNT)
    if keys_count > (machine.limits.multisig_keys if machine.since_genesis else bounds.OLD_MULTISIG_KEYS):
        machine.fail(F.PUBKEY_COUNT)
    machine.count_operations(keys_count)
    signatures_count = _count(machine, keys_count + 2, F.SIG_COUNT)
    if signatures_count > keys_count:
        machine.fail(F.SIG_COUNT)
    machine.need(keys_count + signatures_count + 2)
    stack = machine.stack
    first_key, first_signature = 2, keys_count + 3  # from the top, 1 being the top
    keys = [stack[-first_key - index] for index in range(keys_count)]
    signatures = [stack[-first_signature - index] for index in range(signatures_count)]
    valid = _check_pairs(machine, signatures, keys)
    for _ in range(keys_count + 2):
        machine.pop()
    for signature in signatures:
        if signature and not valid and machine.flags & _NULLFAIL:
            machine.fail(F.NULLFAIL)
        machine.pop()
    machine.need(1)  # the item that is taken though nothing needs it
    if machine.stack[-1] and machine.flags & _NULLDUMMY:
        machine.fail(F.SIG_NULLDUMMY)
    machine.pop()
    machine.push_bool(valid)


def op_checkmultisigverify(machine: Machine) -> None:
    op_checkmultisig(machine)
    if not machine.stack[-1]:
        machine.fail(F.CHECKMULTISIGVERIFY)
    machine.pop()


def _count(machine: Machine, depth: int, negative: F) -> int:
    machine.need(depth)
    count = machine.number(depth, _COUNT_LENGTH)
    if count < 0:
        machine.fail(negative)
    return count


def _check_pairs(machine: Machine, signatures: list[bytes], keys: list[bytes]) -> bool:
    """Match signatures to keys in order, both from the top; encodings are checked only of pairs that are compared."""
    code = machine.signed_code()
    for signature in signatures:
        code = without_signature(machine, code, signature)
    next_signature, next_key = 0, 0
    while next_signature < len(signatures):
        if len(signatures) - next_signature > len(keys) - next_key:
            return False
        signature, key = signatures[next_signature], keys[next_key]
        check_signature_encoding(machine, signature)
        check_key_encoding(machine, key)
        if is_signed(machine, signature, key, code):
            next_signature += 1
        next_key += 1
    return True


def check_signature_encoding(machine: Machine, signature: bytes) -> None:
    """The empty signature is well-formed, and false."""
    flags = machine.flags
    if not signature:
        return
    if flags & _ANY_DER and not is_strict_der(signature[:-1]):
        machine.fail(F.SIG_DER)
    if flags & _LOW_S and parse_lax_der(signature[:-1])[1] > curve.HALF_ORDER:
        machine.fail(F.SIG_HIGH_S)
    if flags & _STRICTENC:
        _check_type(machine, signature[-1])


def _check_type(machine: Machine, sighash_type: int) -> None:
    flags = machine.flags
    if not sighash.ALL <= sighash_type & ~_MODIFIERS <= sighash.SINGLE:
        machine.fail(F.SIG_HASHTYPE)
    if sighash_type & sighash.FORKID and not flags & _FORKID:
        machine.fail(F.ILLEGAL_FORKID)
    if sighash_type & sighash.CHRONICLE and not flags & _CHRONICLE:
        machine.fail(F.ILLEGAL_CHRONICLE)
    if flags & _FORKID and not sighash_type & sighash.FORKID:
        machine.fail(F.MISSING_FORKID)


def check_key_encoding(machine: Machine, key: bytes) -> None:
    compressed = len(key) == 33 and key[0] in (2, 3)
    if machine.flags & _STRICTENC and not compressed and not (len(key) == 65 and key[0] == 4):
        machine.fail(F.PUBKEYTYPE)
    if machine.flags & _COMPRESSED and not compressed:
        machine.fail(F.NONCOMPRESSED_PUBKEY)


def is_signed(machine: Machine, signature: bytes, key: bytes, code: bytes) -> bool:
    if not signature or not _has_key_shape(key):
        return False
    machine.spend_work(_CHECK_COST + 3 * (len(code) + machine.spend.hasher.size))
    forkid = bool(machine.flags & _FORKID)
    if sighash.is_original(signature[-1], forkid=forkid):
        machine.spend_work(_SCAN_COST * len(code) + _TAKING_APART_COST * machine.spend.hasher.size)
    try:
        point = curve.parse_point(key)
    except ValueError:
        return False
    r, s = parse_lax_der(signature[:-1])
    if not (0 < r < curve.ORDER and 0 < s < curve.ORDER):
        return False
    digest = machine.spend.hasher.digest(
        machine.spend.input_index,
        code,
        machine.spend.satoshis,
        signature[-1],
        forkid=forkid,
    )
    return curve.verify_compact(point, r.to_bytes(32, "big") + s.to_bytes(32, "big"), digest)


def _has_key_shape(key: bytes) -> bool:
    """Whether the length is what the first byte promises (hybrid keys, 06 and 07, included)."""
    if not key:
        return False
    return len(key) == (33 if key[0] in (2, 3) else 65 if key[0] in (4, 6, 7) else -1)


def without_signature(machine: Machine, code: bytes, signature: bytes) -> bytes:
    """Signatures of before FORKID are cut out of the script they sign."""
    if machine.flags & _FORKID and signature and signature[-1] & sighash.FORKID:
        return code
    machine.spend_work(_SCAN_COST * len(code))
    return find_and_delete(code, push(signature))


def find_and_delete(code: bytes, pattern: bytes) -> bytes:
    """``code`` without ``pattern`` wherever an instruction begins with it."""
    if pattern not in code:
        return code
    kept: list[bytes] = []
    start = position = 0
    size = len(code)
    while position < size:
        if code.startswith(pattern, position):
            kept.append(code[start:position])
            position += len(pattern)
            start = position
            continue
        position, complete = sighash.instruction_end(code, position)
        if not complete:
            break
    kept.append(code[start:])
    return b"".join(kept)
