"""The table of states, and the restart budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.module_runtime.orchestrator.lifecycle import TRANSITIONS, Event, InvalidTransition, RestartBudget, State, after


@given(st.lists(st.sampled_from(Event)))
def test_only_steps_of_the_table_are_taken_and_a_refusal_changes_nothing(events: list[Event]) -> None:
    state = State.STOPPED
    for event in events:
        if (state, event) in TRANSITIONS:
            state = after(state, event)
        else:
            with pytest.raises(InvalidTransition, match=state.value):
                after(state, event)


@pytest.mark.parametrize("state", [state for state in State if state not in (State.STOPPED, State.STOPPING)])
def test_every_state_can_be_left_by_stop(state: State) -> None:
    assert after(state, Event.STOP) in (State.STOPPED, State.STOPPING)


def test_no_state_is_a_dead_end() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State) == {State.STOPPED, *TRANSITIONS.values()}


@given(
    st.integers(0, 6),
    st.lists(st.tuples(st.floats(0, 30), st.floats(0, 1, exclude_max=True)), max_size=40),
)
def test_no_window_sees_more_restarts_than_the_limit(limit: int, crashes: list[tuple[float, float]]) -> None:
    budget = RestartBudget(limit, window=60.0, first_delay=0.5, longest_delay=8.0)
    now, restarts = 0.0, list[float]()
    for gap, jitter in crashes:
        now += gap
        budget, delay = budget.crashed(now, jitter)
        if delay is None:
            assert len([at for at in restarts if now - at < 60.0]) >= limit
            break
        restarts.append(now)
        assert 0.25 <= delay <= 8.0
        assert len([at for at in restarts if now - at < 60.0]) <= limit


def test_the_wait_doubles_up_to_the_longest_and_a_quiet_window_forgives() -> None:
    budget = RestartBudget(10, window=60.0, first_delay=1.0, longest_delay=5.0)
    delays = []
    for second in range(4):
        budget, delay = budget.crashed(float(second), 0.0)
        delays.append(delay)
    assert delays == [1.0, 2.0, 4.0, 5.0]
    assert budget.crashed(1000.0, 0.0)[1] == 1.0
