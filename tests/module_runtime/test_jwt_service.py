"""The orchestrator's Jwt service and gateway: a module makes and judges the tokens that are its to make and judge."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sdk.module_runtime.auth import (
    AuthUnavailable,
    JwtKey,
    KeySet,
    LocalTokens,
    OrchestratorTokens,
    TokenInvalid,
    TokenNotAllowed,
    TokenPolicy,
)
from sdk.module_runtime.errors import LinkClosed, RuntimeModuleError, ServiceOperationFailed
from sdk.module_runtime.orchestrator.authorizer import JwtAuthorizer
from sdk.module_runtime.orchestrator.gateway import Unauthorized
from sdk.module_runtime.orchestrator.hosts.jwt import MOST_CONNECTIONS, JwtHost, TokenRights
from sdk.module_runtime.orchestrator.secrets.keys import MasterKeys
from sdk.module_runtime.orchestrator.secrets.store import SecretStore
from sdk.module_runtime.orchestrator.services import open_services
from sdk.module_runtime.orchestrator.stack import parse_stack
from sdk.module_runtime.orchestrator.stored_keys import StoredKeys
from sdk.module_runtime.secrets.redaction import SecretRegistry
from sdk.module_runtime.storage.migrations import MIGRATIONS
from sdk.service.database import Database
from sdk.service.http_app.server import running as http_running
from sdk.service.migrations import upgrade

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PEM = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
SECRET = "a-secret-of-the-jwt-service-tests-0123456789abcdef"
ISSUER = "https://runtime"
RIGHTS = {
    "maker": TokenRights(generate=True, audiences=("shop", "bank"), subjects=("user-*", "root"), longest=600.0),
    "judge": TokenRights(),
    "mute": TokenRights(validate=False),
}


class HostLink:
    """A link that ends in the host, with errors in words, as the wire carries them."""

    def __init__(self, host: JwtHost, module_id: str) -> None:
        self._host, self._module_id = host, module_id
        self.opened, self.broken = 0, False

    async def open_service(
        self, service_type: Any, config: Mapping[str, Any] | None, *, timeout: float | None = None
    ) -> str:
        self.opened += 1
        connection: str = await self._in_words("open", self._host.open(self._module_id, config))
        return connection

    async def operate(
        self, connection_id: str, service_type: Any, operation: str, params: Any, *, timeout: float | None = None
    ) -> Any:
        if self.broken:
            raise LinkClosed("gone")
        return await self._in_words(operation, self._host.operate(self._module_id, connection_id, operation, params))

    async def _in_words(self, operation: str, work: Any) -> Any:
        try:
            return await work
        except RuntimeModuleError as error:
            reason = error.reason if isinstance(error, ServiceOperationFailed) else str(error)
            raise ServiceOperationFailed("Jwt", operation, reason) from None


def local() -> LocalTokens:
    key = JwtKey.secret(SECRET)
    policy = TokenPolicy(issuer=ISSUER, audience=("shop", "bank"))
    return LocalTokens(KeySet([key]), policy, signer=key)


def service() -> JwtHost:
    return JwtHost(local(), RIGHTS)


def tokens_of(host: JwtHost, module_id: str) -> OrchestratorTokens:
    return OrchestratorTokens(HostLink(host, module_id))  # type: ignore[arg-type]


async def test_one_module_makes_a_token_and_another_judges_it_and_neither_has_the_key() -> None:
    host = service()
    maker, judge = tokens_of(host, "maker"), tokens_of(host, "judge")
    claims = await judge.validate(await maker.generate({"sub": "user-7", "aud": "shop", "role": "admin"}))
    assert (claims["sub"], claims["role"], claims["aud"]) == ("user-7", "admin", "shop")
    assert (claims["iss"], claims["azp"]) == (ISSUER, "maker"), "who made it is not the maker's to say"
    assert 0 < claims["exp"] - time.time() <= 600
    await maker.close()


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"sub": "admin", "aud": "shop"},
        {"sub": 5, "aud": "shop"},
        {"sub": "user-1"},
        {"sub": "user-1", "aud": "elsewhere"},
        {"sub": "user-1", "aud": ["shop", "elsewhere"]},
        {"sub": "user-1", "aud": {"shop": 1}},
        {"sub": "user-1", "aud": "shop", "iss": "https://evil"},
        {"sub": "user-1", "aud": "shop", "azp": "judge"},
        {"sub": "user-1", "aud": "shop", "exp": 4_102_444_800},
        {"sub": "user-1", "aud": "shop", "exp": float("inf")},
        {"sub": "user-1", "aud": "shop", "exp": float("nan")},
        {"sub": "user-1", "aud": "shop", "exp": "never"},
        {"sub": "user-1", "aud": "shop", "exp": True},
        {"sub": "user-1", "aud": "shop", "x": "y" * 20_000},
    ],
)
async def test_a_module_makes_no_token_beyond_its_rights(claims: dict[str, Any]) -> None:
    with pytest.raises(TokenNotAllowed):
        await tokens_of(service(), "maker").generate(claims)


async def test_a_module_that_may_name_no_audience_gets_no_token_for_all_of_them() -> None:
    host = JwtHost(local(), {"m": TokenRights(generate=True, subjects=("*",))})
    for claims in ({"sub": "a"}, {"sub": "a", "aud": []}, {"sub": "a", "aud": "shop"}):
        with pytest.raises(TokenNotAllowed, match="audience"):
            await tokens_of(host, "m").generate(claims)


async def test_rights_are_each_modules_own() -> None:
    host = service()
    token = await tokens_of(host, "maker").generate({"sub": "root", "aud": ["shop"]})
    with pytest.raises(TokenNotAllowed, match="may not make tokens"):
        await tokens_of(host, "judge").generate({"sub": "root", "aud": "shop"})
    with pytest.raises(AuthUnavailable, match="may not judge"):
        await tokens_of(host, "mute").validate(token)
    with pytest.raises(AuthUnavailable, match="no rights"):
        await tokens_of(host, "stranger").validate(token)


async def test_a_connection_is_worth_nothing_to_another_module_nor_after_release() -> None:
    host = service()
    connection = await host.open("maker", {"config": {"secret_key": "mine"}})
    claims = {"claims": {"sub": "root", "aud": "shop"}}
    with pytest.raises(ServiceOperationFailed, match="no such connection"):
        await host.operate("judge", connection, "generate", claims)
    assert await host.operate("maker", connection, "generate", claims)
    nonsense: list[Any] = [None, 5, {}, {"claims": []}]
    for params in nonsense:
        with pytest.raises(TokenNotAllowed):
            await host.operate("maker", connection, "generate", params)
    with pytest.raises(ServiceOperationFailed, match="validate, generate and close"):
        await host.operate("maker", connection, "revoke", {})
    await host.release("maker")
    with pytest.raises(ServiceOperationFailed, match="no such connection"):
        await host.operate("maker", connection, "generate", claims)
    for _ in range(MOST_CONNECTIONS):
        await host.open("maker", None)
    with pytest.raises(ServiceOperationFailed, match="connections already"):
        await host.open("maker", None)


async def test_reasons_arrive_typed_over_the_wire_and_garbage_is_not_sent() -> None:
    link = HostLink(service(), "judge")
    tokens = OrchestratorTokens(link)  # type: ignore[arg-type]
    with pytest.raises(TokenInvalid, match="InvalidToken"):
        await tokens.validate("garbage")
    assert link.opened == 0
    now = int(time.time())
    for claims, key, reason in (
        ({"exp": now - 100, "iss": ISSUER, "aud": "shop"}, SECRET, "ExpiredSignature"),
        ({"exp": now + 100, "iss": ISSUER, "aud": "shop"}, SECRET[::-1], "InvalidSignature"),
        ({"exp": now + 100, "iss": ISSUER, "aud": "x"}, SECRET, "InvalidAudience"),
    ):
        with pytest.raises(TokenInvalid) as caught:
            await tokens.validate(jwt.encode(claims, key, "HS256"))
        assert caught.value.reason == reason
    assert link.opened == 1


async def test_a_lost_link_is_unavailable_not_invalid_and_the_next_question_opens_anew() -> None:
    link = HostLink(service(), "judge")
    tokens = OrchestratorTokens(link)  # type: ignore[arg-type]
    token = await local().generate({"sub": "a"})
    assert await tokens.validate(token)
    link.broken = True
    with pytest.raises(AuthUnavailable, match="Failed to connect to JWT service"):
        await tokens.validate(token)
    link.broken = False
    assert await tokens.validate(token)
    assert link.opened == 2


async def test_the_gateway_lets_in_who_has_the_scope_and_tells_the_module_who_it_is() -> None:
    authorizer = JwtAuthorizer(local())
    token = await local().generate({"sub": "alice", "scope": "read write"})
    told = await authorizer.authorize("jwt:read", "m", f"Bearer {token}")
    assert told["X-Auth-Subject"] == "alice"
    assert json.loads(told["X-Auth-Claims"])["scope"] == "read write"
    assert await authorizer.authorize("JWT", "m", f"Bearer {token}")
    injected = "a\r\nX-Admin: 1"
    for auth, header, status in (
        ("jwt", None, 401),
        ("jwt", "Basic YTpi", 401),
        ("jwt", f"Bearer {token}x", 401),
        ("jwt:read admin", f"Bearer {token}", 403),
        ("mtls", f"Bearer {token}", 503),
        ("", f"Bearer {token}", 503),
        ("jwt", f"Bearer {await local().generate({'sub': injected})}", 401),
        ("jwt", f"Bearer {await local().generate({'sub': 'a', 'x': 'y' * 5_000})}", 401),
        ("jwt:read", f"Bearer {await local().generate({'sub': 'a', 'scope': ['read']})}", 403),
    ):
        with pytest.raises(Unauthorized) as caught:
            await authorizer.authorize(auth, "m", header)
        assert caught.value.status == status, (auth, header)


async def test_a_key_that_is_a_secret_is_followed_and_tokens_of_the_one_before_live_on_for_their_time(
    tmp_path: Path,
) -> None:
    now = [0.0]
    async with await Database.open(f"sqlite:///{tmp_path}/runtime.db") as database:
        await upgrade(database, [MIGRATIONS])
        store = await SecretStore.open(database, MasterKeys([bytes(32)]), registry=SecretRegistry())
        await store.set({"JWT": f"1-{SECRET}"}, actor="operator:test")
        keys = StoredKeys(store, "JWT", None, overlap=100.0, clock=lambda: now[0])
        tokens = LocalTokens(keys, signer=keys.current)
        first = await tokens.generate({"sub": "a"})
        await store.set({"JWT": f"2-{SECRET}"}, actor="operator:test")
        now[0] = 2.0
        second = await tokens.generate({"sub": "b"})
        assert [(await tokens.validate(each))["sub"] for each in (first, second)] == ["a", "b"]
        foreign = jwt.encode({"sub": "c", "exp": 4_102_444_800}, f"2-{SECRET}", "HS256", headers={"kid": "theirs"})
        assert (await tokens.validate(foreign))["sub"] == "c"
        now[0] = 103.0
        with pytest.raises(TokenInvalid, match="InvalidSignature"):
            await tokens.validate(first)
        assert (await tokens.validate(second))["sub"] == "b"
        reads = [row.operation for row in await store.audit("JWT") if row.operation == "get"]
        assert len(reads) == 2, "one for each version, however many tokens"
        await store.delete(["JWT"], actor="operator:test")
        now[0] = 106.0
        with pytest.raises(AuthUnavailable):
            await tokens.validate(second)
        await store.set({"JWT": PEM}, actor="operator:test")
        now[0] = 109.0
        with pytest.raises(TokenInvalid):
            await tokens.validate(second)
        assert jwt.get_unverified_header(await tokens.generate({"sub": "d"}))["alg"] == "EdDSA"


async def test_a_stack_takes_keys_from_a_key_set_and_leaves_nothing_open(tmp_path: Path) -> None:
    key = JwtKey.pem(PEM, kid="e1")
    token = await LocalTokens(KeySet([key]), signer=key).generate({"sub": "a"})
    jwk = {**jwt.algorithms.OKPAlgorithm.to_jwk(key.verifying, as_dict=True), "kid": "e1"}

    async def keys(_request: web.Request) -> web.Response:
        return web.json_response({"keys": [jwk]})

    app = web.Application()
    app.add_routes([web.get("/keys", keys)])
    async with http_running(app, "127.0.0.1", 0) as server, await Database.open("sqlite://") as database:
        module = {"kind": "module", "command": ["sh"], "tokens": {}}
        stack = parse_stack({"modules": {"m": module}, "jwt": {"jwks": f"{server.url}/keys"}}, "test")
        services = await open_services(stack, database, {})
        assert services.authorizer is not None
        told = await services.authorizer.authorize("jwt", "m", f"Bearer {token}")
        assert told["X-Auth-Subject"] == "a"
        await services.hosts["Jwt"].close()
