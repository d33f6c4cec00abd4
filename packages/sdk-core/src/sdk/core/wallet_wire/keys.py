"""Calls 8 to 16 and 23 to 28: keys, and the state of the wallet and its chain (BRC-100, binary form)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.errors import InvalidParameter
from sdk.core.wallet_wire.codecs import (
    BOOLEAN,
    BYTE,
    BYTES,
    FLAG,
    KEY,
    NUMBER,
    STRING,
    Counterparty,
    Fixed,
    OneOf,
    ProtocolID,
    Reason,
    Rest,
)
from sdk.core.wallet_wire.forms import HEX, PLAIN, TEXT
from sdk.core.wallet_wire.layout import Choice, members

if TYPE_CHECKING:
    from sdk.core.wallet import CreateSignatureArgs, GetPublicKeyArgs, VerifySignatureArgs

_PROTOCOL, _HASH = ProtocolID(), Fixed(32, PLAIN)
PRIVILEGED = members(privileged=FLAG, privileged_reason=Reason())
_DERIVATION = (*members(protocol_id=_PROTOCOL, key_id=STRING, counterparty=Counterparty()), *PRIVILEGED)
_SEEK = members(seek_permission=FLAG)


def _of_identity(args: GetPublicKeyArgs) -> int:
    return 1 if args.identity_key else 0


def _signed(args: CreateSignatureArgs) -> int:
    return _data_or_hash(args.data, args.hash_to_directly_sign, "hashToDirectlySign")


def _verified(args: VerifySignatureArgs) -> int:
    return _data_or_hash(args.data, args.hash_to_directly_verify, "hashToDirectlyVerify")


def _data_or_hash(data: bytes | None, digest: bytes | None, name: str) -> int:
    if (data is None) == (digest is None):
        raise InvalidParameter("data", f"present, or {name}, but not both")
    return 1 if digest is None else 2


GET_PUBLIC_KEY = (
    Choice(
        "identityKey",
        _of_identity,
        {1: ({"identity_key": True}, PRIVILEGED), 0: ({}, (*_DERIVATION, *members(for_self=FLAG)))},
    ),
    *_SEEK,
)
GET_PUBLIC_KEY_RESULT = members(public_key=KEY)

REVEAL_COUNTERPARTY = (*PRIVILEGED, *members(counterparty=KEY, verifier=KEY))
REVEAL_COUNTERPARTY_RESULT = members(
    prover=KEY,
    verifier=KEY,
    counterparty=KEY,
    revelation_time=STRING,
    encrypted_linkage=BYTES,
    encrypted_linkage_proof=BYTES,
)
REVEAL_SPECIFIC = (*_DERIVATION, *members(verifier=KEY))
REVEAL_SPECIFIC_RESULT = members(
    prover=KEY,
    verifier=KEY,
    counterparty=KEY,
    protocol_id=_PROTOCOL,
    key_id=STRING,
    encrypted_linkage=BYTES,
    encrypted_linkage_proof=BYTES,
    proof_type=BYTE,
)

ENCRYPT = (*_DERIVATION, *members(plaintext=BYTES), *_SEEK)
ENCRYPT_RESULT = members(ciphertext=Rest(PLAIN))
DECRYPT = (*_DERIVATION, *members(ciphertext=BYTES), *_SEEK)
DECRYPT_RESULT = members(plaintext=Rest(PLAIN))
CREATE_HMAC = (*_DERIVATION, *members(data=BYTES), *_SEEK)
CREATE_HMAC_RESULT = members(hmac=Rest(PLAIN))
VERIFY_HMAC = (*_DERIVATION, *members(hmac=_HASH, data=BYTES), *_SEEK)
CREATE_SIGNATURE = (
    *_DERIVATION,
    Choice("data", _signed, {1: ({}, members(data=BYTES)), 2: ({}, members(hash_to_directly_sign=_HASH))}),
    *_SEEK,
)
CREATE_SIGNATURE_RESULT = members(signature=Rest(PLAIN))
VERIFY_SIGNATURE = (
    *_DERIVATION,
    *members(for_self=FLAG, signature=BYTES),
    Choice("data", _verified, {1: ({}, members(data=BYTES)), 2: ({}, members(hash_to_directly_verify=_HASH))}),
    *_SEEK,
)

IS_AUTHENTICATED_RESULT = members(authenticated=BOOLEAN)
GET_HEIGHT_RESULT = members(height=NUMBER)
GET_HEADER = members(height=NUMBER)
GET_HEADER_RESULT = members(header=Rest(HEX))
GET_NETWORK_RESULT = members(network=OneOf({"mainnet": 0, "testnet": 1}))
GET_VERSION_RESULT = members(version=Rest(TEXT))
