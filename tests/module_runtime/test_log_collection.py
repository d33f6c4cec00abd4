"""Output of modules in bounded lines."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.module_runtime.orchestrator.logs import BURST, LINES_A_SECOND, LONGEST_LINE, LogCollector
from sdk.module_runtime.secrets.redaction import SecretRegistry
from sdk.module_runtime.secrets.redaction.forms import forms_of
from sdk.service.logging import REDACTED

_WORDS = st.text(st.characters(codec="ascii", categories=["Ll", "Nd"]), max_size=30)


def collected(*pieces: bytes) -> tuple[list[tuple[str, str]], LogCollector]:
    lines: list[tuple[str, str]] = []
    collector = LogCollector(lambda level, line: lines.append((level, line)), lambda: 0.0, SecretRegistry())
    for piece in pieces:
        collector.feed(piece)
    collector.finish()
    return lines, collector


@given(st.lists(_WORDS, max_size=20), st.lists(st.integers(1, 9), min_size=1, max_size=50))
def test_lines_do_not_depend_on_how_the_stream_was_cut(words: list[str], cuts: list[int]) -> None:
    stream = "\n".join(words).encode()
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(stream[at : at + cut])
        at += cut
    lines, _ = collected(*pieces, stream[at:])
    assert lines == [("info", word) for word in words if word]


def test_an_endless_line_is_cut_and_the_next_line_is_whole() -> None:
    lines, collector = collected(*[b"x" * 60_000] * 20, b"\nnext\n")
    assert collector.truncated == 1
    assert len(lines) == 2
    assert lines[0][1].startswith("xxx")
    assert len(lines[0][1]) <= LONGEST_LINE
    assert lines[1] == ("info", "next")


def test_a_flood_is_dropped_and_counted() -> None:
    now = 0.0
    lines: list[str] = []
    collector = LogCollector(lambda _level, line: lines.append(line), lambda: now, SecretRegistry())
    collector.feed(b"flood\n" * 10_000)
    assert len(lines) == BURST
    assert collector.dropped == 10_000 - BURST
    now = 1.0
    collector.feed(b"after\n" * 1_000)
    assert lines.count("after") == LINES_A_SECOND


def test_levels_are_read_and_garbage_and_secrets_do_no_harm() -> None:
    lines, _ = collected(
        b'{"level":"WARN","event":"x"}\n{"level":3}\n{"level":"error"\n\xff\xfe\x00\n',
        b'{"level":"fatal"}\nurl https://user:hunter2@host/\n',
    )
    assert [level for level, _ in lines] == ["warning", "info", "info", "info", "error", "info"]
    assert lines[3][1] == "\\xff\\xfe\x00"
    assert "hunter2" not in lines[5][1]


_SECRET = (st.text(min_size=4, max_size=40) | st.text("ab\n", min_size=4, max_size=12)).filter(forms_of)
_SECRETS = st.lists(_SECRET, min_size=1, max_size=4)


@given(_SECRETS, st.lists(st.integers(0, 5)), st.lists(st.integers(1, 15), min_size=1), st.data())
def test_no_line_shows_a_secret_however_the_module_wrote_it_and_the_stream_was_cut(
    secrets: list[str], order: list[int], cuts: list[int], data: st.DataObject
) -> None:
    registry = SecretRegistry()
    for secret in secrets:
        registry.register(secret)
    text = "".join(
        f" text {data.draw(st.sampled_from(sorted(form.text for form in forms_of(secrets[index % len(secrets)]))))}\n"
        for index in order
    )
    stream, lines, at = text.encode("utf-8", "surrogatepass"), [], 0
    collector = LogCollector(lambda _level, line: lines.append(line), lambda: 0.0, registry)
    for cut in cuts:
        collector.feed(stream[at : at + cut])
        at += cut
    collector.feed(stream[at:])
    collector.finish()
    parts = [part for line in lines for part in line.split(REDACTED)]
    assert [registry.redact(part) for part in parts] == parts


def test_a_secret_of_several_lines_is_hidden_whole_and_other_lines_come_at_once() -> None:
    registry = SecretRegistry()
    registry.register("-----BEGIN KEY-----\nMIIEvQIBADANBg\nshort=\n-----END KEY-----")
    lines: list[str] = []
    collector = LogCollector(lambda _level, line: lines.append(line), lambda: 0.0, registry)
    collector.feed(b"before\n")
    assert lines == ["before"]
    collector.feed(b"-----BEGIN KEY-----\nMIIEvQIBADANBg\nsh")
    collector.feed(b"ort=\n-----END KEY-----\nafter\n")
    assert lines == ["before", REDACTED, "after"]


@pytest.mark.parametrize("long", ["a secret word " * 1_160, " ".join(map(str, range(10_000, 12_700)))])
def test_a_secret_that_the_end_of_the_line_cuts_is_not_shown_in_part(long: str) -> None:
    registry = SecretRegistry()
    registry.register(long)
    registry.register("correct horse battery staple")
    lines: list[str] = []
    collector = LogCollector(lambda _level, line: lines.append(line), lambda: 0.0, registry)
    padding = "x" * (LONGEST_LINE - len(long) - 15)
    collector.feed(f"{long}{padding}correct horse battery staple\nnext\n".encode())
    assert lines[0].rstrip("x") == REDACTED
    assert lines[1:] == ["next"]
    assert collector.truncated == 1


def test_a_hostile_module_cannot_make_redaction_slow() -> None:
    """With its own secret, and output that almost is the beginning of it at every place."""
    registry = SecretRegistry()
    registry.register("a" * 16_000 + "b")
    collector = LogCollector(lambda _level, _line: None, lambda: 0.0, registry)
    collector.feed(b"warm up\n")
    begin = time.process_time()
    for _ in range(20):
        collector.feed(b"a" * 15_999 + b"c\n")
    assert time.process_time() - begin < 1.0
