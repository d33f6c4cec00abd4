"""How much memory this process holds, in MB (Linux)."""

from __future__ import annotations

from pathlib import Path


def resident() -> float:
    return _field("VmRSS")


def peak() -> float:
    """The most it ever held. Not ``ru_maxrss``, which a child inherits from the process that forked it."""
    return _field("VmHWM")


def _field(name: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"/proc/self/status has no {name}")
