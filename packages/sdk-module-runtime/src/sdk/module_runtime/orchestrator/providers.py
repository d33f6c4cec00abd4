"""Services that modules offer one another: who offers what, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid4

from sdk.module_runtime.errors import RuntimeModuleError
from sdk.module_runtime.protocol.services import ServiceProvider

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.module_runtime.protocol.messages import DiscoverServiceProviders, RegisterServiceProvider

MOST_OF_A_MODULE: Final = 64
LONGEST_TEXT: Final = 1024
MOST_TEXTS: Final = 128


class ProviderRefused(RuntimeModuleError):
    code = "ERR_PROVIDER_REFUSED"


class ProviderRegistry:
    """``is_healthy`` tells whether a module is ready; providers of one that is not are listed last or left out."""

    def __init__(self, is_healthy: Callable[[str], bool]) -> None:
        self._is_healthy = is_healthy
        self._providers: dict[tuple[str, str, str], ServiceProvider] = {}

    def register(self, module_id: str, offer: RegisterServiceProvider) -> str:
        """The provider id. A module that registers a name again replaces what it offered under it."""
        metadata = offer.metadata or {}
        texts = (offer.name, offer.version or "", offer.address, *metadata, *metadata.values())
        if not offer.name or not offer.address:
            raise ProviderRefused("a provider needs a name and an address")
        if len(texts) > MOST_TEXTS or any(len(text) > LONGEST_TEXT for text in texts):
            raise ProviderRefused(f"a text of a provider is longer than {LONGEST_TEXT}, or it has too much metadata")
        key = (module_id, _key(offer.service_type), offer.name)
        known = self._providers.get(key)
        if known is None and sum(owner == module_id for owner, _, _ in self._providers) >= MOST_OF_A_MODULE:
            raise ProviderRefused(f"a module may offer {MOST_OF_A_MODULE} providers")
        provider = ServiceProvider(
            provider_id=known.provider_id if known else str(uuid4()),
            module_id=module_id,
            service_type=offer.service_type,
            name=offer.name,
            version=offer.version,
            address=offer.address,
            metadata=metadata,
            is_healthy=True,
        )
        self._providers[key] = provider
        return provider.provider_id

    def discover(self, wanted: DiscoverServiceProviders) -> list[ServiceProvider]:
        """The providers of a type; only the healthy ones unless ``all_providers`` are wanted."""
        service_type = _key(wanted.service_type)
        found = [each for each in self.all() if _key(each.service_type) == service_type]
        return [each for each in found if each.is_healthy or wanted.all_providers]

    def all(self) -> list[ServiceProvider]:
        return [
            each.model_copy(update={"is_healthy": self._is_healthy(owner)})
            for (owner, _, _), each in self._providers.items()
        ]

    def release(self, module_id: str) -> None:
        self._providers = {key: each for key, each in self._providers.items() if key[0] != module_id}


def _key(service_type: object) -> str:
    return repr(service_type)
