"""Keys that sign and verify tokens. What a key is decides which algorithms it may be used with, never the token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.auth.errors import TokenInvalid
from sdk.module_runtime.secrets.typed import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SYMMETRIC: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""Algorithm to the bytes a secret must have at least (RFC 7518 §3.2)."""
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512", "secp256k1": "ES256K"}
_SMALLEST_RSA: Final = 2048


@dataclass(frozen=True, slots=True, repr=False)
class JwtKey:
    """Use ``secret``, ``pem`` or ``jwk``. ``signing`` is None for a public key."""

    algorithms: tuple[str, ...]
    verifying: Any = field(repr=False)
    signing: Any = field(default=None, repr=False)
    kid: str | None = None

    def __repr__(self) -> str:
        return f"<JwtKey {self.kid or ''} {'/'.join(self.algorithms)}{'' if self.can_sign else ', public'}>"

    @property
    def can_sign(self) -> bool:
        return self.signing is not None

    @property
    def algorithm(self) -> str:
        """What it signs with."""
        return self.algorithms[0]

    @classmethod
    def secret(
        cls, secret: Secret[str] | Secret[bytes] | str | bytes, algorithm: str = "HS256", *, kid: str | None = None
    ) -> JwtKey:
        """For HS256, HS384 or HS512. Raises ``ConfigurationError`` for one that is too short, or is a public key."""
        if algorithm not in SYMMETRIC:
            raise ConfigurationError(f"a shared secret is for {', '.join(SYMMETRIC)}, not for {algorithm}")
        held: Secret[Any] = secret if isinstance(secret, Secret) else Secret(secret)
        value = held.expose()
        data = value.encode() if isinstance(value, str) else value
        if len(data) < SYMMETRIC[algorithm]:
            raise ConfigurationError(f"{algorithm} needs a secret of at least {SYMMETRIC[algorithm]} bytes")
        if b"-----BEGIN " in data or data.startswith((b"ssh-", b"ecdsa-sha2-")):
            raise ConfigurationError("that is an asymmetric key: whoever has its public half could make tokens")
        kept = Secret(data)
        return cls((algorithm,), kept, kept, kid)

    @classmethod
    def pem(
        cls,
        pem: Secret[str] | Secret[bytes] | str | bytes,
        algorithm: str | None = None,
        *,
        password: bytes | None = None,
        kid: str | None = None,
    ) -> JwtKey:
        """A private or public key. ``algorithm`` narrows what an RSA key may be used for; by default RS256."""
        held: Secret[Any] = pem if isinstance(pem, Secret) else Secret(pem)
        value = held.expose()
        data = value.encode() if isinstance(value, str) else value
        try:
            if b"PRIVATE KEY-----" in data:
                private: Any = load_pem_private_key(data, password)
                public: Any = private.public_key()
            else:
                private, public = None, load_pem_public_key(data)
        except (ValueError, TypeError, UnsupportedAlgorithm):  # whose texts may show parts of the key
            raise ConfigurationError("the key cannot be read: give PEM, and the password if it has one") from None
        return cls(_algorithms_of(public, algorithm), public, private, kid)

    @classmethod
    def jwk(cls, jwk: Mapping[str, Any]) -> JwtKey:
        """A JSON Web Key (RFC 7517) whose ``use`` is not ``enc``. Of a private one only the public half is kept."""
        if jwk.get("use", "sig") != "sig":
            raise ConfigurationError("the JWK is not for signatures")
        kid = jwk.get("kid")
        named = jwk.get("alg")
        if not isinstance(kid, (str, type(None))) or not isinstance(named, (str, type(None))):
            raise ConfigurationError("kid and alg of a JWK are texts")
        if jwk.get("kty") == "oct":
            raise ConfigurationError("a JWK with a shared secret does not belong into a public set")
        try:
            key: Any = jwt.PyJWK(dict(jwk), algorithm=named).key
            public = key.public_key() if hasattr(key, "public_key") else key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, NotImplementedError):  # the last for alg "none"
            raise ConfigurationError("the JWK cannot be read") from None
        return cls(_algorithms_of(public, named), public, None, kid)


def _algorithms_of(public: Any, wanted: str | None) -> tuple[str, ...]:
    if isinstance(public, rsa.RSAPublicKey):
        if public.key_size < _SMALLEST_RSA:
            raise ConfigurationError(f"RSA keys have at least {_SMALLEST_RSA} bits")
        allowed: tuple[str, ...] = _RSA
        found = (wanted or "RS256",)
    elif isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in _CURVES:
        allowed = found = (_CURVES[public.curve.name],)
    elif isinstance(public, (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)):
        allowed = found = ("EdDSA",)
    else:
        raise ConfigurationError("tokens are signed with RSA, EC (P-256, P-384, P-521, secp256k1) or Ed25519 keys")
    if wanted is not None and wanted not in allowed:
        raise ConfigurationError(f"this key is for {', '.join(allowed)}, not for {wanted}")
    return found


class Keys(Protocol):
    async def find(self, kid: str | None, algorithm: str) -> JwtKey:
        """The key that must have signed a token with this header. Raises ``TokenInvalid`` or ``AuthUnavailable``."""
        ...

    async def close(self) -> None: ...


class KeySet:
    """Fixed keys. With several, a token names its own by ``kid``; a single key without one is used for all tokens."""

    def __init__(self, keys: Iterable[JwtKey]) -> None:
        self.keys = tuple(keys)
        kids = [key.kid for key in self.keys]
        if not self.keys or (len(self.keys) > 1 and (None in kids or len(set(kids)) != len(kids))):
            raise ConfigurationError("give one key, or several that each have a kid of their own")

    async def find(self, kid: str | None, algorithm: str) -> JwtKey:
        return self.find_now(kid, algorithm)

    async def close(self) -> None:
        """Nothing is held."""

    def find_now(self, kid: str | None, algorithm: str) -> JwtKey:
        if len(self.keys) == 1 and (self.keys[0].kid is None or kid is None):
            found = self.keys[0]
        else:
            named = [key for key in self.keys if kid is not None and key.kid == kid]
            if not named:
                raise TokenInvalid("UnknownKey")
            found = named[0]
        if algorithm not in found.algorithms:
            raise TokenInvalid("InvalidAlgorithm")
        return found
