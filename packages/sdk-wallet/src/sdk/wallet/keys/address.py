"""Pay-to-public-key-hash addresses and the version bytes of each chain (spec/consensus.md §1.1)."""

from __future__ import annotations

from typing import NamedTuple

from sdk.core.errors import InvalidParameter, ParseError
from sdk.wallet.keys import base58

CHAINS = ("main", "test", "stn", "regtest", "teratest", "mock")


class Address(NamedTuple):
    """A decoded address: the chain family (``main`` or ``test``) and the 20-byte hash."""

    network: str
    public_key_hash: bytes

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raises ``ParseError``; pay-to-script-hash addresses are refused, for nothing may pay to them."""
        payload = base58.decode_check(text, "address")
        if len(payload) != 21:
            raise ParseError("address", f"holds {len(payload)} bytes instead of 21")
        if payload[0] == 0x00:
            return cls("main", payload[1:])
        if payload[0] == 0x6F:
            return cls("test", payload[1:])
        if payload[0] in (0x05, 0xC4):
            raise ParseError("address", "a pay-to-script-hash address; such outputs are invalid since Genesis")
        raise ParseError("address", f"unknown version byte {payload[0]}")

    def __str__(self) -> str:
        return base58.encode_check(bytes([address_version(self.network)]) + self.public_key_hash)


def address_version(chain: str) -> int:
    """0x00 for ``main``, 0x6f for every other chain. Raises ``InvalidParameter``."""
    return 0x00 if _known(chain) == "main" else 0x6F


def wif_version(chain: str) -> int:
    """0x80 for ``main``, 0xef for every other chain. Raises ``InvalidParameter``."""
    return 0x80 if _known(chain) == "main" else 0xEF


def _known(chain: str) -> str:
    if chain not in CHAINS:
        raise InvalidParameter("chain", f"one of {', '.join(CHAINS)}")
    return chain
