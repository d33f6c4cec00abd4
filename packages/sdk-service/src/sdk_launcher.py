"""Starts the ``sdk`` command. It stands outside the namespace ``sdk`` to be able to say what is wrong with it."""

from __future__ import annotations

import signal
import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    heeds = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if heeds:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C while modules load ends it without a traceback
    complaint = diagnose()
    if complaint is not None:
        print(f"sdk: {complaint}", file=sys.stderr)  # noqa: T201 - click may not be there
        raise SystemExit(1)
    from sdk.service.cli import main as run

    if heeds:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


def diagnose() -> str | None:
    """None if ``sdk`` is the implicit namespace it should be; otherwise what is wrong and what to do, in one line."""
    spec = find_spec("sdk")
    if spec is None:
        return "no sdk component is installed here: install sdk-core and what you need of the others"
    if spec.origin is None:
        return None
    stranger = Path(spec.origin).resolve()
    owner = _owner(stranger)
    remedy = f"It belongs to {owner}: uninstall that" if owner else "No installed distribution owns it: remove it"
    return f"{stranger} hides the sdk components, which share the namespace 'sdk' and have no such file. {remedy}."


def _owner(file: Path) -> str | None:
    from importlib.metadata import distributions  # seldom needed, and slow to load

    for distribution in distributions():
        for path in distribution.files or ():
            if path.name == file.name and Path(str(distribution.locate_file(path))).resolve() == file:
                return f"{distribution.name} {distribution.version}"
    return None
