"""The chain of headers against a model that forgets nothing: growth, branches, orphans, ties, reorganisations from any
depth, restarts, over stores whose headers are buried almost at once."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from sdk.chaintracks import chain as chain_module
from sdk.chaintracks.chain import HeaderChain
from sdk.chaintracks.errors import UnknownParent
from sdk.chaintracks.store import HeaderStore
from sdk.chaintracks.store.files import FileBulk
from sdk.chaintracks.store.flat import MemoryBulk
from sdk.chaintracks.store.memory import MemoryLive
from support.header_rig import GENESIS, mined

if TYPE_CHECKING:
    from sdk.chaintracks.events import TipEvent
    from sdk.chaintracks.store import Bulk
    from sdk.core.header import BlockHeader

KEEP, SLACK, AT_ONCE = 6, 3, 5


@dataclass(eq=False)
class Known:
    """A header of the model. ``work`` is its height plus one: every header has the same."""

    header: BlockHeader
    height: int
    parent: Known | None

    @property
    def wire(self) -> bytes:
        return bytes.fromhex(self.header.hash())[::-1]

    def path(self) -> list[Known]:
        found: list[Known] = []
        each: Known | None = self
        while each is not None:
            found.append(each)
            each = each.parent
        return found[::-1]


class ChainMachine(RuleBasedStateMachine):
    """``self.tip`` is what the model holds to be the tip: most work, and among equals the one that was first."""

    headers = Bundle("headers")
    in_files = False

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.live = MemoryLive()
        self.bulk: Bulk = self.fresh_bulk()
        self.tip = Known(GENESIS, 0, None)
        self.told: list[bytes] = [self.tip.wire]
        self.salt = 0
        self.chain = self.opened()

    def fresh_bulk(self) -> Bulk:
        if self.in_files:
            return FileBulk(Path(self.folder.name), "mock", per_file=7)
        return MemoryBulk()

    def opened(self) -> HeaderChain:
        store = HeaderStore(self.bulk, self.live)
        clock = lambda: datetime(2036, 1, 1, tzinfo=UTC)  # noqa: E731
        chain = self.loop.run_until_complete(HeaderChain.open("mock", store, clock=clock, keep=KEEP))
        chain.listeners.append(self.hear)
        return chain

    def hear(self, event: TipEvent) -> None:
        """What listeners are told, carried out step by step, is the chain."""
        for each in event.removed:
            assert self.told.pop() == each.hash
            assert len(self.told) == each.height
        assert len(self.told) == event.first_added
        for added in event.added:
            assert len(self.told) == added.height
            self.told.append(added.hash)

    def send(self, headers: list[Known]) -> bool:
        """Whether the chain could place them."""
        raw = b"".join(each.header.to_bytes() for each in headers)
        parent = headers[0].parent
        assert parent is not None
        before = self.tip
        try:
            self.loop.run_until_complete(self.chain.extend(raw))
        except UnknownParent:
            assert parent not in self.tip.path()  # a parent on the chain is always found, however deep
            assert headers[0] not in self.tip.path()
            return False
        if headers[-1].height > before.height:
            self.tip = headers[-1]
        return True

    @initialize(target=headers)
    def begin(self) -> Known:
        return self.tip

    def grown(self, parent: Known, count: int) -> Known:
        """New headers on any there ever were; the whole branch again where its beginning was forgotten."""
        self.salt += 1
        fresh: list[Known] = []
        for _ in range(count):
            before = fresh[-1] if fresh else parent
            fresh.append(Known(mined(before.header, salt=str(self.salt)), before.height + 1, before))
        if not self.send(fresh):
            assert self.send(fresh[-1].path()[1:])
        return fresh[-1]

    @rule(target=headers, parent=headers, count=st.integers(1, 9))
    def grow_anywhere(self, parent: Known, count: int) -> Known:
        return self.grown(parent, count)

    @rule(target=headers)
    def grow_tip(self) -> Known:
        return self.grown(self.tip, 3)

    @rule(header=headers)
    def send_again(self, header: Known) -> None:
        """What was there before changes nothing that has not more work."""
        path = header.path()[1:]
        if path:
            assert self.send(path)

    @rule(header=headers, skipped=st.integers(1, 3))
    def send_late(self, header: Known, skipped: int) -> None:
        """A header whose parents come after it is no reorganisation, and no loss."""
        first = Known(mined(header.header, salt=f"late{self.salt}"), header.height + 1, header)
        self.salt += 1
        later = [first]
        for _ in range(skipped):
            later.append(Known(mined(later[-1].header), later[-1].height + 1, later[-1]))
        tip = self.chain.tip.hash
        with pytest.raises(UnknownParent):
            self.loop.run_until_complete(self.chain.extend(later[-1].header.to_bytes()))
        assert self.chain.tip.hash == tip

    @rule()
    def restart(self) -> None:
        self.loop.run_until_complete(self.chain.close())
        if self.in_files:
            self.bulk = self.fresh_bulk()
        self.chain = self.opened()

    @invariant()
    def agrees(self) -> None:
        path = self.tip.path()
        assert self.chain.tip.hash == self.tip.wire
        assert self.chain.tip.work == 2 * len(path)
        expected = b"".join(each.header.to_bytes() for each in path)
        assert self.loop.run_until_complete(self.chain.headers(0, 10_000)) == expected
        assert self.told == [each.wire for each in path]
        for each in (path[0], path[len(path) // 2], path[-1]):
            found = self.loop.run_until_complete(self.chain.find(each.wire))
            assert found == (each.height, each.header.to_bytes())
        assert len(self.chain.tree) < 200

    def teardown(self) -> None:
        self.loop.run_until_complete(self.chain.close())
        self.loop.close()
        self.folder.cleanup()


class FileChainMachine(ChainMachine):
    in_files = True


@pytest.mark.parametrize(("machine", "examples"), [(ChainMachine, 30), (FileChainMachine, 12)])
def test_the_chain_is_what_a_model_that_forgets_nothing_says(
    machine: type[ChainMachine], examples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SLACK", SLACK), ("AT_ONCE", AT_ONCE), ("RETAINED", 10)):
        monkeypatch.setattr(chain_module, name, value)
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=25, deadline=None))
