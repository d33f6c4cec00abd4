"""What the two parts of a store hold, brought together: the chain from the first header to the tip.

The rows near the tip are the authority: where the buried headers differ from them, a crash has come between the two
writes of a reorganisation, and the buried ones give way. Where buried headers and rows do not meet, another process
that shares the database is ahead of our files; we are *detached*, and add to the files alone until they meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sdk.chaintracks.consensus import WINDOW, Window
from sdk.chaintracks.consensus.compact import work_of
from sdk.chaintracks.consensus.fields import (
    display,
    header_bits,
    header_hash,
    header_time,
    previous_hash,
    split,
)
from sdk.chaintracks.errors import StoreCorrupted
from sdk.chaintracks.events import MAX_ADDED
from sdk.chaintracks.store.ports import StoredHeader
from sdk.chaintracks.tree import HeaderTree, Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.chaintracks.consensus import Rules
    from sdk.chaintracks.store.ports import Bulk, HeaderStore, Live, State

_STEP: Final = 500
_PART: Final = 10_000
_ATTEMPTS: Final = 10


@dataclass(slots=True)
class Loaded:
    """``before`` is what precedes the tree's root, ``state`` what the rows say.

    ``told`` is the height of the tip in ``state``, or one up to which our chain and its chain are taken to be the
    same; None while detached.
    """

    tree: HeaderTree
    before: Window
    state: State
    told: int | None


async def load(store: HeaderStore, rules: Rules, keep: int, root_height: int | None = None) -> Loaded:
    """The tree of the last ``keep`` headers, or from ``root_height`` on. Raises ``StoreCorrupted``.

    Another process may write while this reads. The chain is then as it was at ``state``, or is read again.
    """
    genesis = rules.genesis
    await _begin(store, rules)
    for _ in range(_ATTEMPTS - 1):
        before = await store.live.state()
        try:
            return await _read(store, genesis, keep, root_height)
        except StoreCorrupted:
            if await store.live.state() == before:
                raise
    return await _read(store, genesis, keep, root_height)


async def _read(store: HeaderStore, genesis: bytes, keep: int, root_height: int | None) -> Loaded:
    bulk, live = store.bulk, store.live
    await _reconcile(bulk, live)
    await _fill(bulk, live, keep)
    state = await live.state()
    assert state is not None
    tail, told = await _tail(store, state)
    if told is None and not bulk.count:
        bulk.append(genesis, header_hash(genesis))
    top = tail[-1].height if tail else bulk.count - 1
    first = max(0, min(top - keep, bulk.count))
    if root_height is not None:
        first = min(first, root_height)
    tree = _trunk(bulk, tail, first)
    if told is not None:
        _add_branches(tree, await live.rows(first))
    before = bulk.read(max(0, first - WINDOW), min(first, WINDOW))
    raws = split(before)
    return Loaded(tree, Window(first - len(raws), [*map(header_time, raws)], [*map(header_bits, raws)]), state, told)


async def _begin(store: HeaderStore, rules: Rules) -> None:
    """Rows that know nothing start at the last buried header, or the first of all."""
    state = await store.live.state()
    if state is not None:
        state.require(rules.chain)
        return
    height = max(0, store.bulk.count - 1)
    raw = store.bulk.header(height) or rules.genesis
    work = store.bulk.work_at(height) if store.bulk.count else work_of(header_bits(raw))
    await store.live.begin(StoredHeader(header_hash(raw), height, height, True, raw, work), rules.chain)


async def _reconcile(bulk: Bulk, live: Live) -> None:
    """Both parts hold one chain each, so that they agree up to some height and differ above it."""
    span = await live.span()
    if span is None:
        return
    lowest, highest = span
    high, wrong = min(bulk.count - 1, highest), None
    while high >= lowest:
        low = max(lowest, high - _STEP + 1)
        for row in reversed(await live.active(low, high)):
            if bulk.header(row.height) == row.raw:
                low = lowest
                break
            wrong = row.height
        high = low - 1
    if wrong is not None:
        bulk.truncate(wrong)


async def _fill(bulk: Bulk, live: Live, keep: int) -> None:
    """Bury the rows that lie deeper than ``keep``, as far as they go on from what is buried."""
    span = await live.span()
    while span is not None and bulk.count < span[1] - keep:
        rows = await live.active(bulk.count, min(bulk.count + _PART, span[1] - keep) - 1)
        if not rows or rows[0].height != bulk.count or previous_hash(rows[0].raw) != _tip(bulk):
            return
        for before, row in zip([None, *rows], rows, strict=False):
            if header_hash(row.raw) != row.hash or (before is not None and previous_hash(row.raw) != before.hash):
                raise _damaged(row)
        bulk.append(b"".join(each.raw for each in rows), b"".join(each.hash for each in rows))


async def _tail(store: HeaderStore, state: State) -> tuple[list[StoredHeader], int | None]:
    """The active rows above the buried headers, and the height of the tip they know of."""
    bulk, live = store.bulk, store.live
    span = await live.span()
    tail = [] if span is None else await live.active(bulk.count, span[1])
    at = next((index for index, row in enumerate(tail) if row.hash == state.tip), len(tail) - 1)
    tail = tail[: at + 1]  # what another process has added since is read next time, with its event
    meets = bool(tail) and tail[0].height == bulk.count and previous_hash(tail[0].raw) == _tip(bulk)
    if meets and tail[-1].hash == state.tip:
        return tail, tail[-1].height
    if store.rows_stay:
        raise StoreCorrupted(
            f"the stored chain breaks off above height {bulk.count - 1}: if files hold the headers before, open it with"
            " the files store; or delete the chaintracks tables and start again"
        )
    if meets:  # another process has added to its files alone
        bulk.append(b"".join(each.raw for each in tail), b"".join(each.hash for each in tail))
    found = bulk.find(state.tip)
    told = None if found is None else found[0]
    if told is None and bulk.count and bulk.work_at(bulk.count - 1) > state.work:
        told = max(0, bulk.count - 1 - MAX_ADDED)  # the files or the rows were lost, and the tip they had is no more
    return [], told


def _trunk(bulk: Bulk, tail: Sequence[StoredHeader], first: int) -> HeaderTree:
    if first < bulk.count:
        raw = bulk.header(first)
        assert raw is not None
        root = Node(raw, header_hash(raw), first, bulk.work_at(first), None, first)
    else:
        row = tail[first - bulk.count]
        root = Node(row.raw, row.hash, first, row.work, None, row.arrival)
    tree = HeaderTree(root)
    node = root
    for raw in split(bulk.read(first + 1, max(0, bulk.count - first - 1))):
        node = Node(
            raw, header_hash(raw), node.height + 1, node.work + work_of(header_bits(raw)), node, node.height + 1
        )
        tree.add(node)
        tree.active.append(node)
    for row in tail:
        if row.height > first:
            node = _child(tree, row)
            tree.add(node)
            tree.active.append(node)
    return tree


def _add_branches(tree: HeaderTree, rows: Sequence[StoredHeader]) -> None:
    for row in rows:
        if row.hash not in tree and previous_hash(row.raw) in tree:  # or else its branch starts below the root
            tree.add(_child(tree, row))


def _child(tree: HeaderTree, row: StoredHeader) -> Node:
    parent = tree.get(previous_hash(row.raw))
    if parent is None or header_hash(row.raw) != row.hash or row.height != parent.height + 1:
        raise _damaged(row)
    return Node(row.raw, row.hash, row.height, row.work, parent, row.arrival)


def _tip(bulk: Bulk) -> bytes:
    raw = bulk.header(bulk.count - 1)
    return bytes(32) if raw is None else header_hash(raw)


def _damaged(row: StoredHeader) -> StoreCorrupted:
    return StoreCorrupted(
        f"the stored header at height {row.height} ({display(row.hash)}) is damaged: delete the chaintracks "
        "tables (sdk db downgrade, or the file) and start again"
    )
