"""Authentication state, height, header, network, version (BRC-100)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sdk.core.wallet.fields import MAX_UINT32
from sdk.core.wallet.model import WalletModel


class NoArgs(WalletModel):
    """Methods without arguments take an empty object."""


class AuthenticatedResult(WalletModel):
    authenticated: Literal[True] = True


class GetHeightResult(WalletModel):
    height: int


class GetHeaderArgs(WalletModel):
    height: Annotated[int, Field(strict=True, ge=0, le=MAX_UINT32)]


class GetHeaderResult(WalletModel):
    """80 bytes in hex."""

    header: str


class GetNetworkResult(WalletModel):
    network: Literal["mainnet", "testnet"]


class GetVersionResult(WalletModel):
    version: str
