"""Settings of every wallet program: ``SDK_WALLET_<NAME>``, or ``[wallet]`` in the settings file."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from sdk.service.settings import Settings

Background = Literal["auto", "monitor", "external", "none"]
"""Who sends what waits: ``auto`` a monitor in this process if one is installed, ``monitor`` insists on it,
``external`` one that runs elsewhere, ``none`` nobody (delayed sends are then refused)."""
Chain = Literal["main", "test", "stn", "regtest", "teratest", "mock"]


def _service_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        is_address = parts.scheme in ("http", "https") and parts.hostname is not None
    except ValueError:
        is_address = False
    if not is_address:
        raise ValueError("write an address such as https://host/path")
    return text


ServiceUrl = Annotated[str, AfterValidator(_service_url)]


class WalletSettings(Settings, component="wallet"):
    """What is not named takes the public services of the chain, where it has some. Intervals are in seconds, and so is
    ``database_timeout``, the longest wait for a lock that another process holds."""

    database: str = "sqlite:///wallet.db"
    database_schema: str | None = None
    database_timeout: float = Field(default=60.0, ge=0, le=3600)
    chain: Chain = "main"
    storage_name: str = "default"
    root_key: SecretStr | None = None
    background: Background = "auto"
    satoshis_per_kilobyte: str = "1"
    max_commission: int = Field(default=1_000, ge=0)

    headers_url: ServiceUrl | None = None
    arc_url: ServiceUrl | None = None
    arc_api_key: SecretStr | None = None
    arc_deployment_id: str | None = None
    arc_callback_url: ServiceUrl | None = None
    arc_callback_token: SecretStr | None = None
    whatsonchain_url: ServiceUrl | None = None
    whatsonchain_api_key: SecretStr | None = None
    whatsonchain_min_interval: float | None = Field(default=None, ge=0)
    whatsonchain_dependent_wait: float = Field(default=3.0, ge=0)


def secret(value: SecretStr | None) -> str | None:
    """The text of a setting that is never printed."""
    return None if value is None else value.get_secret_value()
