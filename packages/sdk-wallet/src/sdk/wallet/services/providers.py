"""What a provider may offer. A provider satisfies one or more of these; ``Services`` asks each for what it has.

All but ``post_beef`` and those that return a tri-state raise ``ServiceUnavailable`` when they cannot tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.beef import Beef
    from sdk.core.header import BlockHeader
    from sdk.core.script import Script
    from sdk.core.transaction import OutPoint
    from sdk.wallet.services.ports import PostResult, ProofResult, TxStatus, UtxoStatus


@runtime_checkable
class Broadcaster(Protocol):
    @property
    def name(self) -> str: ...

    async def post_beef(self, beef: Beef, txids: Sequence[str]) -> list[PostResult]:
        """One result for each txid, in order (parents first). Never raises for what the service did."""
        ...


@runtime_checkable
class ProofProvider(Protocol):
    @property
    def name(self) -> str: ...

    async def get_merkle_path(self, txid: str) -> ProofResult:
        """The header may be missing where the service does not give it; ``Services`` then finds it by height."""
        ...


@runtime_checkable
class StatusProvider(Protocol):
    """``sees_network``: its *unknown* is about the network, not only about what was handed to it."""

    @property
    def name(self) -> str: ...

    @property
    def sees_network(self) -> bool: ...

    async def get_statuses(self, txids: Sequence[str]) -> dict[str, TxStatus]: ...


@runtime_checkable
class UtxoProvider(Protocol):
    @property
    def name(self) -> str: ...

    async def get_utxo_status(self, outpoint: OutPoint, locking_script: Script) -> UtxoStatus: ...


@runtime_checkable
class RawTxProvider(Protocol):
    @property
    def name(self) -> str: ...

    async def get_raw_tx(self, txid: str) -> bytes | None: ...


@runtime_checkable
class HeaderSource(Protocol):
    """A view of the best chain. ``None`` is a verdict: no such block on it."""

    @property
    def name(self) -> str: ...

    async def get_height(self) -> int: ...

    async def find_header_for_height(self, height: int) -> BlockHeader | None: ...

    async def find_header_for_hash(self, block_hash: str) -> tuple[int, BlockHeader] | None: ...


Provider = Broadcaster | ProofProvider | StatusProvider | UtxoProvider | RawTxProvider | HeaderSource
