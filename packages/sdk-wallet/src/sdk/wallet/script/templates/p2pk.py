"""Pay to public key: <33 or 65 bytes> CHECKSIG."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core import opcodes as op
from sdk.core.errors import InvalidPublicKey
from sdk.core.script import Script, push
from sdk.wallet.keys.public_key import PublicKey
from sdk.wallet.script import sighash
from sdk.wallet.script.errors import TemplateError
from sdk.wallet.script.templates.signing import sign

if TYPE_CHECKING:
    from sdk.wallet.keys import PrivateKey
    from sdk.wallet.script.templates.signing import Coin

UNLOCKING_SIZE = 73


def lock(key: PublicKey) -> Script:
    return Script(push(key.to_bytes()) + bytes((op.OP_CHECKSIG,)))


def unlock(key: PrivateKey, coin: Coin, sighash_type: int = sighash.DEFAULT) -> Script:
    return Script(push(sign(key, coin, sighash_type)))


def decode(script: Script) -> PublicKey:
    """The key, in whichever form it stands there. Raises ``TemplateError``."""
    data = script.data
    if len(data) not in (35, 67) or data[0] != len(data) - 2 or data[-1] != op.OP_CHECKSIG:
        raise TemplateError("P2PK script", "it is not <public key> CHECKSIG")
    try:
        return PublicKey.from_any_encoding(data[1:-1])
    except InvalidPublicKey as error:
        raise TemplateError("P2PK script", str(error), 1) from None
