"""PushDrop tokens (BRC-48): fields that are pushed and dropped, beside a public key lock (spec/wallet-stack.md §8).

    before: <33 bytes> CHECKSIG <field> … 2DROP … DROP
    after:  <field> … 2DROP … DROP <33 bytes> CHECKSIG

Each field is a minimal push. The one-byte field 00 is pushed as such and not as OP_0, which is the empty field; the
reference writes OP_0 for both, and so cannot tell them apart when it reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from sdk.core import opcodes as op
from sdk.core.script import Script, push, push_minimal
from sdk.wallet.keys import operations
from sdk.wallet.keys.public_key import PublicKey
from sdk.wallet.script import sighash
from sdk.wallet.script.errors import TemplateError
from sdk.wallet.script.templates.signing import digest, sign

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol, TypeAlias

    from sdk.core.wallet.keys import CreateSignatureArgs, CreateSignatureResult, GetPublicKeyArgs, GetPublicKeyResult
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
_CHECKSIG = bytes((op.OP_CHECKSIG,))
_NUMBERS = {op.OP_1NEGATE: b"\x81", **{op.OP_1 - 1 + value: bytes((value,)) for value in range(1, 17)}}


class PushDropToken(NamedTuple):
    """What a token says. A signature, where one was included, is the last of ``fields``."""

    locking_key_bytes: bytes
    """33 bytes; whether they are a point is seen when ``locking_key`` is asked for."""
    fields: tuple[bytes, ...]
    position: LockPosition

    @property
    def locking_key(self) -> PublicKey:
        """Raises ``InvalidPublicKey``: then nobody can spend the token."""
        return PublicKey(self.locking_key_bytes)


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
    from sdk.core.wallet.keys import CreateSignatureArgs, GetPublicKeyArgs

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
    from sdk.core.wallet.keys import CreateSignatureArgs

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
    data = script.data
    if data[:1] == b"\x21" and data[34:35] == _CHECKSIG:
        fields, end = _read_token(data, 35)
        if end != len(data):
            raise TemplateError(_WHAT, "only drops may stand behind the fields", end)
        return PushDropToken(_key(data, 1), fields, "before")
    fields, end = _read_token(data, 0)
    if len(data) != end + 35 or data[end] != 33 or data[-1:] != _CHECKSIG:
        raise TemplateError(_WHAT, "<public key> CHECKSIG stands neither at the beginning nor at the end", end)
    return PushDropToken(_key(data, end + 1), fields, "after")


def _key(data: bytes, start: int) -> bytes:
    if data[start] not in (2, 3):
        raise TemplateError(_WHAT, "a compressed public key must stand here", start)
    return data[start : start + 33]


def _read_token(data: bytes, position: int) -> tuple[tuple[bytes, ...], int]:
    """The fields that begin at ``position``, and the offset behind the drops, which must leave none."""
    fields: list[bytes] = []
    size = len(data)
    while position < size:
        opcode = data[position]
        if opcode < op.OP_PUSHDATA1:
            start, length = position + 1, opcode
        elif opcode <= op.OP_PUSHDATA4:
            start = position + 1 + (1 << (opcode - op.OP_PUSHDATA1))
            length = int.from_bytes(data[position + 1 : start], "little")
        elif opcode in _NUMBERS:
            fields.append(_NUMBERS[opcode])
            position += 1
            continue
        else:
            break
        position = start + length
        if position > size:
            raise TemplateError(_WHAT, "a push runs past the end", start)
        fields.append(data[start:position])
    return tuple(fields), _skip_drops(data, position, len(fields))


def _skip_drops(data: bytes, position: int, fields: int) -> int:
    left = fields
    while left > 0 and position < len(data):
        opcode = data[position]
        if opcode == op.OP_2DROP:
            left -= 2
        elif opcode == op.OP_DROP:
            left -= 1
        else:
            break
        position += 1
    if left or not fields:
        raise TemplateError(_WHAT, f"it pushes {fields} fields and does not drop just as many", position)
    return position
