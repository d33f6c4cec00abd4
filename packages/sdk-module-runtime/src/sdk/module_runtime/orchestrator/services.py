"""What modules are served by the orchestrator itself, as the stack file describes it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from sdk.core.errors import ConfigurationError, SdkError
from sdk.module_runtime.orchestrator.stored_passwords import StoredPasswords
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from sdk.module_runtime.auth.keys import Keys
    from sdk.module_runtime.auth.local import LocalTokens
    from sdk.module_runtime.orchestrator.gateway import Authorizer
    from sdk.module_runtime.orchestrator.hosts.scopes import CacheScope, DatabaseScope
    from sdk.module_runtime.orchestrator.secrets.store import SecretStore
    from sdk.module_runtime.orchestrator.stack import Jwt, Module, Stack
    from sdk.module_runtime.orchestrator.switchboard import Switchboard
    from sdk.module_runtime.ports import SecretKeeper, ServiceHost
    from sdk.service.database import Database

_log = get_logger(__name__)
LOOK_EVERY: Final = 2.0
"""Seconds between looks at the store for what an operator has changed in another process."""
_TRIM_AT: Final = 1_800
"""Looks between one trimming of the audit and the next: an hour."""
_ACTOR: Final = "orchestrator"


@dataclass
class Services:
    hosts: dict[str, ServiceHost] = field(default_factory=dict)
    keeper: SecretKeeper | None = None
    store: SecretStore | None = None
    audit_kept: timedelta = timedelta(days=90)
    authorizer: Authorizer | None = None
    registration_key: str | None = None
    passwords: StoredPasswords | None = None


async def open_services(stack: Stack, database: Database, environ: Mapping[str, str]) -> Services:
    """``ConfigurationError`` and ``SecretError`` for what cannot be had as the stack describes it."""
    services = Services()
    if stack.secrets is not None:
        from sdk.module_runtime.orchestrator.secrets.keeper import ModuleSecrets
        from sdk.module_runtime.orchestrator.secrets.key_sources import load_keys
        from sdk.module_runtime.orchestrator.secrets.rights import SecretRights
        from sdk.module_runtime.orchestrator.secrets.store import SecretStore

        services.store = await SecretStore.open(database, load_keys(stack.secrets.key, environ))
        rights = {
            name: SecretRights(tuple(module.secrets.read), tuple(module.secrets.write))
            for name, module in stack.modules.items()
        }
        services.keeper = ModuleSecrets(services.store, rights)
        services.audit_kept = timedelta(days=stack.secrets.audit_days)
        if stack.registration is not None and stack.registration.key is not None:
            services.registration_key = await services.store.read(stack.registration.key, actor=_ACTOR)
    if stack.jwt is not None:
        await _open_jwt(stack, stack.jwt, services)
    if services.store is not None:
        names = {each.password_secret for each in _scopes(stack) if each.password_secret is not None}
        services.passwords = StoredPasswords(services.store, names)
        await services.passwords.refresh()
    open_data(stack, environ, services)
    return services


def _scopes(stack: Stack) -> Iterator[DatabaseScope | CacheScope]:
    for module in stack.modules.values():
        yield from module.databases.values()
        yield from module.caches.values()


def open_data(stack: Stack, environ: Mapping[str, str], services: Services) -> None:
    """Nothing is connected before a module asks for it, but what it needs must be said."""
    databases = {name: lent for name, module in stack.modules.items() if (lent := _lent_databases(module))}
    caches = {name: module.caches for name, module in stack.modules.items() if module.caches}
    secrets = services.passwords.values if services.passwords is not None else {}
    for scope in _scopes(stack):
        password = scope.password_source(environ, secrets)
        if password is not None:
            password()
    if databases:
        from sdk.module_runtime.orchestrator.hosts.database import DatabaseHost

        services.hosts["Database"] = DatabaseHost(databases, environ, secrets)
    if caches:
        from sdk.module_runtime.orchestrator.hosts.cache import CacheHost

        services.hosts["Cache"] = CacheHost(caches, environ, secrets)


def _lent_databases(module: Module) -> dict[str, DatabaseScope]:
    return {
        name: scope.placed(module.directory) for name, scope in module.databases.items() if scope.access == "proxied"
    }


async def _open_jwt(stack: Stack, settings: Jwt, services: Services) -> None:
    from sdk.module_runtime.orchestrator.authorizer import JwtAuthorizer
    from sdk.module_runtime.orchestrator.hosts.jwt import JwtHost, TokenRights

    tokens = await _tokens(settings, services)
    rights = {
        name: TokenRights(
            validate=each.validate_tokens,
            generate=each.generate,
            audiences=tuple(each.audiences),
            subjects=tuple(each.subjects),
            longest=each.longest,
        )
        for name, module in stack.modules.items()
        if (each := module.tokens) is not None
    }
    services.hosts["Jwt"] = JwtHost(tokens, rights)
    services.authorizer = JwtAuthorizer(tokens)


async def _tokens(settings: Jwt, services: Services) -> LocalTokens:
    from sdk.module_runtime.auth.keys import JwtKey, KeySet
    from sdk.module_runtime.auth.local import LocalTokens, TokenPolicy

    policy = TokenPolicy(
        audience=tuple(settings.audience), issuer=settings.issuer, leeway=settings.leeway, lifetime=settings.lifetime
    )
    if settings.jwks is not None:
        return LocalTokens(_published(settings.jwks), policy)
    if settings.secret is not None:
        from sdk.module_runtime.orchestrator.stored_keys import StoredKeys

        assert services.store is not None  # the stack was checked
        overlap = settings.lifetime + settings.leeway
        stored = StoredKeys(services.store, settings.secret, settings.algorithm, overlap=overlap)
        await stored.current()  # a key that cannot be had stops the start
        return LocalTokens(stored, policy, signer=stored.current)
    assert settings.pem is not None
    try:
        key = JwtKey.pem(await asyncio.to_thread(settings.pem.read_bytes), settings.algorithm)
    except OSError as error:
        raise ConfigurationError(f"jwt.pem: {settings.pem} cannot be read: {error.strerror}") from error
    return LocalTokens(KeySet([key]), policy, signer=key if key.can_sign else None)


def _published(url: str) -> Keys:
    from sdk.module_runtime.auth.jwks import JwksKeys
    from sdk.service.http_client import HttpClient

    return JwksKeys(HttpClient(service="jwks"), url)


@asynccontextmanager
async def watching(services: Services, board: Switchboard) -> AsyncIterator[None]:
    """Modules hear of secrets that were changed by another process on the same database; the audit does not grow."""
    if services.store is None:
        yield
        return
    looking = asyncio.create_task(_look(services.store, board, services))
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


async def _look(store: SecretStore, board: Switchboard, services: Services) -> None:
    known: dict[str, int] | None = None
    looks = 0
    while True:
        try:
            if looks % _TRIM_AT == 0:
                await store.trim_audit(datetime.now(UTC) - services.audit_kept)
            looks += 1
            found = {row.name: row.version for row in await store.listed()}
        except SdkError as error:
            _log.warning("secrets_not_watched", reason=str(error))
        else:
            if known is not None and found != known:
                board.catch_up()
            if found != known and services.passwords is not None:
                await services.passwords.refresh()
            known = found
        await asyncio.sleep(LOOK_EVERY)
