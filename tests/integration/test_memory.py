"""A wallet process with 10,000 outputs stays under 150 MB and flat (issue 2: after 10,000 actions).

``SDK_MEMORY_ACTIONS`` sets how many actions; a full run is ``SDK_MEMORY_ACTIONS=10000`` (a multiple of 20).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from sdk.devnet.server import DevnetServer
from support.commands import clean_environment
from support.requirements import ROOT

OUTPUTS = 10_000
ACTIONS = int(os.environ.get("SDK_MEMORY_ACTIONS", "300"))
LIMIT, GROWTH = 150.0, 5.0  # MB


@pytest.mark.timeout(3600)
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the resident size is read from /proc")
async def test_a_wallet_with_10_000_outputs_stays_small_and_flat(tmp_path: Path) -> None:
    async with DevnetServer() as server:
        environ = clean_environment(
            **server.urls.wallet_settings(),
            SDK_WALLET_DATABASE=f"sqlite:///{tmp_path / 'wallet.sqlite'}",
            SDK_MONITOR_POLL="0.2",
            SDK_MONITOR_SEND_MIN_AGE="0",
            SDK_MONITOR_INTERVALS='{"send-waiting": 0.5, "new-header": 0.5, "check-for-proofs": 1}',
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "support.memory_runner", server.urls.base, str(OUTPUTS), str(ACTIONS)),
            cwd=ROOT / "tests",
            env=environ,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    found = json.loads(out)
    samples: list[float] = found["samples"]
    assert found["outputs"] == OUTPUTS
    assert sum(found["states"].values()) == ACTIONS
    assert set(found["states"]) <= {"sending", "unproven", "completed"}
    assert found["peak"] < LIMIT, found
    half, quarter = len(samples) // 2, len(samples) // 4
    assert max(samples[-quarter:]) - max(samples[quarter:half]) < GROWTH, found
