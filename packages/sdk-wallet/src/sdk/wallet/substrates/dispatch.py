"""One call of a wire, made on a wallet of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.errors import InternalError, InvalidParameter, NotImplementedByPeer, SdkError
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from sdk.core.wallet import WalletModel
    from sdk.core.wallet_wire import Call

log = get_logger(__name__)


async def dispatch(wallet: object, call: Call, args: WalletModel, originator: str | None) -> WalletModel:
    """The wallet's own answer.

    Raises the wallet's errors, ``NotImplementedByPeer`` if it has no such method, and ``InternalError`` for whatever no
    caller should see: the log has it.
    """
    method = getattr(wallet, call.method, None)
    if method is None:
        raise NotImplementedByPeer(f"This wallet does not offer {call.name}.")
    try:
        result = await method(args, originator)
    except SdkError:
        raise
    except Exception:
        log.exception("a wallet call failed unexpectedly", call=call.name)
        raise InternalError from None
    try:
        return call.result.of(result)
    except InvalidParameter as error:
        # The arguments were not at fault, and the call has been done.
        raise InternalError(f"{call.name} was done, but its result is not one of BRC-100: {error}") from error
