"""Tokens: every algorithm, and every way in which one proves nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import traceback
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from aiohttp import ClientSession, web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.auth import (
    CLAIMS,
    AuthUnavailable,
    Claims,
    JwksKeys,
    JwtKey,
    KeySet,
    LocalTokens,
    TokenInvalid,
    TokenNotAllowed,
    TokenPolicy,
    jwt_middleware,
)
from sdk.module_runtime.auth.jwks import keys_of
from sdk.module_runtime.secrets.redaction import redact_secrets
from sdk.service.http_app.server import running
from sdk.service.http_client import HttpClient
from support.requirements import vectors

if TYPE_CHECKING:
    from collections.abc import Callable

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
SECRET = "a-secret-of-the-auth-tests-0123456789abcdef0123456789abcdef01234567"
LATER = 4_102_444_800


def pem_of(key: Any) -> bytes:
    data: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return data


def public_pem_of(key: Any) -> bytes:
    data: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return data


RSA, EC, ED = (
    rsa.generate_private_key(65537, 2048),
    ec.generate_private_key(ec.SECP256R1()),
    ed25519.Ed25519PrivateKey.generate(),
)
KEYS: dict[str, Callable[[], JwtKey]] = {
    "HS256": lambda: JwtKey.secret(SECRET),
    "HS384": lambda: JwtKey.secret(SECRET, "HS384"),
    "HS512": lambda: JwtKey.secret(SECRET.encode(), "HS512"),
    "RS256": lambda: JwtKey.pem(pem_of(RSA)),
    "PS384": lambda: JwtKey.pem(pem_of(RSA).decode(), "PS384"),
    "ES256": lambda: JwtKey.pem(pem_of(EC)),
    "ES384": lambda: JwtKey.pem(pem_of(ec.generate_private_key(ec.SECP384R1()))),
    "ES512": lambda: JwtKey.pem(pem_of(ec.generate_private_key(ec.SECP521R1()))),
    "EdDSA": lambda: JwtKey.pem(pem_of(ED)),
}


def tokens_of(key: JwtKey, **policy: Any) -> LocalTokens:
    return LocalTokens(KeySet([key]), TokenPolicy(**policy), signer=key if key.can_sign else None)


async def reason_of(tokens: Any, token: str) -> str:
    with pytest.raises(TokenInvalid) as caught:
        await tokens.validate(token)
    shown = "".join(traceback.format_exception(caught.value))
    assert token not in shown or not token
    assert SECRET not in shown
    return caught.value.reason


def forged(header: dict[str, Any], claims: Any, signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


@pytest.mark.parametrize("algorithm", KEYS)
async def test_what_a_key_signs_it_verifies_and_no_change_of_it(algorithm: str) -> None:
    key = KEYS[algorithm]()
    tokens = tokens_of(key)
    token = await tokens.generate({"sub": "alice", "role": "admin"})
    assert jwt.get_unverified_header(token)["alg"] == algorithm
    claims = await tokens.validate(token)
    assert (claims["sub"], claims["role"]) == ("alice", "admin")
    assert claims["exp"] - claims["iat"] == 3600
    header, payload, signature = token.split(".")
    other = forged({}, {"sub": "mallory", "exp": LATER}).split(".")[1]
    for bad in (f"{header}.{other}.{signature}", f"{header}.{payload}.", f"{header}.{payload}.{'A' * len(signature)}"):
        assert await reason_of(tokens, bad) in ("InvalidSignature", "InvalidToken")


async def test_expiry_audience_issuer_and_not_before_are_checked_without_being_asked_for() -> None:
    key = JwtKey.secret(SECRET)
    now = int(time.time())

    def signed(**claims: Any) -> str:
        return jwt.encode(claims, SECRET, "HS256")

    plain = tokens_of(key)
    strict = tokens_of(key, audience=("my-app",), issuer="https://issuer", leeway=0.0, required=("exp", "sub"))
    assert await reason_of(plain, signed(sub="a", exp=now - 61)) == "ExpiredSignature"
    assert (await plain.validate(signed(sub="a", exp=now - 50)))["sub"] == "a", "clocks may differ by the leeway"
    assert await reason_of(plain, signed(sub="a")) == "MissingRequiredClaim"
    assert await reason_of(plain, signed(sub="a", exp=LATER, nbf=now + 100)) == "ImmatureSignature"
    assert await reason_of(plain, signed(sub="a", exp=LATER, aud="other-app")) == "InvalidAudience"
    assert (
        await reason_of(strict, signed(sub="a", exp=now - 2, aud="my-app", iss="https://issuer")) == "ExpiredSignature"
    )
    assert await reason_of(strict, signed(sub="a", exp=LATER, aud="other", iss="https://issuer")) == "InvalidAudience"
    assert await reason_of(strict, signed(sub="a", exp=LATER, aud="my-app", iss="https://evil")) == "InvalidIssuer"
    assert await reason_of(strict, signed(sub="a", exp=LATER, aud="my-app")) == "MissingRequiredClaim"
    assert await reason_of(strict, signed(exp=LATER, aud="my-app", iss="https://issuer")) == "MissingRequiredClaim"
    assert (await strict.validate(await strict.generate({"sub": "a"})))["aud"] == "my-app"


async def test_the_token_never_chooses_the_algorithm() -> None:
    """CVE-2015-9235 and its kin: ``none``, and a public key used as a shared secret."""
    claims = {"sub": "mallory", "exp": LATER}
    public = public_pem_of(RSA)
    verifier = tokens_of(JwtKey.pem(public))
    header = forged({"alg": "HS256"}, claims).rsplit(".", 1)[0]
    mac = hmac.new(public, header.encode(), hashlib.sha256).digest()
    confused = f"{header}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
    assert await reason_of(verifier, confused) == "InvalidAlgorithm"
    for tokens in (verifier, tokens_of(JwtKey.secret(SECRET))):
        for name in ("none", "None", "nOnE", "", "HS512", "RS512", "XX"):
            for signature in (b"", b"x" * 32):
                assert await reason_of(tokens, forged({"alg": name}, claims, signature)) == "InvalidAlgorithm"
        assert await reason_of(tokens, forged({"alg": None}, claims)) in ("InvalidAlgorithm", "InvalidToken")
    assert await reason_of(verifier, jwt.encode(claims, RSA, "RS512")) == "InvalidAlgorithm"
    assert await reason_of(verifier, jwt.encode(claims, RSA, "PS256")) == "InvalidAlgorithm"


async def test_keys_in_the_tokens_header_and_critical_extensions_are_not_believed() -> None:
    tokens = tokens_of(JwtKey.secret(SECRET))
    evil = {"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode()}
    claims = {"sub": "mallory", "exp": LATER}
    extra: dict[str, Any]
    for extra in ({"jwk": evil}, {"jku": "https://evil/keys"}, {"x5u": "https://evil"}):
        token = jwt.encode(claims, b"x" * 32, "HS256", headers=extra)
        assert await reason_of(tokens, token) == "InvalidSignature"
    for extra in ({"crit": ["exp"], "exp": 1}, {"kid": 5}, {"kid": ["a"]}):
        assert await reason_of(tokens, forged({"alg": "HS256", **extra}, claims, b"x" * 32)) == "InvalidToken"


async def test_several_keys_are_told_apart_by_name_and_each_keeps_its_algorithm() -> None:
    old, new = JwtKey.secret(SECRET, kid="old"), JwtKey.pem(pem_of(EC), kid="new")
    tokens = LocalTokens(KeySet([old, new]), signer=new)
    assert (await tokens.validate(await tokens.generate({"sub": "a"})))["sub"] == "a"
    assert await tokens.validate(await LocalTokens(KeySet([old]), signer=old).generate({"sub": "b"}))
    claims = {"sub": "a", "exp": LATER}
    assert await reason_of(tokens, jwt.encode(claims, SECRET, "HS256")) == "UnknownKey"
    assert await reason_of(tokens, jwt.encode(claims, SECRET, "HS256", headers={"kid": "x"})) == "UnknownKey"
    assert await reason_of(tokens, jwt.encode(claims, SECRET, "HS256", headers={"kid": "new"})) == "InvalidAlgorithm"
    for keys in ([], [old, JwtKey.secret(SECRET)], [old, JwtKey.secret(SECRET, kid="old")]):
        with pytest.raises(ConfigurationError):
            KeySet(keys)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: JwtKey.secret("short-secret"), "at least 32 bytes"),
        (lambda: JwtKey.secret(SECRET[:40], "HS512"), "at least 64 bytes"),
        (lambda: JwtKey.secret(SECRET, "RS256"), "not for RS256"),
        (lambda: JwtKey.secret(public_pem_of(RSA)), "asymmetric"),
        (lambda: JwtKey.pem(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"), "cannot be read"),
        (lambda: JwtKey.pem(pem_of(RSA), "ES256"), "not for ES256"),
        (lambda: JwtKey.pem(pem_of(RSA), "none"), "not for none"),
        (lambda: JwtKey.pem(pem_of(rsa.generate_private_key(65537, 1024))), "at least 2048 bits"),
        (lambda: LocalTokens(KeySet([JwtKey.pem(public_pem_of(EC))]), signer=JwtKey.pem(public_pem_of(EC))), "public"),
    ],
)
def test_keys_that_protect_nothing_are_refused(make: Callable[[], Any], expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected) as caught:
        make()
    assert "short-secret" not in "".join(traceback.format_exception(caught.value)).replace('"short-secret"', "")


def test_keys_are_not_printed_and_shared_ones_are_redacted() -> None:
    for make in KEYS.values():
        assert SECRET not in repr(make())
    assert SECRET not in redact_secrets(f"key {SECRET}")
    keep = JwtKey.pem(pem_of(RSA))
    line = pem_of(RSA).decode().splitlines()[3]
    assert keep.can_sign
    assert line not in redact_secrets(f"x {line} y")


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: base64.urlsafe_b64encode(data).decode()))
async def test_no_text_is_a_token_by_chance_nor_an_error_but_ours(text: str) -> None:
    tokens = tokens_of(JwtKey.secret(SECRET))
    for token in (text, f"{text}.{text}.{text}", f"eyJhbGciOiJIUzI1NiJ9.{text}.{text}"):
        with pytest.raises(TokenInvalid):
            await tokens.validate(token)


@given(ANYTHING)
async def test_signed_nonsense_is_refused_and_never_believed(claims: Any) -> None:
    token = jwt.api_jws.encode(json.dumps(claims).encode(), SECRET, "HS256")
    with pytest.raises(TokenInvalid):
        await tokens_of(JwtKey.secret(SECRET)).validate(token)
    for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti"):
        token = jwt.api_jws.encode(json.dumps({"exp": LATER, name: claims}).encode(), SECRET, "HS256")
        try:
            found = await tokens_of(JwtKey.secret(SECRET)).validate(token)
        except TokenInvalid:
            continue
        assert json.dumps(found[name]) == json.dumps(claims)


async def test_too_large_a_token_is_refused_before_it_is_read_and_not_made() -> None:
    tokens = tokens_of(JwtKey.secret(SECRET))
    assert await reason_of(tokens, jwt.encode({"a": "x" * 20_000, "exp": LATER}, SECRET, "HS256")) == "InvalidToken"
    deep = "[" * 5_000 + "]" * 5_000
    token = jwt.api_jws.encode(f'{{"exp":{LATER},"a":{deep}}}'.encode(), SECRET, "HS256")
    assert await reason_of(tokens, token) == "InvalidToken"
    for claims in ({"a": "x" * 20_000}, {"a": object()}, {"exp": "never"}, {"iss": 5}):
        with pytest.raises(TokenNotAllowed):
            await tokens.generate(claims)


class Staff(Claims):
    role: str


async def greet(request: web.Request) -> web.Response:
    claims = request.get(CLAIMS)
    return web.Response(text="nobody" if claims is None else f"{claims.sub}:{getattr(claims, 'role', '')}")


async def asked(tokens: Any, headers: Any, *, path: str = "/", **options: Any) -> tuple[int, Any, str | None]:
    app = web.Application(middlewares=[jwt_middleware(tokens, **options)])
    app.add_routes([web.get("/", greet), web.get("/open", greet)])
    async with (
        running(app, "127.0.0.1", 0) as server,
        ClientSession() as session,
        session.get(f"{server.url}{path}", headers=headers) as answer,
    ):
        body: Any = await (answer.json() if answer.content_type == "application/json" else answer.text())
        return answer.status, body, answer.headers.get("WWW-Authenticate")


async def test_the_middleware_answers_as_the_rust_layer_does() -> None:
    samples = json.loads(vectors("module-runtime", "18_literals_in_reference.json").read_text())["cases"]
    cases = next(case["data"] for case in samples if case["shows"].startswith("JWT claim samples"))
    key = JwtKey.secret(SECRET)
    for case in cases:
        policy = {"audience": ("my-app",)} if "aud" in case.get("validation", "") else {}
        signer = SECRET[::-1] if "signed_with" in case else SECRET
        headers: Any = {}
        if "claims" in case:
            headers["Authorization"] = f"Bearer {jwt.encode(case['claims'], signer, case.get('alg', 'HS256'))}"
        status, body, _ = await asked(tokens_of(key, **policy), headers)
        assert status == case["expect"], case
        if status == 200:
            assert body.rstrip(":") == case["body"].rstrip(":") or body.startswith(f"{case['body']}:")
    good = jwt.encode({"sub": "a", "exp": LATER}, SECRET[::-1], "HS256")
    for headers, expected in (
        ({}, "Missing Authorization header"),
        ({"Authorization": "Basic YTpi"}, "Missing Authorization header"),
        ({"Authorization": f"Bearer {good}"}, "Unauthorized: InvalidSignature"),
        ({"Authorization": "Bearer "}, "Unauthorized: InvalidToken"),
        ([("Authorization", "Bearer a.b.c"), ("Authorization", "Bearer d.e.f")], "Unauthorized: InvalidToken"),
    ):
        status, body, challenge = await asked(tokens_of(key), headers)
        assert (status, body) == (401, {"error": expected})
        assert challenge is not None


async def test_claims_models_open_paths_and_the_applications_own_judgement() -> None:
    tokens = tokens_of(JwtKey.secret(SECRET))
    admin = {"Authorization": f"bearer {await tokens.generate({'sub': 'a', 'role': 'admin'})}"}
    guest = {"Authorization": f"Bearer {await tokens.generate({'sub': 'b', 'role': 'guest'})}"}
    nobody = {"Authorization": f"Bearer {await tokens.generate({'sub': 'c'})}"}
    options: dict[str, Any] = {
        "claims": Staff,
        "open_paths": ["/open"],
        "allow": lambda _request, claims: claims.role == "admin",
    }
    assert (await asked(tokens, admin, **options))[:2] == (200, "a:admin")
    assert (await asked(tokens, guest, **options))[:2] == (403, {"error": "Forbidden"})
    assert (await asked(tokens, nobody, **options))[:2] == (401, {"error": "Unauthorized: InvalidClaims"})
    assert (await asked(tokens, {}, path="/open", **options))[:2] == (200, "nobody")
    assert (await asked(tokens, {}, path="/open/", **options))[0] == 401


async def test_nobody_is_let_in_while_nobody_can_judge() -> None:
    class Down:
        async def validate(self, token: str) -> dict[str, Any]:
            raise AuthUnavailable("Failed to connect to JWT service: gone")

    status, body, _ = await asked(Down(), {"Authorization": "Bearer a.b.c"})
    assert (status, body) == (503, {"error": "Failed to connect to JWT service: gone"})


def jwk_of(key: Any, kid: str, **members: Any) -> dict[str, Any]:
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, **members}


async def test_keys_of_a_set_are_fetched_renewed_for_new_names_and_used_while_the_source_is_down() -> None:
    now, asked_for, up = [1_000.0], [0], [True]
    published = [jwk_of(RSA, "r1", use="sig", alg="RS256")]

    async def keys(_request: web.Request) -> web.Response:
        asked_for[0] += 1
        return web.json_response({"keys": published}) if up[0] else web.Response(status=404)

    app = web.Application()
    app.add_routes([web.get("/keys", keys)])
    async with running(app, "127.0.0.1", 0) as server, HttpClient(server.url, service="issuer") as client:
        tokens = LocalTokens(JwksKeys(client, "/keys", clock=lambda: now[0]))
        by_rsa = LocalTokens(KeySet([rs := JwtKey.pem(pem_of(RSA), kid="r1")]), signer=rs)
        by_ec = LocalTokens(KeySet([es := JwtKey.pem(pem_of(EC), kid="e1")]), signer=es)
        first, second = await by_rsa.generate({"sub": "a"}), await by_ec.generate({"sub": "b"})
        for _ in range(3):
            assert (await tokens.validate(first))["sub"] == "a"
        assert asked_for == [1]
        for _ in range(3):
            assert await reason_of(tokens, second) == "UnknownKey"
        assert asked_for == [1], "an unknown name right after a fetch asks nobody"
        published.append(jwk_of(EC, "e1"))
        now[0] += 31
        assert (await tokens.validate(second))["sub"] == "b"
        assert asked_for == [2]
        up[0] = False
        now[0] += 700
        assert (await tokens.validate(first))["sub"] == "a"
        now[0] += 4_000
        with pytest.raises(AuthUnavailable):
            await tokens.validate(first)
        up[0] = True
        now[0] += 31
        assert (await tokens.validate(first))["sub"] == "a"


def test_a_key_set_gives_public_signature_keys_and_nothing_else() -> None:
    private = {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC)), "kid": "p"}
    document = {
        "keys": [
            jwk_of(RSA, "r", alg="PS256"),
            jwk_of(RSA, "enc", use="enc"),
            {"kty": "oct", "k": base64.urlsafe_b64encode(b"x" * 32).decode(), "kid": "s", "alg": "HS256"},
            {"kty": "RSA", "kid": "broken"},
            jwk_of(RSA, "none", alg="none"),
            private,
            5,
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "off-curve"},
        ]
    }
    found = keys_of(document)
    assert [(key.kid, key.algorithms, key.can_sign) for key in found] == [
        ("r", ("PS256",), False),
        ("p", ("ES256",), False),
    ]
    wrong: list[Any] = [None, [], {"keys": 5}, {"keys": [{}] * 101}]
    for bad in wrong:
        with pytest.raises(ConfigurationError):
            keys_of(bad)
