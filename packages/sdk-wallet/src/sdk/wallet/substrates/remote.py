"""``RemoteWallet``: the 28 methods of BRC-100, asked of a wallet elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from sdk.core.wallet import (
    AbortActionResult,
    AuthenticatedResult,
    Certificate,
    CreateActionResult,
    CreateHmacResult,
    CreateSignatureResult,
    DecryptResult,
    DiscoverCertificatesResult,
    EncryptResult,
    GetHeaderResult,
    GetHeightResult,
    GetNetworkResult,
    GetPublicKeyResult,
    GetVersionResult,
    InternalizeActionResult,
    ListActionsResult,
    ListCertificatesResult,
    ListOutputsResult,
    ProveCertificateResult,
    RelinquishCertificateResult,
    RelinquishOutputResult,
    RevealCounterpartyKeyLinkageResult,
    RevealSpecificKeyLinkageResult,
    SignActionResult,
    VerifyHmacResult,
    VerifySignatureResult,
)
from sdk.core.wallet_wire import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    from sdk.core.wallet import (
        AbortActionArgs,
        AcquireCertificateArgs,
        CreateActionArgs,
        CreateHmacArgs,
        CreateSignatureArgs,
        DecryptArgs,
        DiscoverByAttributesArgs,
        DiscoverByIdentityKeyArgs,
        EncryptArgs,
        GetHeaderArgs,
        GetPublicKeyArgs,
        InternalizeActionArgs,
        ListActionsArgs,
        ListCertificatesArgs,
        ListOutputsArgs,
        NoArgs,
        ProveCertificateArgs,
        RelinquishCertificateArgs,
        RelinquishOutputArgs,
        RevealCounterpartyKeyLinkageArgs,
        RevealSpecificKeyLinkageArgs,
        SignActionArgs,
        VerifyHmacArgs,
        VerifySignatureArgs,
        WalletModel,
    )
    from sdk.core.wallet_wire import Call

    Members = Mapping[str, Any]

Result = TypeVar("Result", bound="WalletModel")


class RemoteWallet(ABC):
    """Satisfies ``sdk.core.wallet.WalletInterface``; a substrate says how a call travels.

    Arguments are checked here first (``InvalidParameter``). What the other wallet raises comes as the WERR family, or
    as ``RemoteWalletError`` where the wire does not tell enough; ``ServiceUnavailable`` when there was no answer, which
    says nothing about what was done; ``ParseError`` for an answer that is none.
    """

    @abstractmethod
    async def ask(self, call: Call, args: WalletModel, originator: str | None) -> WalletModel:
        """One call; ``originator`` is the domain name of the application, if this call has one of its own."""

    async def close(self) -> None:
        """Give back connections. A substrate without any has nothing to do."""
        return

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(self, kind: type[Result], name: str, args: Any, originator: str | None) -> Result:
        call = BY_NAME[name]
        answer: Any = await self.ask(call, call.args.of({} if args is None else args), originator)
        return kind.of(answer)

    async def create_action(
        self, args: CreateActionArgs | Members, originator: str | None = None
    ) -> CreateActionResult:
        return await self._call(CreateActionResult, "createAction", args, originator)

    async def sign_action(self, args: SignActionArgs | Members, originator: str | None = None) -> SignActionResult:
        return await self._call(SignActionResult, "signAction", args, originator)

    async def abort_action(self, args: AbortActionArgs | Members, originator: str | None = None) -> AbortActionResult:
        return await self._call(AbortActionResult, "abortAction", args, originator)

    async def list_actions(self, args: ListActionsArgs | Members, originator: str | None = None) -> ListActionsResult:
        return await self._call(ListActionsResult, "listActions", args, originator)

    async def internalize_action(
        self, args: InternalizeActionArgs | Members, originator: str | None = None
    ) -> InternalizeActionResult:
        return await self._call(InternalizeActionResult, "internalizeAction", args, originator)

    async def list_outputs(self, args: ListOutputsArgs | Members, originator: str | None = None) -> ListOutputsResult:
        return await self._call(ListOutputsResult, "listOutputs", args, originator)

    async def relinquish_output(
        self, args: RelinquishOutputArgs | Members, originator: str | None = None
    ) -> RelinquishOutputResult:
        return await self._call(RelinquishOutputResult, "relinquishOutput", args, originator)

    async def get_public_key(
        self, args: GetPublicKeyArgs | Members, originator: str | None = None
    ) -> GetPublicKeyResult:
        return await self._call(GetPublicKeyResult, "getPublicKey", args, originator)

    async def reveal_counterparty_key_linkage(
        self, args: RevealCounterpartyKeyLinkageArgs | Members, originator: str | None = None
    ) -> RevealCounterpartyKeyLinkageResult:
        return await self._call(RevealCounterpartyKeyLinkageResult, "revealCounterpartyKeyLinkage", args, originator)

    async def reveal_specific_key_linkage(
        self, args: RevealSpecificKeyLinkageArgs | Members, originator: str | None = None
    ) -> RevealSpecificKeyLinkageResult:
        return await self._call(RevealSpecificKeyLinkageResult, "revealSpecificKeyLinkage", args, originator)

    async def encrypt(self, args: EncryptArgs | Members, originator: str | None = None) -> EncryptResult:
        return await self._call(EncryptResult, "encrypt", args, originator)

    async def decrypt(self, args: DecryptArgs | Members, originator: str | None = None) -> DecryptResult:
        return await self._call(DecryptResult, "decrypt", args, originator)

    async def create_hmac(self, args: CreateHmacArgs | Members, originator: str | None = None) -> CreateHmacResult:
        return await self._call(CreateHmacResult, "createHmac", args, originator)

    async def verify_hmac(self, args: VerifyHmacArgs | Members, originator: str | None = None) -> VerifyHmacResult:
        return await self._call(VerifyHmacResult, "verifyHmac", args, originator)

    async def create_signature(
        self, args: CreateSignatureArgs | Members, originator: str | None = None
    ) -> CreateSignatureResult:
        return await self._call(CreateSignatureResult, "createSignature", args, originator)

    async def verify_signature(
        self, args: VerifySignatureArgs | Members, originator: str | None = None
    ) -> VerifySignatureResult:
        return await self._call(VerifySignatureResult, "verifySignature", args, originator)

    async def acquire_certificate(
        self, args: AcquireCertificateArgs | Members, originator: str | None = None
    ) -> Certificate:
        return await self._call(Certificate, "acquireCertificate", args, originator)

    async def list_certificates(
        self, args: ListCertificatesArgs | Members, originator: str | None = None
    ) -> ListCertificatesResult:
        return await self._call(ListCertificatesResult, "listCertificates", args, originator)

    async def prove_certificate(
        self, args: ProveCertificateArgs | Members, originator: str | None = None
    ) -> ProveCertificateResult:
        return await self._call(ProveCertificateResult, "proveCertificate", args, originator)

    async def relinquish_certificate(
        self, args: RelinquishCertificateArgs | Members, originator: str | None = None
    ) -> RelinquishCertificateResult:
        return await self._call(RelinquishCertificateResult, "relinquishCertificate", args, originator)

    async def discover_by_identity_key(
        self, args: DiscoverByIdentityKeyArgs | Members, originator: str | None = None
    ) -> DiscoverCertificatesResult:
        return await self._call(DiscoverCertificatesResult, "discoverByIdentityKey", args, originator)

    async def discover_by_attributes(
        self, args: DiscoverByAttributesArgs | Members, originator: str | None = None
    ) -> DiscoverCertificatesResult:
        return await self._call(DiscoverCertificatesResult, "discoverByAttributes", args, originator)

    async def is_authenticated(
        self, args: NoArgs | Members | None = None, originator: str | None = None
    ) -> AuthenticatedResult:
        return await self._call(AuthenticatedResult, "isAuthenticated", args, originator)

    async def wait_for_authentication(
        self, args: NoArgs | Members | None = None, originator: str | None = None
    ) -> AuthenticatedResult:
        return await self._call(AuthenticatedResult, "waitForAuthentication", args, originator)

    async def get_height(self, args: NoArgs | Members | None = None, originator: str | None = None) -> GetHeightResult:
        return await self._call(GetHeightResult, "getHeight", args, originator)

    async def get_header_for_height(
        self, args: GetHeaderArgs | Members, originator: str | None = None
    ) -> GetHeaderResult:
        return await self._call(GetHeaderResult, "getHeaderForHeight", args, originator)

    async def get_network(
        self, args: NoArgs | Members | None = None, originator: str | None = None
    ) -> GetNetworkResult:
        return await self._call(GetNetworkResult, "getNetwork", args, originator)

    async def get_version(
        self, args: NoArgs | Members | None = None, originator: str | None = None
    ) -> GetVersionResult:
        return await self._call(GetVersionResult, "getVersion", args, originator)
