"""What a source brings is handled in order, some at a time, and as far as it is allowed."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.module_runtime.channels.allowance import Allowance
from sdk.module_runtime.channels.intake import Intake


@given(
    st.lists(st.tuples(st.floats(0, 10), st.floats(0.1, 50)), min_size=1, max_size=60),
    st.floats(0.5, 20),
    st.floats(1, 100),
)
def test_no_more_is_granted_than_the_rate_the_burst_and_one_debt(
    asked: list[tuple[float, float]], rate: float, burst: float
) -> None:
    now = [0.0]
    allowance = Allowance(rate, burst, lambda: now[0])
    granted, largest = 0.0, 0.0
    for pause, cost in asked:
        now[0] += pause
        if allowance.take(cost):
            granted += cost
            largest = max(largest, cost)
        else:
            waited = allowance.wait()
            assert waited > 0
            assert waited <= (largest + 1) / rate + 1e-6
    assert granted <= burst + now[0] * rate + largest + 1e-6


async def test_a_flood_waits_and_is_handled_in_order_and_the_loop_turns_meanwhile() -> None:
    handled: list[int] = []
    reading: list[bool] = []
    allowance = Allowance(1_000, 100, asyncio.get_running_loop().time)
    intake: Intake[int] = Intake(handled.append, reading.append, allowance, lambda _: 1.0)
    intake.put(range(300))
    assert 0 < len(handled) <= 128
    assert reading == [False]
    async with asyncio.timeout(10):
        while len(handled) < 300:  # noqa: ASYNC110 - every turn of the loop counts
            await asyncio.sleep(0)
    assert handled == list(range(300))
    assert reading[-1] is True


async def test_what_is_held_waits_and_what_is_closed_is_forgotten() -> None:
    handled: list[int] = []
    allowance = Allowance(1e6, 1e6, asyncio.get_running_loop().time)
    intake: Intake[int] = Intake(handled.append, lambda _: None, allowance, lambda _: 1.0)
    intake.hold(True)
    intake.put([1, 2])
    assert handled == []
    intake.hold(False)
    await asyncio.sleep(0)
    assert handled == [1, 2]
    intake.hold(True)
    intake.put([3])
    intake.close()
    intake.flush()
    assert handled == [1, 2]


@pytest.mark.parametrize("one_by_one", ["take", "put"])
async def test_one_by_one_no_more_is_handled_in_a_turn_than_all_at_once(one_by_one: str) -> None:
    handled: list[int] = []
    reading: list[bool] = []
    allowance = Allowance(1e6, 1e6, asyncio.get_running_loop().time)
    intake: Intake[int] = Intake(handled.append, reading.append, allowance, lambda _: 1.0)
    for number in range(300):
        if one_by_one == "take":
            intake.take(number)
        else:
            intake.put([number])
    assert len(handled) == 128
    assert reading == [False]
    for _ in range(3):
        await asyncio.sleep(0)
    assert handled == list(range(300))
    assert reading == [False, True]


@given(st.lists(st.sampled_from(["take", "put", "hold", "go on", "turn"]), max_size=60), st.floats(1, 100))
def test_however_they_come_none_is_lost_nor_overtaken_and_none_beyond_the_allowance(
    what: list[str], burst: float
) -> None:
    async def run() -> None:
        handled: list[int] = []
        allowance = Allowance(1e-9, burst, lambda: 0.0)
        intake: Intake[int] = Intake(handled.append, lambda _: None, allowance, lambda _: 1.0)
        came, held = 0, False
        for each in what:
            before = len(handled)
            if each in ("take", "put"):
                (intake.take if each == "take" else lambda number: intake.put([number]))(came)
                came += 1
            elif each == "turn":
                await asyncio.sleep(0)
            else:
                held = each == "hold"
                intake.hold(held)
            assert not held or len(handled) == before
        assert handled == list(range(len(handled)))
        assert len(handled) <= burst + 1
        intake.hold(False)
        intake.flush()
        assert handled == list(range(came))

    asyncio.run(run())


async def test_a_source_that_is_held_is_not_read_though_nothing_of_it_waits() -> None:
    reading: list[bool] = []
    allowance = Allowance(1e6, 1e6, asyncio.get_running_loop().time)
    intake: Intake[int] = Intake(lambda _: None, reading.append, allowance, lambda _: 1.0)
    intake.hold(True)
    assert reading == [False]
    intake.hold(False)
    await asyncio.sleep(0)
    assert reading == [False, True]
