"""What a test needs beyond this checkout, and what happens without it.

On a newcomer's machine such a test skips and says why; under ``SDK_REQUIRE_ALL=1`` (CI) it fails.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("SDK_CACHE", ROOT / ".cache"))
SERVICES = Path(os.environ.get("SDK_SERVICES", ROOT / ".services"))
REQUIRE_ALL = os.environ.get("SDK_REQUIRE_ALL") == "1"


def missing(what: str, remedy: str) -> NoReturn:
    """Skip, or fail where everything is required."""
    reason = f"{what} is not here: {remedy}"
    if REQUIRE_ALL:
        pytest.fail(f"SDK_REQUIRE_ALL=1, and {reason}", pytrace=False)
    pytest.skip(reason)


def vectors_root() -> Path:
    return Path(os.environ.get("SDK_VECTORS", ROOT.parent / "shared" / "vectors"))


def vectors(*parts: str) -> Path:
    """A file or folder of the public test vectors."""
    path = vectors_root().joinpath(*parts)
    if not path.exists():
        missing(f"the test vectors {'/'.join(parts)}", "set SDK_VECTORS to the folder that holds them")
    return path


def node_peers() -> Path:
    """The folder whose ``node_modules`` holds ``@bsv/sdk`` and ``@bsv/wallet-toolbox``."""
    path = CACHE / "peers" / "node"
    if not (path / "node_modules" / "@bsv" / "sdk").is_dir():
        missing("the npm peer @bsv/sdk", "run ./scripts/peers node")
    return path


def python_peer() -> Path:
    """The interpreter of the environment with ``bsv-sdk`` and ``bsv-wallet-toolbox``."""
    path = CACHE / "peers" / "python" / "bin" / "python"
    if not path.exists():
        missing("the PyPI peer bsv-sdk", "run ./scripts/peers python")
    return path


def rust_peer(name: str) -> Path:
    """The program ``counterpart`` or ``published`` (tests/peers/rust)."""
    path = CACHE / "peers" / "rust" / "bin" / name
    if not path.exists():
        missing("the Rust counterpart of the module runtime", "run ./scripts/peers rust")
    return path


def go_peer() -> Path:
    """The program that is a member of a Teranode message bus (tests/peers/go)."""
    path = CACHE / "peers" / "go" / "bin" / "bus-member"
    if not path.exists():
        missing("the Go member of a Teranode message bus", "run ./scripts/peers go")
    return path


def teranode_python() -> Path:
    """The interpreter of the environment with libp2p; ``packages`` must be lent to it."""
    path = CACHE / "peers" / "teranode" / "bin" / "python"
    if not path.exists():
        missing("the environment of the extra sdk-chaintracks[teranode]", "run ./scripts/peers teranode")
    return path


def server_url(name: str) -> str:
    """URL of a real server: ``postgresql``, ``mariadb``, ``redis``, ``memcached`` or ``nats``."""
    given = os.environ.get(f"SDK_{name.upper()}_URL")
    if given:
        return given
    written = SERVICES / f"{name}.url"
    if not written.exists():
        missing(f"a {name} server", f"run ./scripts/services start {name}")
    return written.read_text().strip()
