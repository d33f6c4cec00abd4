"""WebSockets of another implementation (npm's ws) at both ends of our gateway."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from support.gateway_rig import gateway
from support.peers import Peer

SCRIPTED = Path(__file__).parents[1] / "module_runtime" / "orchestrator" / "programs" / "scripted.py"


@pytest.mark.parametrize("by", ["client", "server"])
async def test_node_talks_to_node_through_the_gateway(tmp_path: Path, by: str) -> None:
    with Peer.node("websocket") as server, Peer.node("websocket") as client:
        port = await asyncio.to_thread(server.call, "serve")
        endpoint = {"path": "/ws/{rest:.*}", "methods": ["GET"]}
        steps = [{"send": {"op": "announce", "listen": f"127.0.0.1:{port}", "endpoints": [endpoint]}}]
        module = {
            "kind": "module",
            "command": [sys.executable, str(SCRIPTED), json.dumps(steps), str(tmp_path / "record")],
        }
        asked: dict[str, Any] = {
            "protocols": ["first.v1", "second.v1"],
            "sizes": [0, 1, 125, 126, 65_535, 65_536, 1_000_000],
            "close": {"by": by, "code": 4001, "reason": "enough"},
        }
        async with gateway(module) as rig:
            told = await asyncio.to_thread(client.call, "talk", url=f"ws://127.0.0.1:{rig.port}/ws/x", **asked)
            heard = await asyncio.to_thread(server.call, "heard")
    assert told == {
        "same": True,
        "pongs": ["from node"],
        "code": 4001,
        "reason": "enough",
        "protocol": "second.v1",
        "extensions": "",
    }
    assert heard == ["ping from node", "close 4001 enough"]
