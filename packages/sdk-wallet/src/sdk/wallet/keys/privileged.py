"""The privileged key: fetched for a reason, kept for a short time, and let go (spec/wallet-stack.md §1.17)."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from sdk.core.wallet.keys import (
    CreateHmacArgs,
    CreateSignatureArgs,
    DecryptArgs,
    EncryptArgs,
    GetPublicKeyArgs,
    RevealCounterpartyKeyLinkageArgs,
    RevealSpecificKeyLinkageArgs,
    VerifyHmacArgs,
    VerifySignatureArgs,
)
from sdk.wallet.keys.proto_wallet import ProtoWallet, utc_now

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import Any

    from sdk.core.ports import Clock, Entropy
    from sdk.core.wallet.keys import (
        CreateHmacResult,
        CreateSignatureResult,
        DecryptResult,
        EncryptResult,
        GetPublicKeyResult,
        PrivilegedArgs,
        RevealCounterpartyKeyLinkageResult,
        RevealSpecificKeyLinkageResult,
        VerifyHmacResult,
        VerifySignatureResult,
    )
    from sdk.wallet.keys.private_key import PrivateKey

    KeyGetter = Callable[[str], Awaitable[PrivateKey]]

RETENTION = 120.0


class PrivilegedKeyManager:
    """Calls 8 to 16 of BRC-100 over a key that ``key_getter(reason)`` fetches, for example by asking the person.

    The key is kept for ``retention`` seconds after it was fetched and then dropped; ``destroy`` drops it at once.
    Concurrent calls wait for one fetch. What the getter raises comes through, and the next call asks again.
    """

    def __init__(
        self,
        key_getter: KeyGetter,
        *,
        retention: float = RETENTION,
        entropy: Entropy = os.urandom,
        clock: Clock = utc_now,
    ) -> None:
        self._key_getter = key_getter
        self._retention = retention
        self._entropy, self._clock = entropy, clock
        self._keys: ProtoWallet | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._fetching = asyncio.Lock()

    async def keys(self, reason: str) -> ProtoWallet:
        """The key's operations; fetches the key if it is not held."""
        async with self._fetching:
            if self._keys is None:
                root = await self._key_getter(reason)
                self._keys = ProtoWallet(root, entropy=self._entropy, clock=self._clock)
                self._timer = asyncio.get_running_loop().call_later(self._retention, self.destroy)
            return self._keys

    def destroy(self) -> None:
        """Let go of the key. Python cannot wipe it (docs/security.md)."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._keys is not None:
            self._keys.key_deriver.forget()
            self._keys = None

    async def _for(self, args: PrivilegedArgs) -> ProtoWallet:
        return await self.keys(args.privileged_reason or "")

    async def get_public_key(
        self, args: GetPublicKeyArgs | Mapping[str, Any], originator: str | None = None
    ) -> GetPublicKeyResult:
        args = GetPublicKeyArgs.of(args)
        return await (await self._for(args)).get_public_key(args, originator)

    async def reveal_counterparty_key_linkage(
        self, args: RevealCounterpartyKeyLinkageArgs | Mapping[str, Any], originator: str | None = None
    ) -> RevealCounterpartyKeyLinkageResult:
        args = RevealCounterpartyKeyLinkageArgs.of(args)
        return await (await self._for(args)).reveal_counterparty_key_linkage(args, originator)

    async def reveal_specific_key_linkage(
        self, args: RevealSpecificKeyLinkageArgs | Mapping[str, Any], originator: str | None = None
    ) -> RevealSpecificKeyLinkageResult:
        args = RevealSpecificKeyLinkageArgs.of(args)
        return await (await self._for(args)).reveal_specific_key_linkage(args, originator)

    async def encrypt(self, args: EncryptArgs | Mapping[str, Any], originator: str | None = None) -> EncryptResult:
        args = EncryptArgs.of(args)
        return await (await self._for(args)).encrypt(args, originator)

    async def decrypt(self, args: DecryptArgs | Mapping[str, Any], originator: str | None = None) -> DecryptResult:
        args = DecryptArgs.of(args)
        return await (await self._for(args)).decrypt(args, originator)

    async def create_hmac(
        self, args: CreateHmacArgs | Mapping[str, Any], originator: str | None = None
    ) -> CreateHmacResult:
        args = CreateHmacArgs.of(args)
        return await (await self._for(args)).create_hmac(args, originator)

    async def verify_hmac(
        self, args: VerifyHmacArgs | Mapping[str, Any], originator: str | None = None
    ) -> VerifyHmacResult:
        args = VerifyHmacArgs.of(args)
        return await (await self._for(args)).verify_hmac(args, originator)

    async def create_signature(
        self, args: CreateSignatureArgs | Mapping[str, Any], originator: str | None = None
    ) -> CreateSignatureResult:
        args = CreateSignatureArgs.of(args)
        return await (await self._for(args)).create_signature(args, originator)

    async def verify_signature(
        self, args: VerifySignatureArgs | Mapping[str, Any], originator: str | None = None
    ) -> VerifySignatureResult:
        args = VerifySignatureArgs.of(args)
        return await (await self._for(args)).verify_signature(args, originator)
