"""Asks a wallet over the BRC-100 binary wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.wallet_wire import Request, write_request
from sdk.wallet.substrates.remote import RemoteWallet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sdk.core.wallet import WalletModel
    from sdk.core.wallet_wire import Call

    Transmit = Callable[[bytes], Awaitable[bytes]]


class WalletWireTransceiver(RemoteWallet):
    """``transmit`` carries a request frame and brings its answer, as ``WalletWireProcessor.transmit`` or ``HttpWire``.

    Beside what every ``RemoteWallet`` raises: ``InvalidParameter`` for a value that this wire has no form for, such as
    the listOutputs offset -1. Of errors it carries only a number and a message.
    """

    def __init__(self, transmit: Transmit, originator: str | None = None) -> None:
        self._transmit, self._originator = transmit, originator

    async def ask(self, call: Call, args: WalletModel, originator: str | None) -> WalletModel:
        frame = write_request(Request(call, args, originator or self._originator))
        return call.read_result(await self._transmit(frame))
