"""Time that an orchestrator was stopped for is nobody's silence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sdk.module_runtime.orchestrator.awake import MOST, AwakeClock


@given(st.lists(st.floats(0, 1000)))
def test_no_pause_counts_for_more_than_a_tick_may_take_and_the_clock_never_goes_back(pauses: list[float]) -> None:
    now = 100.0
    clock = AwakeClock(lambda: now)
    seen = clock()
    assert seen == 100.0
    for pause in pauses:
        now += pause
        assert seen <= clock() <= seen + min(pause, MOST) + 1e-6
        clock.tick()
        seen = clock()
    assert seen - 100.0 <= sum(min(pause, MOST) for pause in pauses) + 1e-6


def test_a_clock_that_ticks_in_time_is_the_clock_beneath() -> None:
    now = 0.0
    clock = AwakeClock(lambda: now)
    for _ in range(100):
        now += MOST / 2
        assert clock() == now
        clock.tick()
