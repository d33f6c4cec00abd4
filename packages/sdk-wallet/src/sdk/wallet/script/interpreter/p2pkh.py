"""The short way for what nearly every input is: a P2PKH output unlocked by one signature and one compressed key.

It says yes only where the machine would; everything else, and every failure, is the machine's to name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.wallet.keys import curve
from sdk.wallet.keys.hashes import hash160
from sdk.wallet.script import sighash
from sdk.wallet.script.flags import ScriptFlags

if TYPE_CHECKING:
    from sdk.wallet.script.sighash import SignatureHasher

_FORKID = int(ScriptFlags.SIGHASH_FORKID)
_KEY_PUSH = 34  # 21 and the 33 bytes
_FORKID_TYPES = frozenset(
    base | sighash.FORKID | modifier
    for base in (sighash.ALL, sighash.NONE, sighash.SINGLE)
    for modifier in (0, sighash.ANYONECANPAY)
)


def is_simple_spend(
    unlocking: bytes, locking: bytes, hasher: SignatureHasher, input_index: int, satoshis: int, flags: int
) -> bool:
    """Whether this is such a spend, and valid under every flag that may be set beside FORKID."""
    if len(locking) != 25 or locking[:3] != b"\x76\xa9\x14" or locking[23:] != b"\x88\xac":
        return False
    size = len(unlocking)
    signature_end = size - _KEY_PUSH
    if not 10 <= signature_end <= 74 or not flags & _FORKID:
        return False
    if unlocking[0] != signature_end - 1 or unlocking[signature_end] != 33:
        return False
    key = unlocking[signature_end + 1 :]
    sighash_type = unlocking[signature_end - 1]
    if key[0] not in (2, 3) or sighash_type not in _FORKID_TYPES or hash160(key) != locking[3:23]:
        return False
    try:
        point = curve.parse_point(key)
    except ValueError:
        return False
    digest = hasher.digest(input_index, locking, satoshis, sighash_type)
    return curve.verify(point, unlocking[1 : signature_end - 1], digest)
