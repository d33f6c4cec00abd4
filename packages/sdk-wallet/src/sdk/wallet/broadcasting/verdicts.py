"""From what the providers said of one transaction to what may be believed, before it is confirmed (R10-R14). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sdk.wallet.services.ports import Classification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.wallet.services.ports import PostResult


class Finding(StrEnum):
    ACCEPTED = "accepted"
    """A provider holds it, and none says otherwise."""
    DISPUTED = "disputed"
    """One accepted it, another refused it: ask the network."""
    DOUBLE_SPEND = "double_spend"
    """Reported, to be confirmed (R11)."""
    INVALID = "invalid"
    """Judged, to be confirmed: nobody else may know it."""
    CONDITION = "condition"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Summary:
    """``provider``, ``word`` and ``detail`` are of the answer that decided; ``retry_after`` in seconds is the longest
    wait any provider asked for."""

    finding: Finding
    provider: str = ""
    word: str = ""
    detail: str = ""
    competitors: tuple[str, ...] = ()
    propagated: bool = False
    already_known: bool = False
    retry_after: float | None = None

    @property
    def reason(self) -> str:
        said = " ".join(part for part in (self.word, self.detail) if part)
        return f"{self.provider}: {said}" if self.provider else said or "no service answered"


def summarise(txid: str, results: Sequence[PostResult]) -> Summary:
    """What ``results`` say about ``txid``; answers about other transactions count for nothing (R16)."""
    mine = [each for each in results if each.txid == txid]
    waits = [each.retry_after for each in mine if each.retry_after is not None]
    finding, decisive = _decide(mine)
    rivals = dict.fromkeys(rival for each in mine for rival in each.competing_txids if rival != txid)
    return Summary(
        finding,
        provider="" if decisive is None else decisive.provider,
        word="" if decisive is None else decisive.raw_status,
        detail="" if decisive is None else decisive.detail,
        competitors=tuple(rivals),
        propagated=any(each.accepted and each.propagated for each in mine),
        already_known=decisive is not None and decisive.classification is Classification.ALREADY_KNOWN,
        retry_after=max(waits, default=None),
    )


def _decide(mine: Sequence[PostResult]) -> tuple[Finding, PostResult | None]:
    accepted = next((each for each in mine if each.accepted), None)
    double_spend = _first(mine, Classification.DOUBLE_SPEND)
    invalid = _first(mine, Classification.INVALID)
    if accepted is not None:
        refused = double_spend or invalid
        return (Finding.ACCEPTED, accepted) if refused is None else (Finding.DISPUTED, refused)
    if double_spend is not None:
        return Finding.DOUBLE_SPEND, double_spend
    if invalid is not None:
        return Finding.INVALID, invalid
    orphan = _first(mine, Classification.ORPHAN)
    if orphan is not None:
        return Finding.CONDITION, orphan
    return Finding.NOTHING, mine[-1] if mine else None


def _first(mine: Sequence[PostResult], kind: Classification) -> PostResult | None:
    return next((each for each in mine if each.classification is kind), None)
