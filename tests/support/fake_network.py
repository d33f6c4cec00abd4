"""A network in memory that answers as ``WalletServices``: it keeps a true mempool and chain, and lies on request."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sdk.core.errors import InvalidParameter, ServiceUnavailable
from sdk.core.header import BlockHeader
from sdk.core.merkle_path import MerklePath
from sdk.core.transaction import Transaction
from sdk.wallet.services.ports import (
    Classification,
    PostResult,
    ProofResult,
    ProofState,
    TxState,
    TxStatus,
    UtxoState,
    UtxoStatus,
)

if TYPE_CHECKING:
    from sdk.core.beef import Beef
    from sdk.core.script import Script
    from sdk.core.transaction import OutPoint

Script_ = Callable[["Beef", Sequence[str]], "list[PostResult]"]


def answer(txid: str, kind: Classification, provider: str = "liar", **more: object) -> PostResult:
    return PostResult(txid, provider, kind, more.pop("word", kind.value), **more)  # type: ignore[arg-type]


class FakeNetwork:
    """``posts`` records every post; ``scripted`` answers stand in for the next posts; ``down`` names what is broken."""

    def __init__(self) -> None:
        self.chain: list[tuple[BlockHeader, tuple[str, ...]]] = []
        self.known: dict[str, Transaction] = {}
        self.mempool: dict[str, Transaction] = {}
        self.posts: list[tuple[str, ...]] = []
        self.beefs: list[Beef] = []
        self.scripted: deque[Script_ | Exception] = deque()
        self.forged_proofs: dict[str, ProofResult] = {}
        self.down: set[str] = set()
        self._nonce = 0
        self.mine([])

    # the truth

    @property
    def chain_tracker(self) -> FakeNetwork:
        return self

    @property
    def height(self) -> int:
        return len(self.chain) - 1

    def spender_of(self, outpoint: OutPoint) -> str | None:
        mined = [self.known[txid] for _, txids in self.chain for txid in txids if txid in self.known]
        for each in (*self.mempool.values(), *mined):
            if any(given.outpoint == outpoint for given in each.inputs):
                return each.txid()
        return None

    def accept(self, transaction: Transaction) -> None:
        """Into the mempool, no questions asked."""
        self.known[transaction.txid()] = self.mempool[transaction.txid()] = transaction

    def forget(self, txid: str) -> None:
        self.mempool.pop(txid, None)
        self.known.pop(txid, None)

    def mine(self, txids: Sequence[str] | None = None) -> BlockHeader:
        """A block of ``txids`` (all of the mempool by default), after a coinbase that makes it unlike any other."""
        wanted = tuple(self.mempool) if txids is None else tuple(txids)
        self._nonce += 1
        coinbase = Transaction(self._nonce, [], [], 0).txid()
        everything = (coinbase, *wanted)
        root = MerklePath.from_block(len(self.chain), everything, everything[-1:]).compute_root()
        previous = self.chain[-1][0].hash() if self.chain else "00" * 32
        header = BlockHeader(1, previous, root, self._nonce, 0x207FFFFF, self._nonce)
        self.chain.append((header, everything))
        for txid in wanted:
            self.mempool.pop(txid, None)
        return header

    def reorg(self, depth: int, *, lose: Sequence[str] = ()) -> None:
        """Take ``depth`` blocks off; their transactions go back to the mempool, except those to ``lose``."""
        gone = self.chain[-depth:]
        del self.chain[-depth:]
        for _, txids in gone:
            for txid in txids:
                if txid in self.known and txid not in lose:
                    self.mempool[txid] = self.known[txid]
        for txid in lose:
            self.forget(txid)

    def block_of(self, txid: str) -> int | None:
        return next((height for height, (_, txids) in enumerate(self.chain) if txid in txids), None)

    # WalletServices

    def _needs(self, name: str) -> None:
        if name in self.down:
            raise ServiceUnavailable(name, "down for the test")

    async def post_beef(self, beef: Beef, txids: Sequence[str]) -> list[PostResult]:
        self.posts.append(tuple(txids))
        self.beefs.append(beef)
        if self.scripted:
            script = self.scripted.popleft()
            if isinstance(script, Exception):
                raise script
            return script(beef, txids)
        if "post" in self.down:
            return [answer(txid, Classification.SERVICE_ERROR, word="HTTP 502") for txid in txids]
        return [self._judge(beef, txid) for txid in txids]

    def _judge(self, beef: Beef, txid: str) -> PostResult:
        """As a node that takes a BEEF: its unknown ancestors go first."""
        transaction = beef.transaction(txid)
        assert transaction is not None, "posted what is not in the BEEF"
        if txid in self.mempool or self.block_of(txid) is not None:
            return answer(txid, Classification.ALREADY_KNOWN, "node", propagated=True)
        rivals = [rival for each in transaction.inputs if (rival := self.spender_of(each.outpoint)) is not None]
        if rivals:
            return answer(txid, Classification.DOUBLE_SPEND, "node", competing_txids=tuple(rivals))
        parents = {
            each.outpoint.txid for each in transaction.inputs if beef.transaction(each.outpoint.txid) is not None
        }
        if any(not self._judge(beef, parent).accepted for parent in sorted(parents) if beef.path_for(parent) is None):
            return answer(txid, Classification.ORPHAN, "node")
        self.accept(transaction)
        return answer(txid, Classification.SUCCESS, "node", propagated=True)

    async def get_merkle_path(self, txid: str) -> ProofResult:
        if "proofs" in self.down:
            return ProofResult(ProofState.UNAVAILABLE, txid, detail="down for the test")
        if txid in self.forged_proofs:
            return self.forged_proofs[txid]
        height = self.block_of(txid)
        if height is None:
            return ProofResult(ProofState.NOT_FOUND, txid, "node")
        header, txids = self.chain[height]
        return ProofResult(ProofState.FOUND, txid, "node", MerklePath.from_block(height, txids, [txid]), header)

    async def get_statuses(self, txids: Sequence[str]) -> dict[str, TxStatus]:
        if "statuses" in self.down:
            return {txid: TxStatus(txid, TxState.UNAVAILABLE) for txid in txids}
        return {txid: self._status(txid) for txid in txids}

    def _status(self, txid: str) -> TxStatus:
        height = self.block_of(txid)
        if height is not None:
            return TxStatus(txid, TxState.MINED, len(self.chain) - height, "node")
        return TxStatus(txid, TxState.KNOWN if txid in self.mempool else TxState.UNKNOWN, 0, "node")

    async def get_utxo_status(self, outpoint: OutPoint, locking_script: Script) -> UtxoStatus:
        if "utxos" in self.down or outpoint.txid not in self.known:
            return UtxoStatus(outpoint, UtxoState.UNAVAILABLE)
        state = UtxoState.UNSPENT if self.spender_of(outpoint) is None else UtxoState.SPENT
        return UtxoStatus(outpoint, state, "node")

    async def get_raw_tx(self, txid: str) -> bytes | None:
        self._needs("raw")
        found = self.known.get(txid)
        return None if found is None else found.to_bytes()

    async def get_height(self) -> int:
        self._needs("headers")
        return self.height

    async def get_header_for_height(self, height: int) -> BlockHeader:
        self._needs("headers")
        if height > self.height:
            raise InvalidParameter("height", f"at most {self.height}")
        return self.chain[height][0]

    async def get_header_for_hash(self, block_hash: str) -> tuple[int, BlockHeader] | None:
        self._needs("headers")
        return next(((h, header) for h, (header, _) in enumerate(self.chain) if header.hash() == block_hash), None)

    # ChainTracker

    async def is_valid_root_for_height(self, root: str, height: int) -> bool:
        self._needs("headers")
        return 0 <= height <= self.height and self.chain[height][0].merkle_root == root

    async def current_height(self) -> int:
        return await self.get_height()
