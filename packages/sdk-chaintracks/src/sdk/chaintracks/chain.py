"""The chain of headers as this service holds it: checked, in memory near the tip, durable before it is shown."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sdk.chaintracks.consensus import WINDOW, Rules, Window, check_batch
from sdk.chaintracks.consensus.compact import work_of
from sdk.chaintracks.consensus.fields import (
    HEADER,
    display,
    header_bits,
    header_hash,
    header_time,
    previous_hash,
)
from sdk.chaintracks.consensus.header import LINKAGE
from sdk.chaintracks.errors import InvalidHeader, StoreCorrupted, UnknownParent
from sdk.chaintracks.events import EventHeader
from sdk.chaintracks.store import HeaderStore, Move, StoredHeader
from sdk.chaintracks.tree import HeaderTree, Node
from sdk.core.chain import ChainParameters
from sdk.core.errors import ConfigurationError
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sdk.chaintracks.events import TipEvent
    from sdk.chaintracks.tree import TipChange
    from sdk.core.ports import Clock
    from sdk.service.database import Database

KEEP = 2000
"""Headers below the tip that stay in memory with their branches; older ones are in the store alone."""
SLACK = 500
MAX_SIDE = 10_000
"""Headers beside the active chain; the branches of least work are forgotten first."""

log = get_logger(__name__)


class HeaderChain:
    """Every method may be called at any time; additions wait for one another.

    ``listeners`` are called, in order, with each change of the tip after it is durable, whichever process wrote it;
    they must not block. ``last_event`` is the id of the last one that was told.
    """

    def __init__(self, rules: Rules, store: HeaderStore, *, clock: Clock, keep: int = KEEP) -> None:
        self.rules, self.store = rules, store
        self._clock, self._keep = clock, keep
        self._lock = asyncio.Lock()
        self._tree: HeaderTree | None = None
        self._before = Window(0)  # what precedes the tree's root
        self._stale = False
        self.listeners: list[Callable[[TipEvent], None]] = []
        self.last_event = 0

    @classmethod
    async def open(cls, chain: str, database: Database, *, clock: Clock, keep: int = KEEP) -> HeaderChain:
        """The chain as it was stored, or its first header. The tables are made by ``sdk.service.migrations.upgrade``.

        Raises ``StoreCorrupted`` when the store holds another network or damaged headers, ``StorageError``.
        """
        try:
            rules = Rules.of(ChainParameters.named(chain))
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        headers = cls(rules, HeaderStore(database), clock=clock, keep=keep)
        if await headers.store.top() is None:
            await headers.store.begin(_genesis(rules))
        if await headers.store.active(0, 0) != [rules.genesis]:
            raise StoreCorrupted(f"the store holds another chain than {chain}: name a database of its own for {chain}")
        headers.last_event = await headers.store.last_event()
        await headers._load()
        return headers

    @property
    def tree(self) -> HeaderTree:
        if self._tree is None:
            raise AssertionError("this chain was not opened with HeaderChain.open")
        return self._tree

    @property
    def tip(self) -> Node:
        return self.tree.tip

    # reading

    async def header_at(self, height: int) -> bytes | None:
        """The 80 bytes of the active header at ``height``; None above the tip."""
        node = self.tree.at(height)
        if node is not None:
            return node.raw
        if not 0 <= height < self.tree.root.height:
            return None
        return next(iter(await self.store.active(height, height)), None)

    async def hash_at(self, height: int) -> bytes | None:
        node = self.tree.at(height)
        if node is not None:
            return node.hash
        raw = await self.header_at(height)
        return None if raw is None else header_hash(raw)

    async def find(self, block_hash: bytes) -> tuple[int, bytes] | None:
        """Height and header of a block that is or was on the chain, as far as it is still known."""
        node = self.tree.get(block_hash)
        if node is not None:
            return node.height, node.raw
        stored = await self.store.find(block_hash)
        return None if stored is None else (stored.height, stored.raw)

    async def headers(self, first: int, count: int) -> bytes:
        """Up to ``count`` active headers from height ``first`` on; fewer at the tip."""
        tree = self.tree
        last = min(first + count - 1, tree.tip.height)
        old: Sequence[bytes] = ()
        if first < tree.root.height:
            old = await self.store.active(first, min(last, tree.root.height - 1))
        start = max(0, first - tree.root.height)
        recent = tree.active[start : max(start, last - tree.root.height + 1)]
        return b"".join([*old, *(node.raw for node in recent)])

    # adding

    async def refresh(self) -> bool:
        """Take over what other processes have written to the same store; whether there was anything."""
        async with self._lock:
            if not self._stale and await self.store.last_event() == self.last_event:
                return False
            await self._load()
            return True

    async def extend(self, raw: bytes, *, anywhere: bool = True) -> TipEvent | None:
        """Check and keep a run of headers, each after the one before; the tip changes if they have more work.

        Headers that are known are passed over. The run ends before a header whose time lies too far ahead, unless it
        is the first. ``anywhere`` lets the run start below what is in memory. Raises ``InvalidHeader`` (nothing of the
        run is kept), ``UnknownParent``, ``ParseError``, ``StoreMoved``, ``StorageError``.
        """
        async with self._lock:
            if self._stale:
                await self._load()
            at = 0
            while at < len(raw) and header_hash(raw[at : at + HEADER]) in self.tree:
                at += HEADER
            if at == len(raw):
                return None
            raw = raw[at:]
            parent = await self._parent(raw, anywhere)
            nodes = self._checked(raw, parent)
            change = self.tree.plan(nodes[-1])
            event = await self._keep_nodes(nodes, change)
            if event is not None:
                self._tell(event)
            await self._trim()
        return event

    async def _parent(self, raw: bytes, anywhere: bool) -> Node:
        wanted = previous_hash(raw)
        parent = self.tree.get(wanted)
        if parent is None and anywhere:
            stored = await self.store.find(wanted)
            if stored is not None and stored.active and stored.height < self.tree.root.height:
                self._refuse_below_checkpoint(raw, stored.height)  # before much of the chain is loaded
                await self._load(stored.height)
                parent = self.tree.get(wanted)
        if parent is None:
            raise UnknownParent(display(header_hash(raw[:HEADER])), display(wanted))
        self._refuse_below_checkpoint(raw, parent.height)
        return parent

    def _refuse_below_checkpoint(self, raw: bytes, parent_height: int) -> None:
        held = max((each for each in self.rules.checkpoints if each <= self.tip.height), default=0)
        if parent_height < held:
            fault = f"the chain is fixed up to the checkpoint at {held}"
            block_hash = display(header_hash(raw[:HEADER]))
            raise InvalidHeader("bad-fork-prior-to-checkpoint", parent_height + 1, block_hash, fault)

    def _checked(self, raw: bytes, parent: Node) -> list[Node]:
        now = int(self._clock().timestamp())
        first, window = parent.height + 1, self.window(parent)
        try:
            batch = check_batch(self.rules, raw, first, parent.hash, window, now)
        except InvalidHeader as error:
            if not error.temporary or error.height == first:
                raise
            raw = raw[: (error.height - first) * HEADER]
            batch = check_batch(self.rules, raw, first, parent.hash, window, now)
        missing = [each.rule for each in batch.unchecked if each.rule == LINKAGE]
        if missing:
            raise AssertionError(f"height {first} was not linked to its parent: please report this")
        raws = [raw[at : at + HEADER] for at in range(0, len(raw), HEADER)]
        return self.tree.draft(parent, raws, batch.hashes, [work_of(header_bits(each)) for each in raws])

    async def _keep_nodes(self, nodes: list[Node], change: TipChange | None) -> TipEvent | None:
        added = {node.hash for node in change.added} if change is not None else set()
        inserted = [_row(node, node.hash in added) for node in nodes]
        fresh = {node.hash for node in nodes}
        self._stale = True  # until the store has answered: a write that is cut off may have been committed
        move = None
        if change is not None:
            move = Move(self._clock(), [*map(_noted, change.added)], [*map(_noted, change.removed)])
        event = await self.store.apply(
            inserted,
            [each for each in added if each not in fresh],
            [] if change is None else [node.hash for node in change.removed],
            expected_tip=self.tip.hash,
            move=move,
        )
        for node in nodes:
            self.tree.add(node)
        if change is not None:
            self.tree.switch(change)
        self._stale = False
        return event

    async def _trim(self) -> None:
        tree = self.tree
        forgotten: list[Node] = []
        if len(tree.active) > self._keep + SLACK:
            height = tree.tip.height - self._keep
            root = tree.active[height - tree.root.height]
            self._before = self.window(root.parent) if root.parent is not None else Window(root.height)
            forgotten.extend(tree.rebase(height).dropped)
        if tree.side > MAX_SIDE:
            forgotten.extend(tree.forget_side(MAX_SIDE))
        if forgotten:
            await self.store.apply([], forgotten=[node.hash for node in forgotten])

    def _tell(self, event: TipEvent) -> None:
        height, self.last_event = event.tip.height, event.id
        log.info("new tip", height=height, hash=display(event.tip.hash), first=event.first_added, removed=event.depth)
        for listener in self.listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a listener failed", height=height)

    # history

    def window(self, parent: Node) -> Window:
        """Times and bits of up to ``WINDOW`` headers that end at ``parent``."""
        nodes: list[Node] = []
        node: Node | None = parent
        while node is not None and len(nodes) < WINDOW:
            nodes.append(node)
            node = node.parent
        nodes.reverse()
        times, bits = [each.time for each in nodes], [each.bits for each in nodes]
        if node is None:
            return Window(self._before.first, self._before.times, self._before.bits).followed_by(times, bits)
        return Window(nodes[0].height, times, bits)

    async def _load(self, root_height: int | None = None) -> None:
        top = await self.store.top()
        if top is None:
            raise StoreCorrupted("the store of headers is empty: it was emptied while this service ran")
        first = max(0, top - self._keep)
        first = first if root_height is None else min(first, root_height)
        rows = await self.store.live(first)
        before = await self.store.active(max(0, first - WINDOW), first - 1) if first else []
        self._tree = _tree_of(rows)
        self._before = Window(first - len(before), [*map(header_time, before)], [*map(header_bits, before)])
        self._stale = False
        while missed := await self.store.events_after(self.last_event):
            for event in missed:
                self._tell(event)


def _tree_of(rows: Sequence[StoredHeader]) -> HeaderTree:
    """The tree whose root is the first active row; raises ``StoreCorrupted`` unless the active rows are one chain."""
    root = next((row for row in rows if row.active), None)
    if root is None:
        raise StoreCorrupted("the store has lost headers of the active chain: delete the chaintracks tables")
    tree = HeaderTree(Node(root.raw, root.hash, root.height, root.work, None, root.arrival))
    active = [tree.root]
    for row in rows:
        parent = tree.get(previous_hash(row.raw))
        if row.hash == root.hash or (parent is None and not row.active):
            continue  # the rest of a branch whose start is below the root
        if parent is None or header_hash(row.raw) != row.hash or row.height != parent.height + 1:
            raise StoreCorrupted(
                f"the stored header at height {row.height} ({display(row.hash)}) is damaged: delete the chaintracks "
                "tables (sdk db downgrade, or the file) and start again"
            )
        node = Node(row.raw, row.hash, row.height, row.work, parent, row.arrival)
        tree.add(node)
        if row.active and active[-1] is parent:
            active.append(node)
    if sum(row.active for row in rows) != len(active):
        raise StoreCorrupted(
            f"the stored chain breaks off above height {active[-1].height}: delete the chaintracks tables"
        )
    tree.active = active
    return tree


def _genesis(rules: Rules) -> StoredHeader:
    raw = rules.genesis
    return StoredHeader(header_hash(raw), 0, 0, True, raw, work_of(header_bits(raw)))


def _noted(node: Node) -> EventHeader:
    return EventHeader(node.height, node.hash, node.raw)


def _row(node: Node, active: bool) -> StoredHeader:
    return StoredHeader(node.hash, node.order, node.height, active, node.raw, node.work)
