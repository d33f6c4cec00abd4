"""The part of a BRC-100 wallet that certificates need. ``ProtoWallet`` and every wallet satisfy it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
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
        VerifyHmacArgs,
        VerifyHmacResult,
    )


class CryptoWallet(Protocol):
    async def get_public_key(self, args: GetPublicKeyArgs, originator: str | None = None) -> GetPublicKeyResult: ...

    async def encrypt(self, args: EncryptArgs, originator: str | None = None) -> EncryptResult: ...

    async def decrypt(self, args: DecryptArgs, originator: str | None = None) -> DecryptResult: ...

    async def create_hmac(self, args: CreateHmacArgs, originator: str | None = None) -> CreateHmacResult: ...

    async def verify_hmac(self, args: VerifyHmacArgs, originator: str | None = None) -> VerifyHmacResult: ...

    async def create_signature(
        self, args: CreateSignatureArgs, originator: str | None = None
    ) -> CreateSignatureResult: ...
