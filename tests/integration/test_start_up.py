"""What a command loads before it begins to work: most of the time it takes to start."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.commands import PATIENCE, clean_environment

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = ("aiohttp", "alembic", "coincurve", "cryptography", "mako", "pydantic", "sqlalchemy")
UNUSED = ("alembic", "mako", "sqlalchemy.dialects.postgresql")  # mysql: the tables have options of it
_COMMAND = """
import json, sys, sdk_launcher
sys.argv[0] = "sdk"
try:
    sdk_launcher.main()
except SystemExit as ended:
    code = ended.code or 0
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""
_WALLET = """
import asyncio, json, sys
from sdk.wallet.setup import open_wallet

async def main():
    async with open_wallet(root_key="01" * 32, database=sys.argv[1], chain="mock") as wallet:
        return await wallet.balance()

print(json.dumps([asyncio.run(main()), sorted(sys.modules)]), file=sys.stderr)
"""


def loaded(program: str, *arguments: str) -> tuple[int, set[str]]:
    """What the program came to, and the modules it had loaded by then."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    outcome, modules = json.loads(done.stderr.splitlines()[-1])
    return outcome, set(modules)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["version"],
        ["plugins", "--no-load"],
        ["db", "upgrade", "--help"],
        ["wallet", "pay", "--help"],
        ["monitor", "run", "--help"],
        ["chaintracks", "serve", "--help"],
        ["devnet", "up", "--help"],
        ["runtime", "--help"],
    ],
    ids=" ".join,
)
def test_help_and_lists_load_nothing_heavy(arguments: list[str]) -> None:
    code, modules = loaded(_COMMAND, *arguments)
    assert code == 0
    assert modules.intersection(HEAVY) == set()


def test_tables_that_are_current_need_no_alembic_and_no_other_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/wallet.sqlite"
    _, first = loaded(_WALLET, url)
    assert "alembic" in first
    _, again = loaded(_WALLET, url)
    assert again.intersection(UNUSED) == set()
    code, status = loaded(_COMMAND, "db", "status", "--component", "wallet", "--url", url)
    assert code == 0
    assert status.intersection(UNUSED) == set()
