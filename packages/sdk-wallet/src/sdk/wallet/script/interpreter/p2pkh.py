"""The short way for what nearly every input is: a P2PKH output unlocked by one signature and one compressed key.

It says yes only where the machine would; everything else, and every failure, is the machine's to name.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sdk.core.encodings import hash256
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


@lru_cache(maxsize=256)  # a payee's inputs often share their key
def _paid_by(key: bytes) -> tuple[bytes, curve.Point]:
    """The locking script and the point of a compressed key. Raises ``ValueError`` if there is no such point."""
    return b"\x76\xa9\x14" + hash160(key) + b"\x88\xac", curve.parse_point(key)


def is_simple_spend(
    unlocking: bytes, locking: bytes, hasher: SignatureHasher, input_index: int, satoshis: int, flags: int
) -> bool:
    """Whether this is such a spend, and valid under every flag that may be set beside FORKID."""
    if len(locking) != 25 or not flags & _FORKID:
        return False
    signature_end = len(unlocking) - _KEY_PUSH
    if not 10 <= signature_end <= 74 or unlocking[0] != signature_end - 1 or unlocking[signature_end] != 33:
        return False
    key = unlocking[signature_end + 1 :]
    sighash_type = unlocking[signature_end - 1]
    if key[0] not in (2, 3) or sighash_type not in _FORKID_TYPES:
        return False
    try:
        expected, point = _paid_by(key)
    except ValueError:
        return False
    if locking != expected:
        return False
    digest = hash256(hasher.preimage(input_index, locking, satoshis, sighash_type))
    return curve.verify(point, unlocking[1 : signature_end - 1], digest)
