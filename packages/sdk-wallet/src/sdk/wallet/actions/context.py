"""What every action of one wallet works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sdk.core.chain import MAIN
from sdk.wallet.actions.checks import Bounds
from sdk.wallet.actions.pending import PendingActions

if TYPE_CHECKING:
    from sdk.core.chain import ChainParameters
    from sdk.core.ports import ChainTracker
    from sdk.core.storage import AuthId, WalletStorage
    from sdk.wallet.actions.coins import OwnCoins


@dataclass(slots=True)
class ActionContext:
    """``sends_delayed``: whether something sends what createAction leaves for later."""

    storage: WalletStorage
    auth: AuthId
    coins: OwnCoins
    chain_tracker: ChainTracker | None
    sends_delayed: bool
    chain: ChainParameters = MAIN
    bounds: Bounds = field(default_factory=Bounds)
    pending: PendingActions = field(default_factory=PendingActions)
