"""R-puzzles: an output for whoever knows the nonce whose point has a given x coordinate (any key may sign).

OVER 3 SPLIT NIP 1 SPLIT SWAP SPLIT DROP [hash] <value> EQUALVERIFY CHECKSIG
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sdk.core import opcodes as op
from sdk.core.errors import ParseError
from sdk.core.script import Script, push
from sdk.wallet.keys import curve
from sdk.wallet.keys.hashes import hash160, hash256, ripemd160, sha256
from sdk.wallet.script import sighash
from sdk.wallet.script.errors import TemplateError
from sdk.wallet.script.interpreter.crypto import sha1
from sdk.wallet.script.templates.signing import digest

if TYPE_CHECKING:
    from sdk.wallet.keys import PrivateKey
    from sdk.wallet.script.templates.signing import Coin

UNLOCKING_SIZE = 107
_WHAT = "R-puzzle script"
_TAKE_R = bytes(
    (op.OP_OVER, op.OP_3, op.OP_SPLIT, op.OP_NIP, op.OP_1, op.OP_SPLIT, op.OP_SWAP, op.OP_SPLIT, op.OP_DROP)
)
_END = bytes((op.OP_EQUALVERIFY, op.OP_CHECKSIG))
_HASHES = {
    "raw": (b"", None),
    "SHA1": (bytes((op.OP_SHA1,)), sha1),
    "SHA256": (bytes((op.OP_SHA256,)), sha256),
    "HASH256": (bytes((op.OP_HASH256,)), hash256),
    "RIPEMD160": (bytes((op.OP_RIPEMD160,)), ripemd160),
    "HASH160": (bytes((op.OP_HASH160,)), hash160),
}


class RPuzzle(NamedTuple):
    """``value``: the r of the signature as DER writes it, or its hash."""

    value: bytes
    hash_name: str


def r_value(nonce: bytes, hash_name: str = "raw") -> bytes:
    """What to lock with, for a 32-byte nonce. Raises ``ValueError`` (the nonce) or ``KeyError`` (the hash)."""
    x = int.from_bytes(curve.serialize_point(curve.public_point(nonce))[1:], "big") % curve.ORDER
    encoded = x.to_bytes(x.bit_length() // 8 + 1, "big")
    compute = _HASHES[hash_name][1]
    return encoded if compute is None else compute(encoded)


def lock(value: bytes, hash_name: str = "raw") -> Script:
    """Raises ``KeyError`` for a hash other than raw, SHA1, SHA256, HASH256, RIPEMD160 and HASH160."""
    return Script(_TAKE_R + _HASHES[hash_name][0] + push(value) + _END)


def unlock(nonce: bytes, key: PrivateKey, coin: Coin, sighash_type: int = sighash.DEFAULT) -> Script:
    """Signed with the nonce; ``key`` should be made for this once, for who knows the nonce can compute it."""
    signature = curve.sign_with_nonce(key.to_bytes(), digest(coin, sighash_type), nonce)
    return Script(push(signature + bytes((sighash_type,))) + push(key.public_key.to_bytes()))


def decode(script: Script) -> RPuzzle:
    """Raises ``TemplateError``."""
    data = script.data
    if not data.startswith(_TAKE_R) or not data.endswith(_END):
        raise TemplateError(_WHAT, "it does not take r out of a signature and compare it")
    try:
        chunks = Script(data[len(_TAKE_R) : -len(_END)]).chunks()
    except ParseError as error:
        raise TemplateError(_WHAT, error.reason, len(_TAKE_R) + (error.offset or 0)) from None
    names = {code[:1]: name for name, (code, _) in _HASHES.items()}
    prefix = b"" if len(chunks) == 1 else bytes((chunks[0].opcode,)) if len(chunks) == 2 else None
    if prefix is None or prefix not in names or not chunks[-1].data:
        raise TemplateError(_WHAT, "a value must stand there, with at most one hash before it")
    return RPuzzle(chunks[-1].data, names[prefix])
