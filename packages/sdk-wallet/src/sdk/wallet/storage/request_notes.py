"""The two JSON texts a request row carries: its history and whom to notify (wallet-stack §2.1)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sdk.service.database.types import to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

MAX_NOTES = 40
"""A history keeps its first note and the newest; without a bound it outgrows the transaction it is about."""
MAX_TEXT = 300


def with_note(history: str, note: Mapping[str, Any], now: datetime) -> str:
    """``history`` with one note more; a note that only repeats the last one replaces it and counts."""
    notes = notes_of(history)
    fresh = {"when": to_text(now)} | {key: _cut(value) for key, value in note.items()}
    if notes and _same(notes[-1], fresh):
        fresh["times"] = int(notes[-1].get("times", 1)) + 1
        notes.pop()
    notes.append(fresh)
    if len(notes) > MAX_NOTES:
        notes[1 : len(notes) - MAX_NOTES + 1] = []
    return json.dumps({"notes": notes}, separators=(",", ":"))


def notes_of(history: str) -> list[dict[str, Any]]:
    """The notes, oldest first; what does not have the reference's form (an adopted row) counts as none."""
    try:
        notes = json.loads(history).get("notes", [])
    except (ValueError, AttributeError):
        return []
    return [note for note in notes if isinstance(note, dict)] if isinstance(notes, list) else []


def notify_text(transaction_ids: Iterable[int]) -> str:
    return json.dumps({"transactionIds": sorted(set(transaction_ids))}, separators=(",", ":"))


def with_notify(notify: str, transaction_ids: Iterable[int]) -> str:
    try:
        known = json.loads(notify).get("transactionIds", [])
    except (ValueError, AttributeError):
        known = []
    return notify_text([*(each for each in known if isinstance(each, int)), *transaction_ids])


def _cut(value: Any) -> Any:
    return value[:MAX_TEXT] if isinstance(value, str) else value


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    ignored = ("when", "times")
    return {k: v for k, v in one.items() if k not in ignored} == {k: v for k, v in other.items() if k not in ignored}
