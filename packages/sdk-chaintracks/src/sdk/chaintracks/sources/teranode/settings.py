"""Settings of the Teranode source: ``SDK_TERANODE_<NAME>``, or ``[teranode]`` in the settings file."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from sdk.service.settings import Settings


class TeranodeSettings(Settings, component="teranode"):
    """By network (``main``, ``test``, …): ``peers`` are multiaddresses (``/dns4/HOST/tcp/PORT/p2p/ID``) of bootstrap
    nodes and fixed peers alike, ``hubs`` URLs of DataHubs of your own choice, ``topics`` other topics than the usual.

    Unless ``allow_private``, a DataHub that a stranger names must be a host of the Internet. The identity is kept in
    ``key_file``, by default beside the database. ``python`` is the interpreter of another environment that has
    ``sdk-chaintracks[teranode]``, for who wants libp2p and all it brings apart from the service.
    """

    peers: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    hubs: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    topics: dict[str, str] = Field(default_factory=dict)
    allow_private: bool = False
    key_file: Path | None = None
    python: Path | None = None
