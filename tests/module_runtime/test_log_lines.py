"""Lines of modules on a terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.module_runtime.commands.log_lines import readable

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_a_structured_line_shows_its_fields_and_no_json_in_json() -> None:
    line = {
        "event": "payment_sent",
        "amount": 21,
        "to": "alice",
        "note": 'two "words"',
        "tags": ["a", {"b": None}],
        "level": "info",
        "logger": "shop.payments",
        "timestamp": "2026-11-29T00:00:00Z",
    }
    assert readable(json.dumps(line)) == (
        'payment_sent amount=21 to=alice note="two \\"words\\"" tags=["a", {"b": null}] (shop.payments)'
    )


def test_a_traceback_stands_on_lines_of_its_own() -> None:
    shown = readable(json.dumps({"event": "failed", "exception": "Traceback:\n  here\nValueError: x", "n": 1}))
    assert shown == "failed n=1\n    Traceback:\n      here\n    ValueError: x"


@pytest.mark.parametrize("name", ["message", "msg"])
def test_other_libraries_call_the_event_otherwise(name: str) -> None:
    assert readable(json.dumps({"level": "INFO", name: "ready", "port": 1})) == "ready port=1"


@pytest.mark.parametrize("line", ["plain words", "{not json", "{}", "[1, 2]", '"text"', "{" * 5000])
def test_what_is_no_structured_line_stays_as_it_is(line: str) -> None:
    assert readable(line) == line


@given(st.text() | st.dictionaries(st.text(), _JSON, max_size=5).map(json.dumps))
def test_nothing_that_a_module_writes_moves_the_cursor(line: str) -> None:
    lines = readable(line).split("\n")
    assert all(each.startswith("    ") for each in lines[1:])
    assert not any(ord(character) < 32 and character != "\t" for each in lines for character in each)
    assert not set("\x1b\x7f\x85\x9b\u2028\u202e") & set("".join(lines))
