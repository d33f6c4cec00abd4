"""PushDrop tokens (BRC-48): fields that are pushed and dropped, beside a public key lock (spec/wallet-stack.md §8).

    before: <33 bytes> CHECKSIG <field> … 2DROP … DROP
    after:  <field> … 2DROP … DROP <33 bytes> CHECKSIG

Each field is a minimal push. The one-byte field 00 is pushed as such and not as OP_0, which is the empty field; the
reference writes OP_0 for both, and so cannot tell them apart when it reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from sdk.core import opcodes as op
from sdk.core.errors import InvalidPublicKey, ParseError
from sdk.core.script import Script, push, push_minimal
from sdk.core.wallet.keys import CreateSignatureArgs, GetPublicKeyArgs
from sdk.wallet.keys import operations
from sdk.wallet.keys.public_key import PublicKey
from sdk.wallet.script import sighash
from sdk.wallet.script.errors import TemplateError
from sdk.wallet.script.templates.fields import field_of
from sdk.wallet.script.templates.signing import digest, sign

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol, TypeAlias

    from sdk.core.script import ScriptChunk
    from sdk.core.wallet.keys import CreateSignatureResult, GetPublicKeyResult
    from sdk.wallet.keys import KeyDeriver, PrivateKey
    from sdk.wallet.keys.deriver import Counterparty
    from sdk.wallet.keys.protocol import ProtocolID
    from sdk.wallet.script.templates.signing import Coin

    LockPosition: TypeAlias = Literal["before", "after"]

    class Signer(Protocol):
        """The part of a BRC-100 wallet that tokens need."""

        async def get_public_key(self, args: GetPublicKeyArgs, originator: str | None = None) -> GetPublicKeyResult: ...

        async def create_signature(
            self, args: CreateSignatureArgs, originator: str | None = None
        ) -> CreateSignatureResult: ...


UNLOCKING_SIZE = 73
_WHAT = "PushDrop script"


class PushDropToken(NamedTuple):
    """What a token says. A signature, where one was included, is the last of ``fields``."""

    locking_key: PublicKey
    fields: tuple[bytes, ...]
    position: LockPosition


def lock(fields: Sequence[bytes], key: PublicKey, position: LockPosition = "before") -> Script:
    """Raises ``ValueError`` without a field."""
    if not fields:
        raise ValueError("a PushDrop script has at least one field")
    lock_part = push(key.to_bytes()) + bytes((op.OP_CHECKSIG,))
    drops = bytes((op.OP_2DROP,)) * (len(fields) // 2) + bytes((op.OP_DROP,)) * (len(fields) % 2)
    token_part = b"".join(map(push_minimal, fields)) + drops
    return Script(lock_part + token_part if position == "before" else token_part + lock_part)


def lock_with_keys(
    deriver: KeyDeriver,
    fields: Sequence[bytes],
    *,
    protocol_id: ProtocolID,
    key_id: str,
    counterparty: Counterparty,
    for_self: bool = False,
    include_signature: bool = True,
    position: LockPosition = "before",
) -> Script:
    """Locked to a derived key, with a signature over the joined fields as last one. Raises ``InvalidParameter``."""
    key = deriver.derive_public_key(protocol_id, key_id, counterparty, for_self)
    signed = list(fields)
    if include_signature:
        signed.append(
            operations.create_signature(
                deriver, b"".join(fields), protocol_id=protocol_id, key_id=key_id, counterparty=counterparty
            )
        )
    return lock(signed, key, position)


async def lock_with_wallet(
    wallet: Signer,
    fields: Sequence[bytes],
    *,
    protocol_id: tuple[int, str],
    key_id: str,
    counterparty: str,
    for_self: bool = False,
    include_signature: bool = True,
    position: LockPosition = "before",
    originator: str | None = None,
) -> Script:
    """The same through a BRC-100 wallet; whatever it raises comes through."""
    named = GetPublicKeyArgs(protocol_id=protocol_id, key_id=key_id, counterparty=counterparty, for_self=for_self)
    key = PublicKey.from_hex((await wallet.get_public_key(named, originator)).public_key)
    signed = list(fields)
    if include_signature:
        request = CreateSignatureArgs(
            protocol_id=protocol_id, key_id=key_id, counterparty=counterparty, data=b"".join(fields)
        )
        signed.append((await wallet.create_signature(request, originator)).signature)
    return lock(signed, key, position)


def unlock(key: PrivateKey, coin: Coin, sighash_type: int = sighash.DEFAULT) -> Script:
    """At most 73 bytes."""
    return Script(push(sign(key, coin, sighash_type)))


async def unlock_with_wallet(
    wallet: Signer,
    coin: Coin,
    *,
    protocol_id: tuple[int, str],
    key_id: str,
    counterparty: str,
    sighash_type: int = sighash.DEFAULT,
    originator: str | None = None,
) -> Script:
    """The same through a BRC-100 wallet; whatever it raises comes through."""
    request = CreateSignatureArgs(
        protocol_id=protocol_id,
        key_id=key_id,
        counterparty=counterparty,
        hash_to_directly_sign=digest(coin, sighash_type),
    )
    signature = (await wallet.create_signature(request, originator)).signature
    return Script(push(signature + bytes((sighash_type,))))


def decode(script: Script) -> PushDropToken:
    """The token, wherever its lock stands. Raises ``TemplateError`` with the offset for anything else."""
    try:
        chunks = script.chunks()
    except ParseError as error:
        raise TemplateError(_WHAT, error.reason, error.offset) from None
    if len(chunks) < 4:
        raise TemplateError(_WHAT, "it is too short to hold a key, a field and a drop")
    if chunks[1].opcode == op.OP_CHECKSIG:
        return PushDropToken(_key(chunks[0]), _fields(chunks[2:]), "before")
    if chunks[-1].opcode == op.OP_CHECKSIG:
        return PushDropToken(_key(chunks[-2]), _fields(chunks[:-2]), "after")
    raise TemplateError(_WHAT, "CHECKSIG stands neither behind the first push nor at the end")


def _key(chunk: ScriptChunk) -> PublicKey:
    try:
        return PublicKey(chunk.data or b"")
    except InvalidPublicKey:
        raise TemplateError(_WHAT, "a compressed public key must stand here", chunk.offset) from None


def _fields(chunks: Sequence[ScriptChunk]) -> tuple[bytes, ...]:
    """The pushes, of which the drops behind them must leave none."""
    count = next((i for i, chunk in enumerate(chunks) if chunk.opcode in (op.OP_DROP, op.OP_2DROP)), len(chunks))
    dropped = 0
    for chunk in chunks[count:]:
        if chunk.opcode not in (op.OP_DROP, op.OP_2DROP):
            raise TemplateError(_WHAT, "only drops may stand behind the fields", chunk.offset)
        dropped += 2 if chunk.opcode == op.OP_2DROP else 1
    if not count or dropped != count:
        raise TemplateError(_WHAT, f"it pushes {count} fields and drops {dropped}")
    return tuple(field_of(chunk, _WHAT) for chunk in chunks[:count])
