"""Serves the BRC-100 binary wire: bytes in, a call on a wallet, bytes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.errors import InternalError, InvalidParameter, SdkError
from sdk.core.wallet_wire import read_request, write_error
from sdk.wallet.substrates.dispatch import dispatch

if TYPE_CHECKING:
    from sdk.core.wallet import WalletModel
    from sdk.core.wallet_wire import Call, Request


class WalletWireProcessor:
    """``wallet`` has some or all methods of ``WalletInterface``; what it lacks is answered as unsupported (code 2)."""

    def __init__(self, wallet: object) -> None:
        self._wallet = wallet

    async def transmit(self, frame: bytes, originator: str | None = None) -> bytes:
        """The answer to one request frame; an error of any kind is an error frame.

        A frame says of itself who asks: a transport that knows better gives the ``originator``.
        """
        try:
            request = read_request(frame)
            return await self.answer(request, originator)
        except SdkError as error:
            return write_error(error)

    async def answer(self, request: Request, originator: str | None = None) -> bytes:
        """Raises what the wallet raises."""
        result = await dispatch(self._wallet, request.call, request.args, originator or request.originator)
        return _written(request.call, result)


def _written(call: Call, result: WalletModel) -> bytes:
    try:
        return call.write_result(result)
    except InvalidParameter as error:
        # The arguments were not at fault, and the call has been done.
        raise InternalError(f"{call.name} was done, but its result has no form on the binary wire: {error}") from error
