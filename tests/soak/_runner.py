"""Runs the modules of this folder for hours; see scripts/soak.

A module has ``run(deadline, say)``: it works until ``deadline`` (monotonic clock), tells its progress through ``say``,
and raises when something is wrong. Each gets an equal share of the time.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).parent


def names() -> list[str]:
    return sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))


def soak(name: str, seconds: float) -> bool:
    """Whether it ended well."""
    print(f"=== {name}: {seconds / 60:.0f} minutes", flush=True)
    try:
        importlib.import_module(name).run(
            time.monotonic() + seconds, lambda text: print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)
        )
    except Exception:  # noqa: BLE001 - whatever it is, it is reported, and the next one runs
        traceback.print_exc()
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="./scripts/soak", description="Run for hours what CI only samples.")
    parser.add_argument("name", nargs="*", help=f"one or more of: {', '.join(names())} (all when none is named)")
    parser.add_argument("--hours", type=float, default=1.0, help="for all of them together (default 1)")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.name) - set(names()))
    if unknown:
        parser.error(f"no such run: {', '.join(unknown)} (there are {', '.join(names())})")
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    chosen = arguments.name or names()
    failed = [name for name in chosen if not soak(name, arguments.hours * 3600 / len(chosen))]
    print(f"failed: {', '.join(failed)}" if failed else "nothing failed")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
