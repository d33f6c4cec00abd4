"""Finds every form of every registered secret in one pass over a text (Aho-Corasick)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import ahocorasick  # type: ignore[import-not-found]  # a C extension without stubs

from sdk.module_runtime.secrets.redaction.forms import BASE64_CHARACTERS, Form
from sdk.service.logging import REDACTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Span = tuple[int, int]
"""Begin and end (exclusive), in characters."""


PIECE: Final = 64
"""Characters."""
LEAST_BEGINNING: Final = 4
"""Characters of a piece from within a long form, fewer of which are no reason to hold back a text: the end of many a
line is the beginning of some piece of a long key. What follows on a piece that was found is held back in any case."""


class Matcher:
    """Immutable, so that threads may share it. ``longest`` is the length of the longest piece; 0 when there is none.

    A form longer than ``PIECE`` is looked for in pieces that overlap. So whatever the text and the secrets are, the
    automaton spends at most that many steps on a character, and at most that much of a stream is held back.
    """

    __slots__ = ("_automaton", "_beginnings", "longest")

    def __init__(self, forms: Iterable[Form]) -> None:
        merged: dict[str, Form] = {}
        self._automaton: Any = ahocorasick.Automaton()
        self._beginnings: Any = ahocorasick.Automaton()
        for form in forms:
            self._beginnings.add_word(form.text[:PIECE], None)
            for piece in _pieces(form):
                same = merged.get(piece.text, piece)
                merged[piece.text] = Form(piece.text, piece.left or same.left, piece.right or same.right)
        for text, form in merged.items():
            self._automaton.add_word(text, (len(text), form.left, form.right))
        self.longest = max(map(len, merged), default=0)
        if merged:
            self._automaton.make_automaton()

    def spans(self, text: str) -> list[Span]:
        """Where forms stand, in order; those that overlap are one span."""
        if not self.longest:
            return []
        return list(merge_spans(sorted(self._matches(text))))

    def _matches(self, text: str) -> Iterator[Span]:
        for last, (length, left, right) in self._automaton.iter(text):
            end = last + 1
            begin = end - length
            if left and begin and text[begin - 1] in BASE64_CHARACTERS:
                begin -= 1
            if right and end < len(text) and text[end] in BASE64_CHARACTERS:
                end += 1
            yield begin, end

    def undecided_from(self, text: str, covered: int = 0) -> int:
        """From where on a longer text could hold a form that ``spans(text)`` does not show in full; at most ``len``.

        The first ``covered`` characters belong to a span that began before the text.
        """
        size = len(text)
        if not self.longest:
            return size
        undecided = next(
            (at for at in range(max(0, size - self.longest), size) if self._may_begin(text, at, covered)), size
        )
        if undecided and text[undecided - 1] in BASE64_CHARACTERS:
            undecided -= 1  # it may hold bits of what begins after it
        return undecided

    def _may_begin(self, text: str, at: int, covered: int) -> bool:
        """Whether ``text`` from there to its end is the beginning of a form, or of what follows on a piece of one."""
        rest = text[at:]
        if not self._automaton.match(rest):
            return False
        if at < covered or len(rest) >= LEAST_BEGINNING or self._beginnings.match(rest):
            return True
        near = max(0, at - self.longest)
        return any(begin <= at - near < end for begin, end in self._matches(text[near:]))


class Matchers:
    """Several as one, for secrets that come one by one: only the layer a new one is put into is made anew."""

    __slots__ = ("_layers", "longest")

    def __init__(self, layers: Iterable[Matcher]) -> None:
        self._layers = tuple(layer for layer in layers if layer.longest)
        self.longest = max((layer.longest for layer in self._layers), default=0)

    def redact(self, text: str) -> str:
        """``text`` with each run of overlapping forms replaced: of ``abcd`` and ``abcdef`` no tail stays behind."""
        spans = self.spans(text)
        return replace_spans(text, spans) if spans else text

    def spans(self, text: str) -> list[Span]:
        """Where forms stand, in order; those that overlap are one span."""
        found = [span for layer in self._layers for span in layer.spans(text)]
        return list(merge_spans(sorted(found))) if len(self._layers) > 1 else found

    def undecided_from(self, text: str, covered: int = 0) -> int:
        """As for one of them."""
        return min((layer.undecided_from(text, covered) for layer in self._layers), default=len(text))


def _pieces(form: Form) -> Iterator[Form]:
    text = form.text
    if len(text) <= PIECE:
        yield form
        return
    for begin in range(0, len(text) - 1, PIECE - 1):
        at = min(begin, len(text) - PIECE)
        yield Form(text[at : at + PIECE], form.left and not at, form.right and at + PIECE == len(text))


def merge_spans(ordered: Iterable[Span]) -> Iterator[Span]:
    begin = end = -1
    for next_begin, next_end in ordered:
        if next_begin < end:
            end = max(end, next_end)
            continue
        if end > 0:
            yield begin, end
        begin, end = next_begin, next_end
    if end > 0:
        yield begin, end


def replace_spans(text: str, spans: Iterable[Span]) -> str:
    parts: list[str] = []
    at = 0
    for begin, end in spans:
        parts += (text[at:begin], REDACTED)
        at = end
    parts.append(text[at:])
    return "".join(parts)
