"""The key operations: public keys, encryption, HMAC, signatures, linkage (BRC-100; BRC-2, 3, 42, 43, 56, 69, 72)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sdk.core.wallet.fields import (
    Counterparty,
    Flag,
    Hash32,
    KeyID,
    PlainBytes,
    PlainText,
    ProtocolID,
    PublicKeyHex,
)
from sdk.core.wallet.model import WalletModel
from sdk.core.wire import NumberBytes


class PrivilegedArgs(WalletModel):
    privileged: Flag = False
    privileged_reason: PlainText | None = None


class DerivationArgs(PrivilegedArgs):
    """Which BRC-43 key. ``counterparty`` ``None`` means the method's own default."""

    protocol_id: ProtocolID = Field(validation_alias="protocolID", serialization_alias="protocolID")
    key_id: KeyID = Field(validation_alias="keyID", serialization_alias="keyID")
    counterparty: Counterparty | None = None
    seek_permission: Flag = True


class GetPublicKeyArgs(PrivilegedArgs):
    """Either ``identity_key``, or ``protocol_id`` and ``key_id``."""

    identity_key: Flag = False
    protocol_id: ProtocolID | None = Field(
        default=None, validation_alias="protocolID", serialization_alias="protocolID"
    )
    key_id: KeyID | None = Field(default=None, validation_alias="keyID", serialization_alias="keyID")
    counterparty: Counterparty | None = None
    for_self: Flag = False
    seek_permission: Flag = True


class GetPublicKeyResult(WalletModel):
    public_key: str


class EncryptArgs(DerivationArgs):
    plaintext: PlainBytes


class EncryptResult(WalletModel):
    ciphertext: NumberBytes


class DecryptArgs(DerivationArgs):
    ciphertext: PlainBytes


class DecryptResult(WalletModel):
    plaintext: NumberBytes


class CreateHmacArgs(DerivationArgs):
    data: PlainBytes


class CreateHmacResult(WalletModel):
    hmac: NumberBytes


class VerifyHmacArgs(DerivationArgs):
    data: PlainBytes
    hmac: PlainBytes


class VerifyHmacResult(WalletModel):
    valid: Literal[True] = True


class CreateSignatureArgs(DerivationArgs):
    """One of ``data`` (hashed with SHA-256) and ``hash_to_directly_sign``."""

    data: PlainBytes | None = None
    hash_to_directly_sign: Hash32 | None = None


class CreateSignatureResult(WalletModel):
    """DER."""

    signature: NumberBytes


class VerifySignatureArgs(DerivationArgs):
    signature: PlainBytes
    data: PlainBytes | None = None
    hash_to_directly_verify: Hash32 | None = None
    for_self: Flag = False


class VerifySignatureResult(WalletModel):
    valid: Literal[True] = True


class RevealCounterpartyKeyLinkageArgs(PrivilegedArgs):
    counterparty: PublicKeyHex
    verifier: PublicKeyHex


class RevealSpecificKeyLinkageArgs(PrivilegedArgs):
    counterparty: Counterparty
    verifier: PublicKeyHex
    protocol_id: ProtocolID = Field(validation_alias="protocolID", serialization_alias="protocolID")
    key_id: KeyID = Field(validation_alias="keyID", serialization_alias="keyID")


class RevealCounterpartyKeyLinkageResult(WalletModel):
    """``revelation_time`` is ISO-8601 UTC."""

    encrypted_linkage: NumberBytes
    encrypted_linkage_proof: NumberBytes
    prover: str
    verifier: str
    counterparty: str
    revelation_time: str


class RevealSpecificKeyLinkageResult(WalletModel):
    encrypted_linkage: NumberBytes
    encrypted_linkage_proof: NumberBytes
    prover: str
    verifier: str
    counterparty: str
    protocol_id: ProtocolID = Field(validation_alias="protocolID", serialization_alias="protocolID")
    key_id: str = Field(validation_alias="keyID", serialization_alias="keyID")
    proof_type: Annotated[int, Field(ge=0, le=255)] = 0
