"""BIP-276: scripts and other data as text with prefix, network, version and checksum."""

from __future__ import annotations

import re
from typing import NamedTuple

from sdk.core.encodings import hash256
from sdk.core.errors import ParseError

SCRIPT = "bitcoin-script"
TEMPLATE = "bitcoin-template"
MAINNET, TESTNET = 1, 2
_WHAT = "BIP-276 text"
_FORM = re.compile(r"([^:]{1,100}):([0-9a-fA-F]{2})([0-9a-fA-F]{2})((?:[0-9a-fA-F]{2})*)([0-9a-fA-F]{8})", re.ASCII)


class Bip276(NamedTuple):
    """``network`` and ``version`` are 1 to 255."""

    data: bytes
    prefix: str = SCRIPT
    network: int = MAINNET
    version: int = 1

    @classmethod
    def parse(cls, text: str) -> Bip276:
        """Raises ``ParseError``."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise ParseError(_WHAT, "is not <prefix>:<network><version><data><checksum> in hex")
        prefix, network, version, data, checksum = match.groups()
        found = cls(bytes.fromhex(data), prefix, int(network, 16), int(version, 16))
        if found.network == 0 or found.version == 0:
            raise ParseError(_WHAT, "network and version are 1 to 255", len(prefix) + 1)
        if hash256(text[:-8].encode())[:4].hex() != checksum.lower():
            raise ParseError(_WHAT, "the checksum does not match", len(text) - 8)
        return found

    def __str__(self) -> str:
        """Raises ``ValueError`` for a network or version out of range."""
        if not (1 <= self.network <= 255 and 1 <= self.version <= 255 and self.prefix and ":" not in self.prefix):
            raise ValueError("network and version are 1 to 255, and a prefix has no colon")
        payload = f"{self.prefix}:{self.network:02x}{self.version:02x}{self.data.hex()}"
        return payload + hash256(payload.encode())[:4].hex()
