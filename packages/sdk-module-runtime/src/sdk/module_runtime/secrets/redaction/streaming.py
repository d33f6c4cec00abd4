"""Redacts text that arrives in chunks, wherever they are cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.module_runtime.secrets.redaction.matcher import merge_spans
from sdk.module_runtime.secrets.redaction.registry import SECRETS
from sdk.service.logging import REDACTED

if TYPE_CHECKING:
    from sdk.module_runtime.secrets.redaction.registry import SecretRegistry


class StreamRedactor:
    """What ``feed`` and ``finish`` answer together is what ``SecretRegistry.redact`` answers for the whole text.

    Held back is only what may be the beginning of a secret, so a line is out as soon as its end is in.
    """

    def __init__(self, registry: SecretRegistry = SECRETS) -> None:
        self._registry = registry
        self._held = ""
        self._covered = 0  # characters of ``_held`` inside a span whose marker is out already

    def __repr__(self) -> str:
        return f"<StreamRedactor holding {len(self._held)} characters>"

    def feed(self, chunk: str) -> str:
        """The next text that is safe to show; may be empty."""
        return self._take(self._held + chunk, final=False)

    def finish(self) -> str:
        """The rest, when no more comes. The redactor may be used for another text afterwards."""
        return self._take(self._held, final=True)

    def _take(self, text: str, *, final: bool) -> str:
        matcher = self._registry.matcher()
        cut = len(text) if final else matcher.undecided_from(text, self._covered)
        shown: list[str] = []
        at = 0
        covered = self._covered
        self._covered = 0
        before = [(0, covered)] if covered else []
        for begin, end in merge_spans([*before, *matcher.spans(text)]):
            goes_on = begin == 0 and covered > 0
            if begin >= cut and not goes_on:
                break
            shown.append(text[at:begin])
            if not goes_on:
                shown.append(REDACTED)
            at = min(end, cut)
            self._covered = max(0, end - cut)
        shown.append(text[at:cut])
        self._held = text[cut:]
        return "".join(shown)
