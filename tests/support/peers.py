"""Other implementations as second opinions: a process that answers one JSON request a line (tests/peers)."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any, Self

from support.requirements import ROOT, node_peers, python_peer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DRIVERS = ROOT / "tests" / "peers"


class PeerError(Exception):
    """The peer refused the request."""


class Peer:
    """One process. ``call`` is synchronous; closed by ``with``."""

    def __init__(self, command: Sequence[str | Path], **environment: str) -> None:
        self._process = subprocess.Popen(
            [str(each) for each in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **environment},
        )

    @classmethod
    def node(cls, driver: str) -> Self:
        """``tests/peers/node/<driver>.mjs`` with ``@bsv/sdk`` within reach."""
        return cls(["node", DRIVERS / "node" / f"{driver}.mjs"], SDK_PEER=str(node_peers()))

    @classmethod
    def python(cls, driver: str) -> Self:
        """``tests/peers/python/<driver>.py`` under the interpreter that has ``bsv-sdk``."""
        return cls([python_peer(), DRIVERS / "python" / f"{driver}.py"])

    def call(self, op: str, **request: Any) -> Any:
        """The result. Raises ``PeerError`` with the peer's words."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"op": op, **request}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the peer's process ended over {op} {request}"
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
