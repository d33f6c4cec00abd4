"""``Services`` from settings: the public services of a chain, or those named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.errors import ConfigurationError
from sdk.wallet.services.arc import ArcClient
from sdk.wallet.services.headers import HeaderServiceClient
from sdk.wallet.services.services import Services
from sdk.wallet.services.whatsonchain import NETWORKS, WhatsOnChainClient
from sdk.wallet.settings import secret

if TYPE_CHECKING:
    from sdk.wallet.services.providers import HeaderSource, Provider
    from sdk.wallet.settings import WalletSettings

ARC_URLS = {
    "main": (("gorillapool", "https://arc.gorillapool.io"), ("taal", "https://arc.taal.com")),
    "test": (("taal", "https://arc-test.taal.com"),),
    "teratest": (("taal", "https://arc-teratest.taal.com"),),
}


def build_services(settings: WalletSettings) -> Services | None:
    """``None`` for a chain without public services when none are named: the wallet then works offline.

    Raises ``ConfigurationError`` if there are services but no source of headers to check them with.
    """
    whatsonchain = _whatsonchain(settings)
    providers: list[Provider] = [*_arcs(settings)]
    if whatsonchain is not None:
        providers.append(whatsonchain)
    headers: HeaderSource | None = whatsonchain
    if settings.headers_url:
        headers = HeaderServiceClient(settings.headers_url)
    if headers is None:
        if providers:
            raise ConfigurationError(
                "this wallet has broadcasters but nothing to check proofs with: set SDK_WALLET_HEADERS_URL to a header "
                "service, or SDK_WALLET_WHATSONCHAIN_URL"
            )
        return None
    return Services(providers, headers)


def _arcs(settings: WalletSettings) -> list[ArcClient]:
    named = [("arc", settings.arc_url)] if settings.arc_url else list(ARC_URLS.get(settings.chain, ()))
    return [
        ArcClient(
            url,
            name=name,
            api_key=secret(settings.arc_api_key),
            deployment_id=settings.arc_deployment_id,
            callback_url=settings.arc_callback_url,
            callback_token=secret(settings.arc_callback_token),
        )
        for name, url in named
    ]


def _whatsonchain(settings: WalletSettings) -> WhatsOnChainClient | None:
    url = settings.whatsonchain_url
    if url is None and settings.chain not in NETWORKS:
        return None
    return WhatsOnChainClient(
        url or WhatsOnChainClient.base_url(settings.chain),
        api_key=secret(settings.whatsonchain_api_key),
        min_interval=settings.whatsonchain_min_interval,
        dependent_wait=settings.whatsonchain_dependent_wait,
    )
