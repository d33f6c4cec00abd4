"""Hierarchical keys (BIP-32), for wallets of before BRC-42."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, replace

from sdk.core.chain import CHAINS
from sdk.core.errors import InvalidPublicKey, ParseError
from sdk.wallet.keys import base58
from sdk.wallet.keys.errors import DerivationError, InvalidPrivateKey
from sdk.wallet.keys.hashes import hmac_sha512
from sdk.wallet.keys.private_key import PrivateKey
from sdk.wallet.keys.public_key import PublicKey

HARDENED = 0x80000000
_WHAT = "extended key"
_STEP = re.compile(r"(\d{1,10})(['hH]?)", re.ASCII)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ExtendedKey:
    """A private or public key with its chain code and place. Does not print a private key."""

    key: PrivateKey | PublicKey
    chain_code: bytes
    depth: int = 0
    parent_fingerprint: bytes = bytes(4)
    number: int = 0
    chain: str = "main"

    @classmethod
    def from_seed(cls, seed: bytes, chain: str = "main") -> ExtendedKey:
        """The master key of 16 to 64 bytes. Raises ``ValueError``, or ``DerivationError`` (probability 2^-127)."""
        if not 16 <= len(seed) <= 64:
            raise ValueError(f"a seed has 16 to 64 bytes, not {len(seed)}")
        digest = hmac_sha512(b"Bitcoin seed", seed)
        try:
            return cls(PrivateKey(digest[:32]), digest[32:], chain=chain)
        except InvalidPrivateKey:
            raise DerivationError("this seed has no master key; take another") from None

    @classmethod
    def parse(cls, text: str) -> ExtendedKey:
        """From xprv or xpub text (tprv, tpub). Raises ``ParseError``, which does not repeat a private key."""
        data = base58.decode_check(text, _WHAT)
        if len(data) != 78:
            raise ParseError(_WHAT, f"holds {len(data)} bytes instead of 78")
        chain, private = _version(data[:4])
        depth, fingerprint, number = data[4], data[5:9], int.from_bytes(data[9:13], "big")
        if depth == 0 and (any(fingerprint) or number):
            raise ParseError(_WHAT, "a master key has no parent and no number", 4)
        return cls(_parse_key(data[45:], private), data[13:45], depth, fingerprint, number, chain)

    @property
    def is_private(self) -> bool:
        return isinstance(self.key, PrivateKey)

    @property
    def private_key(self) -> PrivateKey:
        """Raises ``DerivationError`` for a public one."""
        if not isinstance(self.key, PrivateKey):
            raise DerivationError("this extended key is public")
        return self.key

    @property
    def public_key(self) -> PublicKey:
        return self.key.public_key if isinstance(self.key, PrivateKey) else self.key

    def to_public(self) -> ExtendedKey:
        """The same place without the private key."""
        return replace(self, key=self.public_key)

    def child(self, number: int) -> ExtendedKey:
        """Child ``number``; from 2^31 on hardened. Raises ``DerivationError`` for a hardened child of a public key."""
        if not 0 <= number < 2 * HARDENED:
            raise ValueError(f"a child has a 32-bit number, not {number}")
        if self.depth == 255:
            raise DerivationError("the tree is 255 levels deep at most")
        data = self.public_key.to_bytes() if number < HARDENED else b"\x00" + self.private_key.to_bytes()
        digest = hmac_sha512(self.chain_code, data + number.to_bytes(4, "big"))
        fingerprint = self.public_key.hash160()[:4]
        return ExtendedKey(self.key.add(digest[:32]), digest[32:], self.depth + 1, fingerprint, number, self.chain)

    def derive(self, path: str) -> ExtendedKey:
        """Follow ``m/44'/0'/0'/0/1``. Raises ``ParseError`` or ``DerivationError``."""
        key = self
        for number in parse_path(path):
            key = key.child(number)
        return key

    def __str__(self) -> str:
        """The xprv or xpub text. Handle with care."""
        parameters = CHAINS[self.chain]
        version = parameters.extended_private_prefix if self.is_private else parameters.extended_public_prefix
        body = b"\0" + self.private_key.to_bytes() if self.is_private else self.public_key.to_bytes()
        place = bytes((self.depth,)) + self.parent_fingerprint + self.number.to_bytes(4, "big")
        return base58.encode_check(version + place + self.chain_code + body)

    def __repr__(self) -> str:
        return f"ExtendedKey({'private' if self.is_private else 'public'}, depth {self.depth}, number {self.number})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExtendedKey):
            return NotImplemented
        same_code = hmac.compare_digest(self.chain_code, other.chain_code)
        return same_code and self.key == other.key and self._place() == other._place()

    __hash__ = None  # type: ignore[assignment]

    def _place(self) -> tuple[int, bytes, int, str]:
        return self.depth, self.parent_fingerprint, self.number, self.chain


def parse_path(path: str) -> list[int]:
    """The child numbers of ``m/0'/1``; ``m`` may be left out. Raises ``ParseError``."""
    steps = path.split("/")
    if steps[0] in ("m", "M"):
        steps = steps[1:]
    if len(steps) > 255:
        raise ParseError("derivation path", "the tree is 255 levels deep at most")
    numbers = []
    for step in steps:
        match = _STEP.fullmatch(step)
        if match is None or int(match[1]) >= HARDENED:
            raise ParseError("derivation path", f"{step[:20]!r} is not a number below 2^31, or one with ' for hardened")
        numbers.append(int(match[1]) + (HARDENED if match[2] else 0))
    return numbers


def _version(prefix: bytes) -> tuple[str, bool]:
    for name in ("main", "test"):
        if prefix == CHAINS[name].extended_private_prefix:
            return name, True
        if prefix == CHAINS[name].extended_public_prefix:
            return name, False
    raise ParseError(_WHAT, f"unknown version {prefix.hex()}", 0)


def _parse_key(data: bytes, private: bool) -> PrivateKey | PublicKey:
    try:
        if not private:
            return PublicKey(data)
        if data[0] == 0:
            return PrivateKey(data[1:])
    except (InvalidPrivateKey, InvalidPublicKey):
        raise ParseError(_WHAT, "the key is out of range or no point", 45) from None
    raise ParseError(_WHAT, "a private key is written with a zero byte before it", 45)
