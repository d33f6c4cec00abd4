"""What the wallet asks of the network, and the only answers it may get.

Every answer keeps three cases apart: yes, no, and *the service could not say*. The last is never a verdict: no state
of a transaction or an output may change because of it (spec/robustness.md R10, R28, R52).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.beef import Beef
    from sdk.core.header import BlockHeader
    from sdk.core.merkle_path import MerklePath
    from sdk.core.ports import ChainTracker
    from sdk.core.script import Script
    from sdk.core.transaction import OutPoint


class Classification(StrEnum):
    """What one provider's answer to a broadcast means (R10). How each answer is classified: ``mapping.py``."""

    SUCCESS = "success"
    ALREADY_KNOWN = "already_known"
    """In its mempool or in a block already: as good as success (R12)."""
    DOUBLE_SPEND = "double_spend"
    """A conflict was reported. Final only with a named competitor that was verified (R11)."""
    INVALID = "invalid"
    """A verdict about the bytes: sending them again cannot help (R8)."""
    ORPHAN = "orphan"
    """The service lacks a parent: a condition, not a verdict."""
    SERVICE_ERROR = "service_error"
    """No verdict: down, slow, over quota, refused by its own policy of the moment, or not understood."""


@dataclass(frozen=True, slots=True)
class PostResult:
    """One provider's answer about one transaction.

    ``raw_status`` is the word or code the provider used (``"SEEN_ON_NETWORK"``, ``"465"``, ``"HTTP 502"``), kept for
    the history; ``detail`` its explanation, cut to 300 characters. ``propagated`` says that the network, not only
    the provider, has shown the transaction (R13): until then keep asking. ``retry_after`` is in seconds.
    """

    txid: str
    provider: str
    classification: Classification
    raw_status: str
    detail: str = ""
    competing_txids: tuple[str, ...] = ()
    propagated: bool = False
    retry_after: float | None = None

    @property
    def accepted(self) -> bool:
        """Positive evidence that the provider holds the transaction; it may be built upon."""
        return self.classification in (Classification.SUCCESS, Classification.ALREADY_KNOWN)


class ProofState(StrEnum):
    FOUND = "found"
    NOT_FOUND = "not_found"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class ProofResult:
    """``path`` and ``header`` are set exactly when ``state`` is *found*; ``path`` then holds the txid as a leaf and
    its root equals ``header.merkle_root`` of the block at ``path.block_height``, which the provider reported.

    Whether that header stands on the best chain is the chain tracker's to say; ask it before storing (R2, R49).
    """

    state: ProofState
    txid: str
    provider: str = ""
    path: MerklePath | None = None
    header: BlockHeader | None = None
    detail: str = ""


class TxState(StrEnum):
    MINED = "mined"
    KNOWN = "known"
    UNKNOWN = "unknown"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class TxStatus:
    """``depth`` is the number of confirmations, 0 for a transaction in a mempool, ``None`` when not known."""

    txid: str
    state: TxState
    depth: int | None = None
    provider: str = ""
    detail: str = ""


class UtxoState(StrEnum):
    UNSPENT = "unspent"
    SPENT = "spent"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class UtxoStatus:
    """*spent* needs a provider that knows the transaction of the outpoint and does not list the output as unspent."""

    outpoint: OutPoint
    state: UtxoState
    provider: str = ""
    detail: str = ""


class WalletServices(Protocol):
    """The network as storage, lifecycle and monitoring see it."""

    @property
    def chain_tracker(self) -> ChainTracker: ...

    async def post_beef(self, beef: Beef, txids: Sequence[str]) -> list[PostResult]:
        """Offers ``txids``, all of them in ``beef`` and parents first, to one provider after another until one
        accepts (R14). One result for each provider tried and txid, in the order of asking; never raises for what
        a provider did."""
        ...

    async def get_merkle_path(self, txid: str) -> ProofResult: ...

    async def get_statuses(self, txids: Sequence[str]) -> dict[str, TxStatus]:
        """One entry for each txid asked for."""
        ...

    async def get_utxo_status(self, outpoint: OutPoint, locking_script: Script) -> UtxoStatus: ...

    async def get_raw_tx(self, txid: str) -> bytes | None:
        """Bytes that hash to ``txid``; ``None`` if every service that answered does not know it.

        Raises ``ServiceUnavailable`` if none answered.
        """
        ...

    async def get_height(self) -> int:
        """Height of the tip. Raises ``ServiceUnavailable``."""
        ...

    async def get_header_for_height(self, height: int) -> BlockHeader:
        """Raises ``ServiceUnavailable``, or ``InvalidParameter`` (``height``) above the tip."""
        ...

    async def get_header_for_hash(self, block_hash: str) -> tuple[int, BlockHeader] | None:
        """``(height, header)`` of a block of the best chain, ``None`` if it is not on it.

        Raises ``ServiceUnavailable``.
        """
        ...
