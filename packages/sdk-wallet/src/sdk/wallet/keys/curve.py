"""secp256k1 on bytes: the few primitives everything else is made of, straight on coincurve's libsecp256k1.

coincurve's own classes are not used because a ``coincurve.PrivateKey`` computes two public keys at construction, and
because its point multiplication runs in time that depends on the scalar. Here every operation with a secret scalar is
the library's constant-time one (``public_point``, ``shared_point``, ``sign``, sums and products of scalars);
``multiply_public`` and ``verify`` are for public values only.

A ``Point`` is an opaque, never modified libsecp256k1 structure. Scalars and digests are 32 bytes, big-endian.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coincurve._libsecp256k1 import ffi, lib  # type: ignore[import-not-found]
from coincurve.context import GLOBAL_CONTEXT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    Point: TypeAlias = Any

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HALF_ORDER = ORDER >> 1
FIELD = 2**256 - 2**32 - 977

_context = GLOBAL_CONTEXT.ctx
_new = ffi.new
_buffer = ffi.buffer
_POINT = ffi.typeof("secp256k1_pubkey *")  # a type by its name is looked up each time
_SIGNATURE = ffi.typeof("secp256k1_ecdsa_signature *")
_BYTES_32, _BYTES_33 = ffi.typeof("unsigned char[32]"), ffi.typeof("unsigned char[33]")
_SIZE = ffi.typeof("size_t *")
_COMPRESSED = lib.SECP256K1_EC_COMPRESSED
_UNCOMPRESSED = lib.SECP256K1_EC_UNCOMPRESSED
_NULL = ffi.NULL


def is_scalar(data: bytes) -> bool:
    """Whether ``data`` is 32 bytes that stand for 1 .. order-1."""
    return len(data) == 32 and 0 < int.from_bytes(data, "big") < ORDER


def add_scalars(left: bytes, right: bytes) -> bytes:
    """``left + right`` modulo the order, both below it. Raises ``ValueError`` if the sum is zero."""
    total = _new(_BYTES_32, left)
    if not lib.secp256k1_ec_seckey_tweak_add(_context, total, right):
        raise ValueError("not scalars of secp256k1, or their sum is zero")
    return bytes(_buffer(total))


def multiply_scalars(left: bytes, right: bytes) -> bytes:
    """``left * right`` modulo the order. Raises ``ValueError`` unless both are scalars."""
    product = _new(_BYTES_32, left)
    if not lib.secp256k1_ec_seckey_tweak_mul(_context, product, right):
        raise ValueError("not scalars of secp256k1")
    return bytes(_buffer(product))


def parse_point(data: bytes) -> Point:
    """The point of a 33- or 65-byte encoding (hybrid forms included). Raises ``ValueError`` if there is none."""
    point = _new(_POINT)
    if not lib.secp256k1_ec_pubkey_parse(_context, point, data, len(data)):
        raise ValueError("not the encoding of a point on secp256k1")
    return point


def serialize_point(point: Point) -> bytes:
    """33 bytes."""
    output, size = _new(_BYTES_33), _new(_SIZE, 33)
    lib.secp256k1_ec_pubkey_serialize(_context, output, size, point, _COMPRESSED)
    return bytes(_buffer(output))


def serialize_point_uncompressed(point: Point) -> bytes:
    """65 bytes."""
    output, size = _new("unsigned char[65]"), _new(_SIZE, 65)
    lib.secp256k1_ec_pubkey_serialize(_context, output, size, point, _UNCOMPRESSED)
    return bytes(_buffer(output))


def public_point(secret: bytes) -> Point:
    """``secret``·G. Raises ``ValueError`` for zero or a scalar not below the order."""
    point = _new(_POINT)
    if not lib.secp256k1_ec_pubkey_create(_context, point, secret):
        raise ValueError("not a scalar of secp256k1")
    return point


@ffi.callback("int(unsigned char *, const unsigned char *, const unsigned char *, void *)")  # type: ignore[untyped-decorator]
def _keep_point(output: Any, x: Any, y: Any, _data: Any) -> int:
    ffi.memmove(output + 1, x, 32)
    output[0] = 2 | (y[31] & 1)
    return 1


def shared_point(secret: bytes, point: Point) -> bytes:
    """``secret``·``point`` as 33 bytes, in constant time. Raises ``ValueError`` for a bad scalar."""
    output = _new(_BYTES_33)
    if not lib.secp256k1_ecdh(_context, output, point, secret, _keep_point, _NULL):
        raise ValueError("not a scalar of secp256k1")
    return bytes(_buffer(output))


def multiply_public(point: Point, scalar: bytes) -> Point:
    """``scalar``·``point``, in time that depends on them: for public values. Raises ``ValueError`` for a bad scalar."""
    product = _new(_POINT, point[0])
    if not lib.secp256k1_ec_pubkey_tweak_mul(_context, product, scalar):
        raise ValueError("not a scalar of secp256k1")
    return product


def add_points(points: Sequence[Point]) -> Point:
    """Their sum. Raises ``ValueError`` if it is the point at infinity."""
    total = _new(_POINT)
    if not lib.secp256k1_ec_pubkey_combine(_context, total, list(points), len(points)):
        raise ValueError("the sum is the point at infinity")
    return total


def add_generator(point: Point, scalar: bytes) -> Point:
    """``point + scalar·G`` (quicker than the library's tweak, and constant time). Raises ``ValueError``."""
    return add_points((point, public_point(scalar)))


def sign(secret: bytes, digest: bytes) -> bytes:
    """DER signature, low S, deterministic (RFC 6979). Raises ``ValueError`` for a bad scalar or digest length."""
    if len(digest) != 32:
        raise ValueError("a digest has 32 bytes")
    signature = _new(_SIGNATURE)
    if not lib.secp256k1_ecdsa_sign(_context, signature, digest, secret, _NULL, _NULL):
        raise ValueError("not a scalar of secp256k1")
    return _serialize_der(signature)


def _serialize_der(signature: Any) -> bytes:
    output, size = _new("unsigned char[72]"), _new(_SIZE, 72)
    lib.secp256k1_ecdsa_signature_serialize_der(_context, output, size, signature)
    return bytes(_buffer(output, size[0]))


@ffi.callback(  # type: ignore[untyped-decorator]
    "int(unsigned char *, const unsigned char *, const unsigned char *, const unsigned char *, void *, unsigned int)"
)
def _given_nonce(output: Any, _message: Any, _key: Any, _algorithm: Any, data: Any, attempt: int) -> int:
    ffi.memmove(output, data, 32)
    return 0 if attempt else 1


def sign_with_nonce(secret: bytes, digest: bytes, nonce: bytes) -> bytes:
    """DER signature with a nonce of the caller's (R-puzzles), low S. Raises ``ValueError`` for a bad scalar.

    Two digests signed with one nonce, or a nonce that others know, give the secret away.
    """
    if len(digest) != 32 or not is_scalar(nonce):
        raise ValueError("a digest has 32 bytes, and a nonce is a scalar of secp256k1")
    signature, data = _new(_SIGNATURE), _new(_BYTES_32, nonce)
    if not lib.secp256k1_ecdsa_sign(_context, signature, digest, secret, _given_nonce, data):
        raise ValueError("not a scalar of secp256k1")
    return _serialize_der(signature)


def sign_recoverable(secret: bytes, digest: bytes) -> tuple[bytes, int]:
    """The same signature as r ‖ s (64 bytes), and the recovery id 0..3."""
    if len(digest) != 32:
        raise ValueError("a digest has 32 bytes")
    signature = _new("secp256k1_ecdsa_recoverable_signature *")
    if not lib.secp256k1_ecdsa_sign_recoverable(_context, signature, digest, secret, _NULL, _NULL):
        raise ValueError("not a scalar of secp256k1")
    output, recovery = _new("unsigned char[64]"), _new("int *")
    lib.secp256k1_ecdsa_recoverable_signature_serialize_compact(_context, output, recovery, signature)
    return bytes(_buffer(output)), int(recovery[0])


def recover(compact: bytes, recovery: int, digest: bytes) -> Point:
    """The point that signed. Raises ``ValueError`` if there is none."""
    if len(compact) != 64 or not 0 <= recovery <= 3 or len(digest) != 32:
        raise ValueError("r and s take 64 bytes, the recovery id is 0..3, a digest has 32 bytes")
    signature, point = _new("secp256k1_ecdsa_recoverable_signature *"), _new(_POINT)
    if not lib.secp256k1_ecdsa_recoverable_signature_parse_compact(_context, signature, compact, recovery):
        raise ValueError("r or s is not below the order")
    if not lib.secp256k1_ecdsa_recover(_context, point, signature, digest):
        raise ValueError("no public key has made this signature")
    return point


def verify(point: Point, der: bytes, digest: bytes) -> bool:
    """Whether a strictly encoded DER signature with low S holds for ``digest``; a high S is false."""
    signature = _new(_SIGNATURE)
    if len(digest) != 32 or not lib.secp256k1_ecdsa_signature_parse_der(_context, signature, der, len(der)):
        return False
    return bool(lib.secp256k1_ecdsa_verify(_context, signature, digest, point))


def verify_compact(point: Point, compact: bytes, digest: bytes) -> bool:
    """Whether r ‖ s (64 bytes, any S) holds for ``digest``."""
    signature = _new(_SIGNATURE)
    if len(digest) != 32 or len(compact) != 64:
        return False
    if not lib.secp256k1_ecdsa_signature_parse_compact(_context, signature, compact):
        return False
    lib.secp256k1_ecdsa_signature_normalize(_context, signature, signature)
    return bool(lib.secp256k1_ecdsa_verify(_context, signature, digest, point))
