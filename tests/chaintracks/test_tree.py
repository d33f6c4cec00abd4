"""Fork choice and reorganisations against brute force."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sdk.chaintracks.tree import HeaderTree, Node

HEADER = bytes(80)


def name(number: int) -> bytes:
    return number.to_bytes(32, "big")


def new_tree() -> HeaderTree:
    return HeaderTree(Node(HEADER, name(0), 100, 10, None, 0))


Growth = list[tuple[int, int]]
growths = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 4)), max_size=30)
"""(which earlier header to build on, own work)"""


def grow(tree: HeaderTree, growth: Growth) -> list[Node]:
    """Adds one header at a time and checks each change against the history."""
    nodes = [tree.root]
    for number, (at, work) in enumerate(growth, 1):
        parent = nodes[at % len(nodes)]
        before = list(tree.active)
        (node,) = tree.draft(parent, [HEADER], [name(number)], [work])
        change = tree.plan(node)
        tree.add(node)
        nodes.append(node)
        if change is not None:
            tree.switch(change)
            assert change.old is before[-1]
            kept = before[: len(before) - change.depth]
            assert change.removed == tuple(reversed(before[len(kept) :]))
            assert tree.active == [*kept, *change.added]
            assert change.new is tree.tip is node
        else:
            assert tree.active == before
    return nodes


@given(growths)
def test_r80_the_tip_has_the_most_work_and_came_first(growth: Growth) -> None:
    tree = new_tree()
    nodes = grow(tree, growth)
    best = max(nodes, key=lambda node: (node.work, -node.order))
    assert tree.tip is best
    branch: list[Node] = []
    node: Node | None = best
    while node is not None:
        branch.insert(0, node)
        node = node.parent
    assert tree.active == branch
    assert [each.height for each in branch] == list(range(100, 100 + len(branch)))
    assert tree.side == len(nodes) - len(branch)
    parents = {each.parent.hash for each in nodes if each.parent is not None}
    assert {each.hash for each in tree.tips()} == {each.hash for each in nodes} - parents


@given(growths, st.integers(0, 30))
def test_rebase_keeps_what_descends_from_the_new_root(growth: Growth, up: int) -> None:
    tree = new_tree()
    nodes = grow(tree, growth)
    active = list(tree.active)
    root = active[up % len(active)]

    def descends(node: Node | None) -> bool:
        while node is not None and node is not root:
            node = node.parent
        return node is root

    kept = {node.hash for node in nodes if descends(node)}
    rebased = tree.rebase(root.height)
    assert tree.root is root
    assert {node.hash for node in nodes if node.hash in tree} == kept
    assert rebased.passed == tuple(active[1 : active.index(root) + 1])
    assert {node.hash for node in rebased.dropped} == {node.hash for node in nodes} - kept - {n.hash for n in active}
    assert tree.active == active[active.index(root) :]


@given(growths, st.integers(0, 10))
def test_forgetting_side_branches_never_touches_the_active_chain(growth: Growth, keep: int) -> None:
    tree = new_tree()
    nodes = grow(tree, growth)
    active, side = list(tree.active), tree.side
    forgotten = tree.forget_side(keep)
    assert tree.active == active
    assert tree.side == min(side, keep)
    assert len(forgotten) == side - tree.side
    held = {node.hash for node in nodes if node.hash in tree}
    assert all(node.parent is None or node.parent.hash in held for node in nodes if node.hash in held)
