"""Bare multisig: m <key> … <key> n CHECKMULTISIG."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sdk.core import opcodes as op
from sdk.core.errors import InvalidPublicKey, ParseError
from sdk.core.script import Script, decode_number, push, push_number
from sdk.wallet.keys.public_key import PublicKey
from sdk.wallet.script import sighash
from sdk.wallet.script.errors import TemplateError
from sdk.wallet.script.templates.signing import MAX_SIGNATURE_SIZE, sign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.script import ScriptChunk
    from sdk.wallet.keys import PrivateKey
    from sdk.wallet.script.templates.signing import Coin

_WHAT = "multisig script"


class Multisig(NamedTuple):
    """``required`` signatures of these keys, in their order."""

    required: int
    keys: tuple[PublicKey, ...]


def lock(required: int, keys: Sequence[PublicKey]) -> Script:
    """Raises ``ValueError`` unless 1 ≤ required ≤ number of keys."""
    if not 1 <= required <= len(keys):
        raise ValueError(f"{required} of {len(keys)} signatures cannot be required")
    parts = [push_number(required), *(push(key.to_bytes()) for key in keys), push_number(len(keys))]
    return Script(b"".join(parts) + bytes((op.OP_CHECKMULTISIG,)))


def unlocking_size(required: int) -> int:
    """Bytes of the unlocking script, for fees before it is there."""
    return 1 + required * (1 + MAX_SIGNATURE_SIZE)


def unlock(keys: Sequence[PrivateKey], coin: Coin, sighash_type: int = sighash.DEFAULT) -> Script:
    """Signed by as many of ``keys`` as are required, in the order of the locking script.

    Raises ``ValueError`` if too few of the keys belong to it, ``TemplateError`` if it is no multisig script.
    """
    wanted = decode(coin.locking_script)
    by_public = {key.public_key: key for key in keys}
    signers = [by_public[key] for key in wanted.keys if key in by_public][: wanted.required]
    if len(signers) < wanted.required:
        raise ValueError(f"{wanted.required} signatures are required, and only {len(signers)} of the keys are at hand")
    return combine([sign(key, coin, sighash_type) for key in signers])


def combine(signatures: Sequence[bytes]) -> Script:
    """Signatures of several parties, already in the order of the keys."""
    return Script(b"\x00" + b"".join(map(push, signatures)))


def decode(script: Script) -> Multisig:
    """Raises ``TemplateError``."""
    try:
        chunks = script.chunks()
    except ParseError as error:
        raise TemplateError(_WHAT, error.reason, error.offset) from None
    if len(chunks) < 4 or chunks[-1].opcode != op.OP_CHECKMULTISIG:
        raise TemplateError(_WHAT, "it does not end with CHECKMULTISIG")
    required, count = _number(chunks[0]), _number(chunks[-2])
    if count != len(chunks) - 3 or not 1 <= required <= count:
        raise TemplateError(_WHAT, f"it wants {required} of {count} signatures and names {len(chunks) - 3} keys")
    return Multisig(required, tuple(_key(chunk) for chunk in chunks[1:-2]))


def _number(chunk: ScriptChunk) -> int:
    if op.OP_1 <= chunk.opcode <= op.OP_16:
        return chunk.opcode - op.OP_1 + 1
    if chunk.data is None or len(chunk.data) > 4:
        raise TemplateError(_WHAT, "a number must stand here", chunk.offset)
    return decode_number(chunk.data)


def _key(chunk: ScriptChunk) -> PublicKey:
    try:
        return PublicKey.from_any_encoding(chunk.data or b"")
    except InvalidPublicKey:
        raise TemplateError(_WHAT, "a public key must stand here", chunk.offset) from None
