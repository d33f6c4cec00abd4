"""What the process on the bus is told to do."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BusTask:
    """``peers`` are multiaddresses that end in ``/p2p/<id>``. The identity is kept in ``key_file``, made when it is not
    there; without one it is new each time."""

    topic: str
    pow_limit: int
    peers: tuple[str, ...]
    key_file: str | None = None

    def to_line(self) -> bytes:
        members = {"topic": self.topic, "pow_limit": hex(self.pow_limit), "peers": self.peers, "key": self.key_file}
        return json.dumps(members).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> BusTask:
        given = json.loads(line)
        return cls(given["topic"], int(given["pow_limit"], 16), tuple(given["peers"]), given["key"])
