"""Actions that wait for signAction. Memory is a shortcut only: storage can give each of them back (R78)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdk.core.wallet import ValidCreateActionArgs
    from sdk.wallet.actions.drafting import Draft

MAX_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Pending:
    args: ValidCreateActionArgs
    draft: Draft


class PendingActions:
    """The latest drafts, by reference."""

    __slots__ = ("_drafts",)

    def __init__(self) -> None:
        self._drafts: OrderedDict[str, Pending] = OrderedDict()

    def keep(self, pending: Pending) -> None:
        self._drafts[pending.draft.reference] = pending
        if len(self._drafts) > MAX_REMEMBERED:
            self._drafts.popitem(last=False)

    def find(self, reference: str) -> Pending | None:
        return self._drafts.get(reference)

    def drop(self, reference: str) -> None:
        self._drafts.pop(reference, None)
