"""A unit that breaks at any of its statements leaves nothing behind, and can be run again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from sdk.core.wallet import RelinquishOutputArgs, validate_create_action
from sdk.wallet.funding import FeeModel
from sdk.wallet.lifecycle import evidence as by
from sdk.wallet.storage.abort_action import abort_action
from sdk.wallet.storage.create_action import CreateRequest, create_action
from sdk.wallet.storage.list_outputs import relinquish_output
from sdk.wallet.storage.process_action import ProcessRequest, process_action
from sdk.wallet.storage.users import find_or_insert_user
from support.storage_rig import BOB, STORAGE, pay, sign

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.core.storage import AuthId
    from sdk.service.database import Unit
    from support.storage_rig import Rig


class Broken(Exception):
    """The fault the test injects."""


@dataclass
class Brittle:
    """A unit that breaks after ``left`` statements."""

    unit: Unit
    left: int

    def __getattr__(self, name: str) -> Any:
        member = getattr(self.unit, name)
        if name not in ("rows", "first", "scalar", "run", "run_many", "insert", "insert_many"):
            return member

        def step(*args: Any, **params: Any) -> Any:
            if self.left == 0:
                raise Broken
            self.left -= 1
            return member(*args, **params)

        return step


async def break_everywhere(rig: Rig, run: Callable[[Any], object]) -> int:
    """Break the unit at each statement in turn; how many there are."""
    before = await rig.dump()
    for statements in range(200):

        def attempt(unit: Unit, left: int = statements) -> None:
            run(Brittle(unit, left))

        try:
            await rig.database.write(attempt)
        except Broken:
            assert await rig.dump() == before
        else:
            assert await rig.dump() != before
            return statements
    raise AssertionError("the unit has no end")


def create_request(rig: Rig, auth: AuthId, **args: Any) -> CreateRequest:
    return CreateRequest(
        user_id=auth.user_id or 0,
        args=validate_create_action({"description": "break me", **args}).for_storage(),
        fees=FeeModel(1),
        now=rig.clock(),
        entropy=rig.random.randbytes,
    )


async def test_create_action(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [10_000, 10_000])
    token = await everywhere.act(alice, outputs=[pay(500, "51" * 30, basket="tokens")])
    vout = [each.satoshis for each in token.outputs].index(500)
    request = create_request(
        everywhere,
        alice,
        inputs=[{"outpoint": f"{token.txid()}.{vout}", "inputDescription": "spend it", "unlockingScriptLength": 9}],
        outputs=[pay(2_000, basket="new", tags=["new"])],
        labels=["new"],
    )
    assert await break_everywhere(everywhere, lambda unit: create_action(unit, request)) > 15


@pytest.mark.parametrize("held", [True, False])
async def test_process_action(everywhere: Rig, held: bool) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [10_000])
    created = await everywhere.create(alice)
    request = ProcessRequest(
        alice.user_id or 0, created.reference, sign(created), held, True, (), "batch", 1024, everywhere.clock()
    )
    assert await break_everywhere(everywhere, lambda unit: process_action(unit, request)) == 10


async def test_abort_action(everywhere: Rig) -> None:
    alice = await everywhere.user()
    await everywhere.mine(alice, [10_000])
    created = await everywhere.create(alice, options={"noSend": True}, outputs=[pay(10)])
    await everywhere.process(alice, created, is_no_send=True)
    evidence, now = by.UserAbort(checked=True), everywhere.clock()

    def abort(unit: Any) -> None:
        abort_action(unit, alice.user_id or 0, created.reference, evidence, now)

    assert await break_everywhere(everywhere, abort) > 5


async def test_relinquish_output(everywhere: Rig) -> None:
    alice = await everywhere.user()
    (mined,) = await everywhere.mine(alice, [10_000])
    args = RelinquishOutputArgs(basket="default", output=f"{mined}.0")

    def relinquish(unit: Any) -> None:
        relinquish_output(unit, alice.user_id or 0, args, everywhere.clock())

    assert await break_everywhere(everywhere, relinquish) == 2


async def test_find_or_insert_user(everywhere: Rig) -> None:
    await everywhere.user()
    statements = await break_everywhere(everywhere, lambda unit: find_or_insert_user(unit, BOB, STORAGE.identity_key))
    assert statements == 6
