"""What a channel's metrics come to, against a plain model that keeps everything."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.module_runtime.channels import metrics as metrics_module
from sdk.module_runtime.channels.metrics import (
    FRESH,
    LEAST,
    OUTAGES,
    RECENT,
    SAMPLES,
    SLICES,
    WINDOW,
    ChannelMetrics,
    Latencies,
    Objectives,
    Thresholds,
    kept,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

LATENCIES = st.lists(st.floats(0, 2), min_size=1, max_size=60)


def taken_at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@given(LATENCIES, st.sampled_from([1, 2, 20, 50]))
@settings(max_examples=60)
def test_percentiles_are_those_of_the_last_thousand_and_the_last_hundred(values: list[float], times: int) -> None:
    metrics, everything = ChannelMetrics(), values * times
    for each in everything:
        metrics.answer(each, 1.0)
    last = sorted(everything[-SAMPLES:])
    mean = pytest.approx(sum(last) / len(last))
    assert metrics.latencies() == (mean, *(taken_at(last, share) for share in (0.5, 0.95, 0.99)), last[-1])
    is_enough = len(everything) >= LEAST
    assert metrics.recent_p95(1.0 + FRESH) == (taken_at(sorted(everything[-RECENT:]), 0.95) if is_enough else None)
    assert metrics.recent_p95(1.1 + FRESH) is None
    assert metrics.answered == len(everything)


EVENTS = st.lists(
    st.tuples(st.sampled_from(["answer", "fail", "open", "lose", "wait"]), st.floats(0, WINDOW / 3)), max_size=80
)


@given(EVENTS)
def test_rates_are_those_of_the_last_hour_within_one_part_of_it(events: list[tuple[str, float]]) -> None:
    metrics, now = ChannelMetrics(), 0.0
    asked: list[tuple[float, bool]] = []
    states: list[tuple[float, bool]] = []
    for what, seconds in events:
        if what == "answer":
            metrics.answer(0.1, now)
            asked.append((now, True))
        elif what == "fail":
            metrics.fail(now)
            asked.append((now, False))
        elif what == "open":
            metrics.opened(now)
            states.append((now, True))
        elif what == "lose" and states:  # none is lost that was never open
            metrics.lost(now)
            states.append((now, False))
        else:
            now += seconds
    part = WINDOW / SLICES
    surely = [ok for at, ok in asked if now - at < WINDOW - part]
    perhaps = [ok for at, ok in asked if now - at < WINDOW]
    answered, failed = metrics._within(now)
    assert surely.count(True) <= answered <= perhaps.count(True)
    assert surely.count(False) <= failed <= perhaps.count(False)
    assert 0 <= metrics.error_rate(now) <= 1
    assert metrics.availability(now) == pytest.approx(available(states, now), abs=1e-6)


def available(states: list[tuple[float, bool]], now: float) -> float:
    """The share of time it was open, interval by interval."""
    if not states:
        return 0.0
    begin = max(states[0][0], now - WINDOW)
    if now <= begin:
        return 1.0
    ends = [at for at, _ in states[1:]] + [now]
    away = sum(max(0.0, end - max(at, begin)) for (at, is_open), end in zip(states, ends, strict=True) if not is_open)
    return 1 - away / (now - begin)


def test_everything_is_of_fixed_size() -> None:
    metrics = ChannelMetrics()
    for number in range(20_000):
        now = number * 10.0
        metrics.opened(now)
        metrics.answer(0.1, now)
        metrics.fail(now)
        metrics.lost(now + 5)
        metrics.due_alerts(now)
    assert len(metrics._latencies) == SAMPLES
    assert len(metrics._slices) == SLICES
    assert len(metrics._outages) == OUTAGES
    assert sys.getsizeof(metrics._latencies) < 16_000
    assert len(metrics._told_at) <= 4


@pytest.fixture(autouse=True)
def always_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "CHECK_EVERY", 0.0)


def test_it_does_not_look_for_alerts_more_often_than_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "CHECK_EVERY", 30.0)
    metrics = ChannelMetrics()
    assert metrics.due_alerts(1) == []
    metrics.in_flight = 2000
    assert metrics.due_alerts(30.9) == []
    assert [each.kind for each in metrics.due_alerts(31)] == ["in_flight"]


def test_each_kind_of_alert_is_told_at_most_once_an_interval_and_none_while_all_is_well() -> None:
    metrics = ChannelMetrics(Thresholds(interval=300, least_seconds=30))
    metrics.opened(0)
    for _ in range(50):
        metrics.answer(0.4, 0)
    metrics.fail(0)
    assert metrics.due_alerts(1) == []
    for _ in range(50):
        metrics.answer(0.6, 10)
        metrics.fail(10)
    metrics.in_flight = 1001
    metrics.lost(20)
    assert [each.kind for each in metrics.due_alerts(30)] == ["latency", "in_flight", "error_rate", "availability"]
    assert metrics.due_alerts(31) == []
    assert metrics.due_alerts(329) == []
    assert {each.kind for each in metrics.due_alerts(331)} == {"in_flight", "error_rate", "availability"}
    assert metrics.alerts == {"latency": 1, "in_flight": 2, "error_rate": 2, "availability": 2}


def test_a_channel_that_was_only_just_opened_is_not_unavailable() -> None:
    metrics = ChannelMetrics()
    assert metrics.availability(5) == 0
    metrics.opened(0)
    metrics.lost(1)
    assert metrics.due_alerts(59) == []
    assert [each.kind for each in metrics.due_alerts(60)] == ["availability"]


def test_a_few_failures_of_a_quiet_channel_are_no_rate() -> None:
    metrics = ChannelMetrics()
    metrics.opened(0)
    for _ in range(Thresholds().least - 1):
        metrics.fail(0)
    assert metrics.due_alerts(1) == []
    metrics.fail(1)
    assert [each.kind for each in metrics.due_alerts(2)] == ["error_rate"]


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_what_is_promised_is_kept_or_it_is_not(p95: float, error_rate: float, availability: float) -> None:
    figures = (
        ChannelMetrics()
        .figures(0)
        ._replace(latency=Latencies(p95=p95), error_rate=error_rate, availability=availability)
    )
    assert dict(kept(figures, Objectives())) == {
        "availability": availability >= 0.999,
        "latency": p95 <= 0.1,
        "error_rate": error_rate <= 0.01,
    }
