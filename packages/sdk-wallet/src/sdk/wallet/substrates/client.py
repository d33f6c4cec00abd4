"""``WalletClient``: whichever wallet runs on this machine."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from sdk.core.errors import SdkError, ServiceUnavailable
from sdk.service.logging import get_logger
from sdk.wallet.substrates.http_client import (
    JSON_URL,
    SECURE_JSON_URL,
    WIRE_URL,
    HttpWalletJson,
    HttpWalletWire,
)
from sdk.wallet.substrates.remote import RemoteWallet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ssl import SSLContext

    from sdk.core.wallet import WalletModel
    from sdk.core.wallet_wire import Call

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a wallet may be, and what it speaks there."""

    url: str
    speaks: Literal["json", "wire"] = "json"

    def open(self, originator: str, ssl: SSLContext | None = None) -> RemoteWallet:
        kind = HttpWalletJson if self.speaks == "json" else HttpWalletWire
        return kind(originator, self.url, ssl=ssl)


USUAL_PLACES: Final = (Place(SECURE_JSON_URL), Place(JSON_URL), Place(WIRE_URL, "wire"))
"""The best first: JSON carries the members of errors, the binary wire only their number and message."""


class WalletClient(RemoteWallet):
    """Finds a wallet at the first call, and stays with it.

    All ``places`` are tried side by side, for ``patience`` seconds each; the first in their order that answers
    getVersion is taken. Raises ``ServiceUnavailable`` if none does; the next call looks again.
    """

    def __init__(
        self,
        originator: str,
        places: Sequence[Place] = USUAL_PLACES,
        *,
        patience: float = 2.0,
        ssl: SSLContext | None = None,
    ) -> None:
        self._originator, self._places, self._patience, self._ssl = originator, tuple(places), patience, ssl
        self._found: RemoteWallet | None = None
        self._finding = asyncio.Lock()

    async def ask(self, call: Call, args: WalletModel, originator: str | None) -> WalletModel:
        return await (await self.connect()).ask(call, args, originator)

    async def connect(self) -> RemoteWallet:
        """The wallet that was found."""
        async with self._finding:
            if self._found is None:
                self._found = await self._find()
            return self._found

    async def close(self) -> None:
        found, self._found = self._found, None
        if found is not None:
            await found.close()

    async def _find(self) -> RemoteWallet:
        wallets = [place.open(self._originator, self._ssl) for place in self._places]
        probes = [asyncio.ensure_future(self._probe(wallet)) for wallet in wallets]
        found: RemoteWallet | None = None
        reasons: list[str] = []
        try:
            for place, wallet, probe in zip(self._places, wallets, probes, strict=True):
                reason = await probe
                if reason is None:
                    found = wallet
                    log.debug("wallet found", url=place.url)
                    return wallet
                reasons.append(f"{place.url}: {reason}")
        finally:
            for probe in probes:
                probe.cancel()
            await asyncio.gather(*probes, return_exceptions=True)
            await asyncio.gather(*[wallet.close() for wallet in wallets if wallet is not found])
        raise ServiceUnavailable("wallet", f"no wallet answers here; start one ({'; '.join(reasons)})")

    async def _probe(self, wallet: RemoteWallet) -> str | None:
        """``None``, or why it is none."""
        try:
            async with asyncio.timeout(self._patience):
                await wallet.get_version()
        except TimeoutError:
            return f"no answer within {self._patience:g} s"
        except SdkError as error:
            return str(error)
        return None
