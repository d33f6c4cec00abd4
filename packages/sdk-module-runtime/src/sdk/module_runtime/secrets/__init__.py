"""Secrets of a module: sources, a client that keeps them fresh, values that never show themselves, redaction.

    async with SecretClient(EnvironmentProvider()) as secrets:
        password = await secrets.get("DB_PASSWORD")
        connect(password.expose())

Names are imported on first use, so that a module pays only for what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from sdk.module_runtime.secrets.client import Access, SecretClient
    from sdk.module_runtime.secrets.provider import Change, Fetched, SecretProvider
    from sdk.module_runtime.secrets.providers.chained import ChainedProvider
    from sdk.module_runtime.secrets.providers.chosen import chosen_provider
    from sdk.module_runtime.secrets.providers.environment import EnvironmentProvider
    from sdk.module_runtime.secrets.providers.file import FileProvider
    from sdk.module_runtime.secrets.providers.keyring import KeyringProvider
    from sdk.module_runtime.secrets.providers.memory import MemoryProvider
    from sdk.module_runtime.secrets.providers.orchestrator import OrchestratorProvider
    from sdk.module_runtime.secrets.typed import Secret

_WHERE: Final = {
    "Access": "client",
    "Change": "provider",
    "ChainedProvider": "providers.chained",
    "EnvironmentProvider": "providers.environment",
    "Fetched": "provider",
    "FileProvider": "providers.file",
    "KeyringProvider": "providers.keyring",
    "MemoryProvider": "providers.memory",
    "OrchestratorProvider": "providers.orchestrator",
    "Secret": "typed",
    "SecretClient": "client",
    "SecretProvider": "provider",
    "chosen_provider": "providers.chosen",
}

__all__ = [
    "Access",
    "ChainedProvider",
    "Change",
    "EnvironmentProvider",
    "Fetched",
    "FileProvider",
    "KeyringProvider",
    "MemoryProvider",
    "OrchestratorProvider",
    "Secret",
    "SecretClient",
    "SecretProvider",
    "chosen_provider",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
