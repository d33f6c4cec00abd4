"""listOutputs and relinquishOutput (BRC-100; spec/wallet-stack.md appendix A)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sdk.core.wallet.fields import Flag, Identifier, Identifiers, Limit, OutPointText, QueryMode, SignedOffset
from sdk.core.wallet.model import WalletModel
from sdk.core.wire import NumberBytes


class ListOutputsArgs(WalletModel):
    """``offset`` -1 starts at the newest output and goes back in time."""

    basket: Identifier
    tags: Identifiers = ()
    tag_query_mode: QueryMode = "any"
    include: Literal["locking scripts", "entire transactions"] | None = None
    include_custom_instructions: Flag = False
    include_tags: Flag = False
    include_labels: Flag = False
    limit: Limit = 10
    offset: SignedOffset = 0
    seek_permission: Flag = True


class WalletOutput(WalletModel):
    satoshis: int
    spendable: bool
    outpoint: str
    locking_script: str | None = None
    custom_instructions: str | None = None
    tags: tuple[str, ...] | None = None
    labels: tuple[str, ...] | None = None


class ListOutputsResult(WalletModel):
    """``total_outputs`` counts the whole list, whatever the page (R74)."""

    total_outputs: int
    beef: NumberBytes | None = Field(default=None, validation_alias="BEEF", serialization_alias="BEEF")
    outputs: tuple[WalletOutput, ...] = ()


class RelinquishOutputArgs(WalletModel):
    basket: Identifier
    output: OutPointText


class RelinquishOutputResult(WalletModel):
    relinquished: Literal[True] = True
