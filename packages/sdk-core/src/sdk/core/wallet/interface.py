"""``WalletInterface``: the 28 methods of BRC-100."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.core.wallet.actions import (
        AbortActionArgs,
        AbortActionResult,
        CreateActionArgs,
        CreateActionResult,
        InternalizeActionArgs,
        InternalizeActionResult,
        ListActionsArgs,
        ListActionsResult,
        SignActionArgs,
        SignActionResult,
    )
    from sdk.core.wallet.certificates import (
        AcquireCertificateArgs,
        Certificate,
        DiscoverByAttributesArgs,
        DiscoverByIdentityKeyArgs,
        DiscoverCertificatesResult,
        ListCertificatesArgs,
        ListCertificatesResult,
        ProveCertificateArgs,
        ProveCertificateResult,
        RelinquishCertificateArgs,
        RelinquishCertificateResult,
    )
    from sdk.core.wallet.chain import (
        AuthenticatedResult,
        GetHeaderArgs,
        GetHeaderResult,
        GetHeightResult,
        GetNetworkResult,
        GetVersionResult,
        NoArgs,
    )
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
    from sdk.core.wallet.outputs import (
        ListOutputsArgs,
        ListOutputsResult,
        RelinquishOutputArgs,
        RelinquishOutputResult,
    )

    Members = Mapping[str, Any]


class WalletInterface(Protocol):
    """Every method takes its arguments as a model or a mapping, and the domain name of the application that asks.

    Raises the WERR family (``sdk.core.errors.WalletError``).
    """

    async def create_action(
        self, args: CreateActionArgs | Members, originator: str | None = None
    ) -> CreateActionResult: ...

    async def sign_action(self, args: SignActionArgs | Members, originator: str | None = None) -> SignActionResult: ...

    async def abort_action(
        self, args: AbortActionArgs | Members, originator: str | None = None
    ) -> AbortActionResult: ...

    async def list_actions(
        self, args: ListActionsArgs | Members, originator: str | None = None
    ) -> ListActionsResult: ...

    async def internalize_action(
        self, args: InternalizeActionArgs | Members, originator: str | None = None
    ) -> InternalizeActionResult: ...

    async def list_outputs(
        self, args: ListOutputsArgs | Members, originator: str | None = None
    ) -> ListOutputsResult: ...

    async def relinquish_output(
        self, args: RelinquishOutputArgs | Members, originator: str | None = None
    ) -> RelinquishOutputResult: ...

    async def get_public_key(
        self, args: GetPublicKeyArgs | Members, originator: str | None = None
    ) -> GetPublicKeyResult: ...

    async def reveal_counterparty_key_linkage(
        self, args: RevealCounterpartyKeyLinkageArgs | Members, originator: str | None = None
    ) -> RevealCounterpartyKeyLinkageResult: ...

    async def reveal_specific_key_linkage(
        self, args: RevealSpecificKeyLinkageArgs | Members, originator: str | None = None
    ) -> RevealSpecificKeyLinkageResult: ...

    async def encrypt(self, args: EncryptArgs | Members, originator: str | None = None) -> EncryptResult: ...

    async def decrypt(self, args: DecryptArgs | Members, originator: str | None = None) -> DecryptResult: ...

    async def create_hmac(self, args: CreateHmacArgs | Members, originator: str | None = None) -> CreateHmacResult: ...

    async def verify_hmac(self, args: VerifyHmacArgs | Members, originator: str | None = None) -> VerifyHmacResult: ...

    async def create_signature(
        self, args: CreateSignatureArgs | Members, originator: str | None = None
    ) -> CreateSignatureResult: ...

    async def verify_signature(
        self, args: VerifySignatureArgs | Members, originator: str | None = None
    ) -> VerifySignatureResult: ...

    async def acquire_certificate(
        self, args: AcquireCertificateArgs | Members, originator: str | None = None
    ) -> Certificate: ...

    async def list_certificates(
        self, args: ListCertificatesArgs | Members, originator: str | None = None
    ) -> ListCertificatesResult: ...

    async def prove_certificate(
        self, args: ProveCertificateArgs | Members, originator: str | None = None
    ) -> ProveCertificateResult: ...

    async def relinquish_certificate(
        self, args: RelinquishCertificateArgs | Members, originator: str | None = None
    ) -> RelinquishCertificateResult: ...

    async def discover_by_identity_key(
        self, args: DiscoverByIdentityKeyArgs | Members, originator: str | None = None
    ) -> DiscoverCertificatesResult: ...

    async def discover_by_attributes(
        self, args: DiscoverByAttributesArgs | Members, originator: str | None = None
    ) -> DiscoverCertificatesResult: ...

    async def is_authenticated(
        self, args: NoArgs | Members | None = None, originator: str | None = None
    ) -> AuthenticatedResult: ...

    async def wait_for_authentication(
        self, args: NoArgs | Members | None = None, originator: str | None = None
    ) -> AuthenticatedResult: ...

    async def get_height(
        self, args: NoArgs | Members | None = None, originator: str | None = None
    ) -> GetHeightResult: ...

    async def get_header_for_height(
        self, args: GetHeaderArgs | Members, originator: str | None = None
    ) -> GetHeaderResult: ...

    async def get_network(
        self, args: NoArgs | Members | None = None, originator: str | None = None
    ) -> GetNetworkResult: ...

    async def get_version(
        self, args: NoArgs | Members | None = None, originator: str | None = None
    ) -> GetVersionResult: ...
