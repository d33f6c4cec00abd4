"""Other implementations as second opinions: a process that answers one JSON request a line (tests/peers)."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from typing import TYPE_CHECKING, Any, Self

from support.requirements import ROOT, node_peers, python_peer, rust_peer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DRIVERS = ROOT / "tests" / "peers"


class PeerError(Exception):
    """The peer refused the request."""


class PeerDied(Exception):
    """The peer's process ended while it worked on the request."""


class Peer:
    """One process, begun anew after it died. ``call`` is synchronous; closed by ``with``."""

    def __init__(self, command: Sequence[str | Path], **environment: str) -> None:
        self._command = [str(each) for each in command]
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[str] | None = None

    @classmethod
    def node(cls, driver: str) -> Self:
        """``tests/peers/node/<driver>.mjs`` with ``@bsv/sdk`` within reach."""
        path = DRIVERS / "node" / f"{driver}.mjs"
        return cls(["node", "--max-old-space-size=512", path], SDK_PEER=str(node_peers()))

    @classmethod
    def python(cls, driver: str) -> Self:
        """``tests/peers/python/<driver>.py`` under the interpreter that has ``bsv-sdk``."""
        return cls([python_peer(), DRIVERS / "python" / f"{driver}.py"])

    @classmethod
    def rust(cls, program: str, mode: str) -> Self:
        """``tests/peers/rust/<program>`` in a mode that answers requests."""
        return cls([rust_peer(program), mode])

    def call(self, op: str, *, patience: float = 60, **request: Any) -> Any:
        """The result. Raises ``PeerError`` with the peer's words, ``PeerDied`` if its process ended over it or took
        longer than ``patience`` seconds and was ended.
        """
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(patience, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps({"op": op, **request}) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
            timer.join()
        if not line:
            self.close()
            raise PeerDied(f"{op}: {request}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer["result"]

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=self._environment,
            )
        return self._process

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(BrokenPipeError):
                process.communicate(timeout=30)
            process.wait(30)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
