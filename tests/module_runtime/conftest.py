"""For all tests of the module runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sdk.module_runtime.secrets.redaction import SECRETS

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def secrets_of_this_test_are_not_hidden_in_the_next() -> Iterator[None]:
    """A process keeps hiding a value for an hour; what one test made up, another may want to read in a log."""
    yield
    SECRETS.matcher()  # counts the holders that are gone
    with SECRETS._lock:
        for entry in SECRETS._entries.values():
            if not entry.holders and not entry.pinned:
                entry.forget_at = SECRETS._next_forget = float("-inf")
