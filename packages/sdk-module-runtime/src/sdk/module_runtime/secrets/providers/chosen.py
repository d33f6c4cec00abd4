"""The providers that the environment asks for.

``SECRET_PROVIDER_CHAIN`` is a comma-separated list of names (default ``env``), asked in order: ``env``, ``file``,
``keyring``, and whatever is installed in the entry-point group ``sdk.module_runtime.secret_providers``. Settings are
``SECRET_ENV_PREFIX``, ``SECRET_FILE_PATH`` and ``SECRET_KEYRING_SERVICE``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from sdk.core.errors import ConfigurationError
from sdk.core.plugins import PluginRegistry
from sdk.module_runtime.secrets.providers.chained import ChainedProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sdk.module_runtime.secrets.provider import SecretProvider

GROUP: Final = "sdk.module_runtime.secret_providers"


def chosen_provider(environ: Mapping[str, str] | None = None, *, first: SecretProvider | None = None) -> SecretProvider:
    """``first`` (inside a module, the orchestrator's) and then the chain. A factory takes the environment.

    Raises ``ConfigurationError`` and ``PluginError``.
    """
    environ = os.environ if environ is None else environ
    names = [each.strip() for each in environ.get("SECRET_PROVIDER_CHAIN", "env").split(",") if each.strip()]
    registry: PluginRegistry[Callable[[Mapping[str, str]], SecretProvider]] = PluginRegistry(GROUP)
    providers = [registry.load(name)(environ) for name in names]
    if first is not None:
        providers.insert(0, first)
    if not providers:
        raise ConfigurationError("SECRET_PROVIDER_CHAIN names no provider: write for example env,file")
    return providers[0] if len(providers) == 1 else ChainedProvider(providers)


def environment(environ: Mapping[str, str]) -> SecretProvider:
    from sdk.module_runtime.secrets.providers.environment import EnvironmentProvider

    return EnvironmentProvider(environ.get("SECRET_ENV_PREFIX", ""), environ)


def file(environ: Mapping[str, str]) -> SecretProvider:
    from sdk.module_runtime.secrets.providers.file import FileProvider

    path = environ.get("SECRET_FILE_PATH")
    if not path:
        raise ConfigurationError("the secret provider 'file' needs SECRET_FILE_PATH")
    return FileProvider(path)


def keyring(environ: Mapping[str, str]) -> SecretProvider:
    from sdk.module_runtime.secrets.providers.keyring import KeyringProvider

    return KeyringProvider(environ.get("SECRET_KEYRING_SERVICE", "sdk-module-runtime"))
