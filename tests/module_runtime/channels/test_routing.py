"""The routing table against a plain model of the reference's order of rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.module_runtime.channels.preferences import Preferences
from sdk.module_runtime.channels.routing import (
    CROWD,
    TABLE,
    Health,
    MessagePriority,
    MessageType,
    Traits,
    is_local,
    rank,
    rule_of,
)

if TYPE_CHECKING:
    from sdk.module_runtime.channels.preferences import ChannelKind

PRIORITIES = st.sampled_from(get_args(MessagePriority))
TYPES = st.sampled_from(get_args(MessageType))
SIZES = st.integers(0, 3_000_000) | st.sampled_from([0, 99, 100, 1023, 1024, 1_048_576, 1_048_577])
KINDS: list[ChannelKind] = ["ipc", "tcp"]
HEALTHS = st.builds(Health, st.none() | st.floats(0, 0.03), st.integers(0, 3 * CROWD), st.booleans())


def modelled(priority: str, type_: str, size: int, local: bool) -> tuple[list[str], float | None]:
    """The order and the latency bound, rule by rule as spec/module-runtime.md §1.14 tells them."""
    if priority == "critical":
        return ["ipc", "tcp"], 0.010
    if priority == "high" and type_ == "real_time":
        return ["ipc", "tcp"], 0.005
    if priority == "bulk":
        return ["tcp", "ipc"], None
    if type_ == "file_transfer":
        return ["tcp", "ipc"], None
    if local and size < 1024:
        return ["ipc", "tcp"], None
    return ["tcp", "ipc"], None


@given(PRIORITIES, TYPES, SIZES, st.booleans())
def test_each_message_has_the_order_and_the_bound_of_the_reference(
    priority: MessagePriority, type_: MessageType, size: int, local: bool
) -> None:
    rule = rule_of(Traits(priority, type_, size), local)
    assert (list(rule.order), rule.within) == modelled(priority, type_, size, local)


def test_no_rule_of_the_table_is_for_nothing() -> None:
    used = {
        rule_of(Traits(priority, type_, size), local).name
        for priority in get_args(MessagePriority)
        for type_ in get_args(MessageType)
        for size in (0, 1024)
        for local in (False, True)
    }
    assert used == {rule.name for rule in TABLE}


@given(PRIORITIES, TYPES, SIZES, st.booleans(), st.permutations(KINDS), HEALTHS, HEALTHS)
def test_every_channel_is_ranked_once_and_put_back_only_for_a_reason(
    priority: MessagePriority,
    type_: MessageType,
    size: int,
    local: bool,
    opened: list[ChannelKind],
    ipc: Health,
    tcp: Health,
) -> None:
    health: dict[ChannelKind, Health] = {"ipc": ipc, "tcp": tcp}
    rule = rule_of(Traits(priority, type_, size), local)
    order = Preferences().order(rule, opened)
    assert order == list(rule.order)
    ranking = rank(rule, order, health)
    assert sorted(ranking.well + ranking.resting) == KINDS
    assert all(health[kind].rests for kind in ranking.resting)
    assert not any(health[kind].rests for kind in ranking.well)
    if len(ranking.well) == 2 and list(ranking.well) != order:
        first, other = (health[kind] for kind in order)
        if rule.within is None:
            assert priority not in ("critical", "bulk")
            assert first.in_flight >= other.in_flight + CROWD
        else:
            assert (first.p95 or 0) > rule.within >= (other.p95 or 0)


@given(PRIORITIES, TYPES, st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_preferences_turn_only_what_a_rule_says_about_places(
    priority: MessagePriority, type_: MessageType, small: bool, local: bool, ipc_for_local: bool, tcp_for_remote: bool
) -> None:
    rule = rule_of(Traits(priority, type_, 0 if small else 5000), local)
    preferences = Preferences(prefer_ipc_for_local=ipc_for_local, prefer_tcp_for_remote=tcp_for_remote)
    order = preferences.order(rule, KINDS)
    if rule.is_local is None or (ipc_for_local if local else tcp_for_remote):
        assert order == list(rule.order)
    else:
        assert order == (["tcp", "ipc"] if local else ["ipc", "tcp"])
    assert preferences.order(rule, ["tcp"]) == ["tcp"]


@pytest.mark.parametrize(
    ("target", "local"),
    [
        ("notes", True),
        ("127.0.0.1:80", True),
        ("localhost:80", True),
        ("unix:///a:b", True),
        ("10.0.0.1:80", False),
        ("example.org:80", False),
    ],
)
def test_where_a_target_is(target: str, local: bool) -> None:
    assert is_local(target) is local


JSON = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.lists(st.integers())
NAMES = st.sampled_from(["priority", "type", "timeout", "retryable", "requires_ack", "other"])
VALUES = JSON | PRIORITIES | TYPES


@given(SIZES, st.dictionaries(NAMES, VALUES))
def test_properties_are_read_where_they_are_ours_and_left_alone_where_they_are_not(
    size: int, properties: dict[str, Any]
) -> None:
    traits = Traits.of(size, properties)
    priority, type_ = properties.get("priority"), properties.get("type")
    assert traits.priority == (priority if priority in get_args(MessagePriority) else "normal")
    assert traits.type == (type_ if type_ in get_args(MessageType) else "data")
    assert traits.retryable is (properties.get("retryable") is True)
    assert traits.size == size
    timeout = properties.get("timeout")
    assert traits.timeout == (timeout / 1000 if type(timeout) is int and timeout > 0 else None)


@given(SIZES)
def test_without_properties_the_type_follows_from_the_size(size: int) -> None:
    expected: MessageType = "file_transfer" if size > 1024 * 1024 else "control" if size < 100 else "data"
    assert Traits.of(size) == Traits("normal", expected, size)
