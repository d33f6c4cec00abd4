"""The chain of headers as this service holds it: checked, in memory near the tip, durable before it is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.chaintracks.checking import HeaderChecker
from sdk.chaintracks.consensus import WINDOW, Rules, Window, check_batch
from sdk.chaintracks.consensus.compact import work_of
from sdk.chaintracks.consensus.fields import (
    HEADER,
    display,
    header_bits,
    header_hash,
    header_time,
    previous_hash,
    split,
)
from sdk.chaintracks.errors import InvalidHeader, StoreCorrupted, StoreMoved, UnknownParent
from sdk.chaintracks.events import MAX_ADDED, EventHeader, listed
from sdk.chaintracks.loading import load
from sdk.chaintracks.run_queue import Run, RunQueue
from sdk.chaintracks.store import Move, StoredHeader
from sdk.core.chain import ChainParameters
from sdk.core.errors import ConfigurationError
from sdk.service import failpoints
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sdk.chaintracks.checking import Piece
    from sdk.chaintracks.events import TipEvent
    from sdk.chaintracks.store import Bulk, HeaderStore
    from sdk.chaintracks.tree import HeaderTree, Node, TipChange
    from sdk.core.ports import Clock

KEEP = 2000
"""Headers below the tip that stay in memory with their branches; older ones are buried."""
SLACK = 500
MAX_SIDE = 10_000
"""Headers beside the active chain; the branches of least work are forgotten first."""
RETAINED = 8000
"""Rows of buried headers that stay a while, for other processes that share the database."""
AT_ONCE = 100
"""Headers of a run from which on it is buried at once when it grows the chain."""
PIECES_AT_ONCE = 6
"""Checked pieces that are written to the disk together."""

log = get_logger(__name__)


class HeaderChain:
    """Every method may be called at any time; additions wait for one another.

    ``listeners`` are called, in order, with each change of the tip after it is durable, whichever process wrote it;
    they must not block. ``last_event`` is the id of the last one that was told.
    """

    def __init__(
        self,
        rules: Rules,
        store: HeaderStore,
        *,
        clock: Clock,
        keep: int = KEEP,
        checker: HeaderChecker | None = None,
    ) -> None:
        self.rules, self.store = rules, store
        self._clock, self._keep = clock, keep
        self.checker = checker or HeaderChecker(rules)
        self._queue = RunQueue(self._extend, AT_ONCE - 1)
        self._tree: HeaderTree | None = None
        self._before = Window(0)  # what precedes the tree's root
        self._recent: tuple[Node, Window] | None = None  # the last one checked, and the window that ends at it
        self._attached = False
        self._stale = False
        self.listeners: list[Callable[[TipEvent], None]] = []
        self.last_event = 0

    @classmethod
    async def open(
        cls,
        chain: str | Rules,
        store: HeaderStore,
        *,
        clock: Clock,
        keep: int = KEEP,
        checker: HeaderChecker | None = None,
    ) -> HeaderChain:
        """The chain of a network, by name or by its rules, as it was stored, or its first header.

        The tables are made by ``sdk.service.migrations.upgrade``.
        Raises ``StoreCorrupted`` when the store holds another network or damaged headers, ``StorageError``.
        """
        rules = chain if isinstance(chain, Rules) else _rules(chain)
        headers = cls(rules, store, clock=clock, keep=keep, checker=checker)
        headers.last_event = await store.last_event()
        await headers._load()
        if await headers.header_at(0) != rules.genesis:
            raise StoreCorrupted(
                f"the store holds another chain than {rules.chain}: name a database of its own for {rules.chain}"
            )
        return headers

    @property
    def tree(self) -> HeaderTree:
        if self._tree is None:
            raise AssertionError("this chain was not opened with HeaderChain.open")
        return self._tree

    @property
    def tip(self) -> Node:
        return self.tree.tip

    async def close(self) -> None:
        """End the processes that check, and close the store."""
        await self.checker.close()
        await self.store.close()

    # reading

    async def header_at(self, height: int) -> bytes | None:
        """The 80 bytes of the active header at ``height``; None above the tip."""
        node = self.tree.at(height)
        if node is not None:
            return node.raw
        return self.store.bulk.header(height) if height < self.tree.root.height else None

    async def hash_at(self, height: int) -> bytes | None:
        node = self.tree.at(height)
        if node is not None:
            return node.hash
        raw = await self.header_at(height)
        return None if raw is None else header_hash(raw)

    async def find(self, block_hash: bytes) -> tuple[int, bytes] | None:
        """Height and header of a block that is on the chain, or was on it or beside it, as far as it is still known."""
        node = self.tree.get(block_hash)
        if node is not None:
            return node.height, node.raw
        buried = self.store.bulk.find(block_hash)
        if buried is not None and buried[0] < self.tree.root.height:
            return buried
        row = await self.store.live.find(block_hash)
        return None if row is None else (row.height, row.raw)

    def knows(self, block_hash: bytes) -> bool:
        """Whether the block is on the chain, or on a branch near its tip."""
        return block_hash in self.tree or self._buried(block_hash) is not None

    async def headers(self, first: int, count: int) -> bytes:
        """Up to ``count`` active headers from height ``first`` on; fewer at the tip."""
        tree = self.tree
        last = min(first + count - 1, tree.tip.height)
        old = self.store.bulk.read(first, min(last + 1, tree.root.height) - first) if first < tree.root.height else b""
        start = max(0, first - tree.root.height)
        recent = tree.active[start : max(start, last - tree.root.height + 1)]
        return b"".join([old, *(node.raw for node in recent)])

    # adding

    async def refresh(self) -> bool:
        """Take over what other processes have written to the same store; whether there was anything."""
        async with self._queue.lock:
            if not self._stale and await self.store.last_event() == self.last_event:
                return False
            await self._load()
            return True

    async def extend(self, raw: bytes, *, anywhere: bool = True) -> TipEvent | None:
        """Check and keep a run of headers, each after the one before; the tip changes if they have more work.

        Headers that are known are passed over. Runs that wait at the same time and follow one another become one
        change. The run ends before a header whose time lies too far ahead, unless it is the first. ``anywhere`` lets
        it start below what is in memory. Raises ``InvalidHeader`` (nothing of the run is kept, or of one over
        ``checking.PIECE`` headers the pieces before the fault), ``UnknownParent``, ``ParseError``,
        ``StoreMoved`` (twice over), ``StorageError``.
        """
        return await self._queue.run(Run(raw, anywhere))

    async def _extend(self, raw: bytes, anywhere: bool) -> TipEvent | None:
        """Decided again when another process has written meanwhile."""
        try:
            return await self._decide(raw, anywhere)
        except (UnknownParent, StoreMoved):
            if not self._stale and await self.store.last_event() == self.last_event:
                raise
            return await self._decide(raw, anywhere, again=True)

    async def _decide(self, raw: bytes, anywhere: bool, *, again: bool = False) -> TipEvent | None:
        if self._stale or again:
            await self._load()
        raw = self._unknown(raw)
        parent = await self._parent(raw, anywhere) if raw else None
        if parent is None:
            return None
        if parent is self.tip and self._buries(len(raw) // HEADER):
            return await self._bury(raw)
        nodes = self._checked(raw, parent)
        change = self.tree.plan(nodes[-1])
        if not self._attached:
            await self._switch_detached(change)
            return None
        event = await self._keep_nodes(nodes, change)
        if event is not None:
            self._tell(event)
        await self._trim()
        return event

    def _unknown(self, raw: bytes) -> bytes:
        """What comes after the headers that are known already."""
        at = 0
        while at < len(raw):
            if not self.knows(header_hash(raw[at : at + HEADER])):
                break
            at += HEADER
        return raw[at:]

    def _buried(self, block_hash: bytes) -> int | None:
        """Height of an active header below what is in memory."""
        found = self.store.bulk.find(block_hash)
        return found[0] if found is not None and found[0] < self.tree.root.height else None

    async def _parent(self, raw: bytes, anywhere: bool) -> Node | None:
        """What the run builds on; None when that is buried and the run does not have the work to replace what is."""
        wanted = previous_hash(raw)
        parent = self.tree.get(wanted)
        height = self._buried(wanted) if parent is None and anywhere else None
        if height is not None:
            self._refuse_below_checkpoint(raw, height)
            batch = check_batch(self.rules, raw, height + 1, wanted, self._buried_window(height), self._now())
            if self.store.bulk.work_at(height) + batch.work <= self.tip.work:
                log.info(
                    "a branch from among the buried headers has less work", height=height, headers=len(batch.hashes)
                )
                return None
            await self._load(height)
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
        first, window, now = parent.height + 1, self.window(parent), self._now()
        try:
            batch = check_batch(self.rules, raw, first, parent.hash, window, now)
        except InvalidHeader as error:
            if not error.temporary or error.height == first:
                raise
            raw = raw[: (error.height - first) * HEADER]
            batch = check_batch(self.rules, raw, first, parent.hash, window, now)
        raws = split(raw)
        nodes = self.tree.draft(parent, raws, batch.hashes, [work_of(header_bits(each)) for each in raws])
        self._recent = nodes[-1], batch.window
        return nodes

    async def _keep_nodes(self, nodes: list[Node], change: TipChange | None) -> TipEvent | None:
        added = {node.hash for node in change.added} if change is not None else set()
        inserted = [_row(node, node.hash in added) for node in nodes]
        removed = () if change is None else change.removed
        self._stale = True  # until the store has answered: a write that is cut off may have been committed
        event = await self.store.live.apply(
            [*inserted, *(_row(node, False) for node in removed)],  # those that were buried have no row
            activated=added if removed else (),  # a row may have been there since an earlier reorganisation
            deactivated=[node.hash for node in removed],
            expected_tip=self.tip.hash,
            move=None if change is None else self._move(change),
        )
        for node in nodes:
            self.tree.add(node)
        if change is not None:
            failpoints.reach("chaintracks.before-unbury")
            self.store.bulk.truncate(change.added[0].height)
            self.tree.switch(change)
        self._stale = False
        return event

    def _move(self, change: TipChange) -> Move:
        added, removed = ([*map(_noted, each)] for each in (change.added[-MAX_ADDED:], change.removed))
        return Move(self._clock(), change.new.work, change.added[0].height, added, removed)

    def _tell(self, event: TipEvent) -> None:
        height, self.last_event = event.tip.height, event.id
        log.info("new tip", height=height, hash=display(event.tip.hash), first=event.first_added, removed=event.depth)
        for listener in self.listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a listener failed", height=height)

    # burying

    def _buries(self, count: int) -> bool:
        return not self.store.rows_stay and (count >= AT_ONCE or not self._attached)

    async def _bury(self, raw: bytes) -> TipEvent | None:
        """Piece by piece, as they are checked; ``_load`` then writes one event for all of them."""
        bulk, known = self.store.bulk, self.last_event
        self._stale = True
        self._bury_nodes(self.tree.active)
        before = bulk.read(max(0, bulk.count - WINDOW), WINDOW)
        held: list[Piece] = []
        try:
            async for piece in self.checker.check(before, raw, bulk.count, self._now()):
                held.append(piece)
                if len(held) == PIECES_AT_ONCE:
                    _append(bulk, held)
        finally:
            _append(bulk, held)
            await self._load()
        return None if self.last_event == known else (await self.store.events_after(self.last_event - 1, 1))[0]

    def _bury_nodes(self, nodes: Sequence[Node]) -> None:
        """Those of these consecutive active headers that are not buried yet."""
        lacking = nodes[max(0, self.store.bulk.count - nodes[0].height) :]
        self.store.bulk.append(b"".join(each.raw for each in lacking), b"".join(each.hash for each in lacking))

    async def _switch_detached(self, change: TipChange | None) -> None:
        """Another process that is ahead of us has the rows: only our files change."""
        if change is not None:
            self._stale = True
            self.store.bulk.truncate(change.added[0].height)
            self._bury_nodes(change.added)
            await self._load()

    async def _trim(self) -> None:
        tree, live = self.tree, self.store.live
        if tree.side > MAX_SIDE:
            await live.apply(forgotten=[node.hash for node in tree.forget_side(MAX_SIDE)])
        if len(tree.active) <= self._keep + SLACK:
            return
        height = tree.tip.height - self._keep
        root = tree.active[height - tree.root.height]
        self._bury_nodes(tree.active[: height - tree.root.height + 1])
        self._before = self.window(root.parent) if root.parent is not None else Window(root.height)
        dropped = tree.rebase(height).dropped
        if dropped:
            await live.apply(forgotten=[node.hash for node in dropped])
        await live.prune(0 if self.store.rows_stay else self.store.bulk.count - RETAINED, height)

    # history

    def window(self, parent: Node) -> Window:
        """Times and bits of up to ``WINDOW`` headers that end at ``parent``."""
        if self._recent is not None and self._recent[0] is parent:
            return self._recent[1]
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

    def _buried_window(self, height: int) -> Window:
        first = max(0, height + 1 - WINDOW)
        raws = split(self.store.bulk.read(first, height + 1 - first))
        return Window(first, [*map(header_time, raws)], [*map(header_bits, raws)])

    def _now(self) -> int:
        return int(self._clock().timestamp())

    async def _load(self, root_height: int | None = None) -> None:
        """Read the store, and tell what others, or a call that was cut off, have done to it."""
        self._stale = True
        found = await load(self.store, self.rules, self._keep, root_height)
        height, shown = found.tree.tip.height, found.state.event
        if found.told is not None and found.told < height:
            start = max(found.told + 1, height + 1 - MAX_ADDED)
            added = listed(self.store.bulk.read(start, height + 1 - start), start, 1)
            move = Move(self._clock(), found.tree.tip.work, found.told + 1, added, ())
            noted = await self.store.live.apply(expected_tip=found.state.tip, move=move)
            shown = shown if noted is None else noted.id
        self._tree, self._before, self._attached = found.tree, found.before, found.told is not None
        self._stale = False
        while self.last_event < shown:
            missed = await self.store.events_after(self.last_event)
            for event in missed:
                if event.id <= shown:  # later ones belong to a chain that is not here yet
                    self._tell(event)
            if not missed or missed[-1].id >= shown:
                break
        self.last_event = max(self.last_event, shown)


def _append(bulk: Bulk, pieces: list[Piece]) -> None:
    if pieces:
        bulk.append(b"".join(each.raw for each in pieces), b"".join(each.hashes for each in pieces))
        pieces.clear()


def _rules(name: str) -> Rules:
    try:
        return Rules.of(ChainParameters.named(name))
    except ValueError as error:
        raise ConfigurationError(str(error)) from None


def _noted(node: Node) -> EventHeader:
    return EventHeader(node.height, node.hash, node.raw)


def _row(node: Node, active: bool) -> StoredHeader:
    return StoredHeader(node.hash, node.order, node.height, active, node.raw, node.work)
