"""Messages of a module that are nearly right: each is answered or refused, and none breaks the orchestrator."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from support.hostile_messages import bombard

if TYPE_CHECKING:
    from pathlib import Path


async def test_no_message_breaks_the_orchestrator_or_a_service(tmp_path: Path) -> None:
    seed = int(os.environ.get("SDK_CHAOS_SEED") or int.from_bytes(os.urandom(4), "little"))
    counts = await bombard(tmp_path, seed, rounds=2_000)
    assert counts["received"] > 500
    assert counts["refused"] > 200
    assert counts["answers"] > 200
