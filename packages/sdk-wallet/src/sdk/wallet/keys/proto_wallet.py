"""The BRC-100 calls that need nothing but keys."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sdk.core.errors import MissingParameter
from sdk.core.wallet.keys import (
    CreateHmacArgs,
    CreateHmacResult,
    CreateSignatureArgs,
    CreateSignatureResult,
    DecryptArgs,
    DecryptResult,
    EncryptArgs,
    EncryptResult,
    GetPublicKeyArgs,
    GetPublicKeyResult,
    RevealCounterpartyKeyLinkageArgs,
    RevealCounterpartyKeyLinkageResult,
    RevealSpecificKeyLinkageArgs,
    RevealSpecificKeyLinkageResult,
    VerifyHmacArgs,
    VerifyHmacResult,
    VerifySignatureArgs,
    VerifySignatureResult,
)
from sdk.wallet.keys import operations
from sdk.wallet.keys.deriver import KeyDeriver
from sdk.wallet.keys.private_key import PrivateKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sdk.core.ports import Clock, Entropy


def utc_now() -> datetime:
    return datetime.now(UTC)


class ProtoWallet:
    """Calls 8 to 16 of BRC-100 over one root key: no transactions, no storage, no permissions.

    Each takes its argument model, or a mapping in wire or Python names, and returns its result model. What is malformed
    raises ``InvalidParameter``; a verification that fails raises ``InvalidHmac`` or ``InvalidSignature``, it never
    answers ``valid: false``. ``privileged`` is not looked at here: whoever holds two keys has two of these.
    """

    def __init__(self, root: PrivateKey | KeyDeriver, *, entropy: Entropy = os.urandom, clock: Clock = utc_now) -> None:
        self.key_deriver = KeyDeriver(root) if isinstance(root, PrivateKey) else root
        self._entropy = entropy
        self._clock = clock

    @property
    def identity_key(self) -> str:
        """66 hex digits."""
        return self.key_deriver.identity_key

    async def get_public_key(
        self, args: GetPublicKeyArgs | Mapping[str, Any], originator: str | None = None
    ) -> GetPublicKeyResult:
        args = GetPublicKeyArgs.of(args)
        if args.identity_key:
            return GetPublicKeyResult(public_key=self.identity_key)
        if args.protocol_id is None:
            raise MissingParameter("protocolID")
        if args.key_id is None:
            raise MissingParameter("keyID")
        key = self.key_deriver.derive_public_key(
            args.protocol_id, args.key_id, args.counterparty or "self", args.for_self
        )
        return GetPublicKeyResult(public_key=key.to_hex())

    async def reveal_counterparty_key_linkage(
        self, args: RevealCounterpartyKeyLinkageArgs | Mapping[str, Any], originator: str | None = None
    ) -> RevealCounterpartyKeyLinkageResult:
        """Raises ``InvalidOperation`` when the counterparty is ourselves."""
        args = RevealCounterpartyKeyLinkageArgs.of(args)
        moment = self._clock().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        linkage = operations.reveal_counterparty_linkage(
            self.key_deriver,
            counterparty=args.counterparty,
            verifier=args.verifier,
            revelation_time=moment,
            entropy=self._entropy,
        )
        return RevealCounterpartyKeyLinkageResult(
            encrypted_linkage=linkage.encrypted_linkage,
            encrypted_linkage_proof=linkage.encrypted_proof,
            prover=self.identity_key,
            verifier=args.verifier,
            counterparty=args.counterparty,
            revelation_time=moment,
        )

    async def reveal_specific_key_linkage(
        self, args: RevealSpecificKeyLinkageArgs | Mapping[str, Any], originator: str | None = None
    ) -> RevealSpecificKeyLinkageResult:
        args = RevealSpecificKeyLinkageArgs.of(args)
        linkage = operations.reveal_specific_linkage(
            self.key_deriver,
            counterparty=args.counterparty,
            verifier=args.verifier,
            protocol_id=args.protocol_id,
            key_id=args.key_id,
            entropy=self._entropy,
        )
        return RevealSpecificKeyLinkageResult(
            encrypted_linkage=linkage.encrypted_linkage,
            encrypted_linkage_proof=linkage.encrypted_proof,
            prover=self.identity_key,
            verifier=args.verifier,
            counterparty=args.counterparty,
            protocol_id=args.protocol_id,
            key_id=args.key_id,
            proof_type=0,
        )

    async def encrypt(self, args: EncryptArgs | Mapping[str, Any], originator: str | None = None) -> EncryptResult:
        args = EncryptArgs.of(args)
        ciphertext = operations.encrypt(
            self.key_deriver,
            args.plaintext,
            protocol_id=args.protocol_id,
            key_id=args.key_id,
            counterparty=args.counterparty or "self",
            entropy=self._entropy,
        )
        return EncryptResult(ciphertext=ciphertext)

    async def decrypt(self, args: DecryptArgs | Mapping[str, Any], originator: str | None = None) -> DecryptResult:
        """Raises ``DecryptionFailed``."""
        args = DecryptArgs.of(args)
        plaintext = operations.decrypt(
            self.key_deriver,
            args.ciphertext,
            protocol_id=args.protocol_id,
            key_id=args.key_id,
            counterparty=args.counterparty or "self",
        )
        return DecryptResult(plaintext=plaintext)

    async def create_hmac(
        self, args: CreateHmacArgs | Mapping[str, Any], originator: str | None = None
    ) -> CreateHmacResult:
        args = CreateHmacArgs.of(args)
        hmac = operations.create_hmac(
            self.key_deriver,
            args.data,
            protocol_id=args.protocol_id,
            key_id=args.key_id,
            counterparty=args.counterparty or "self",
        )
        return CreateHmacResult(hmac=hmac)

    async def verify_hmac(
        self, args: VerifyHmacArgs | Mapping[str, Any], originator: str | None = None
    ) -> VerifyHmacResult:
        """Raises ``InvalidHmac``."""
        args = VerifyHmacArgs.of(args)
        operations.verify_hmac(
            self.key_deriver,
            args.data,
            args.hmac,
            protocol_id=args.protocol_id,
            key_id=args.key_id,
            counterparty=args.counterparty or "self",
        )
        return VerifyHmacResult()

    async def create_signature(
        self, args: CreateSignatureArgs | Mapping[str, Any], originator: str | None = None
    ) -> CreateSignatureResult:
        args = CreateSignatureArgs.of(args)
        signature = operations.create_signature(
            self.key_deriver,
            args.data,
            protocol_id=args.protocol_id,
            key_id=args.key_id,
            counterparty=args.counterparty or "anyone",
            digest=args.hash_to_directly_sign,
        )
        return CreateSignatureResult(signature=signature)

    async def verify_signature(
        self, args: VerifySignatureArgs | Mapping[str, Any], originator: str | None = None
    ) -> VerifySignatureResult:
        """Raises ``InvalidSignature``."""
        args = VerifySignatureArgs.of(args)
        operations.verify_signature(
            self.key_deriver,
            args.data,
            args.signature,
            protocol_id=args.protocol_id,
            key_id=args.key_id,
            counterparty=args.counterparty or "self",
            for_self=args.for_self,
            digest=args.hash_to_directly_verify,
        )
        return VerifySignatureResult()
