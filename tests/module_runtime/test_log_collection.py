"""Output of modules in bounded lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sdk.module_runtime.orchestrator.logs import BURST, LINES_A_SECOND, LONGEST_LINE, LogCollector

_WORDS = st.text(st.characters(codec="ascii", categories=["Ll", "Nd"]), max_size=30)


def collected(*pieces: bytes) -> tuple[list[tuple[str, str]], LogCollector]:
    lines: list[tuple[str, str]] = []
    collector = LogCollector(lambda level, line: lines.append((level, line)), lambda: 0.0)
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
    collector = LogCollector(lambda _level, line: lines.append(line), lambda: now)
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
