"""``sdk devnet``: a real process, asked by other real processes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from click.testing import CliRunner

from sdk.core.beef import Beef
from sdk.devnet.cli import command
from sdk.wallet.keys.address import Address

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SDK = [sys.executable, "-c", "from sdk.service.cli import main; main()", "devnet"]
LOCK = "76a914" + "11" * 20 + "88ac"


@contextmanager
def served(*options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Its address and process; killed at the end if it still runs."""
    process = subprocess.Popen([*SDK, "serve", "--port", "0", *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        yield next(word for word in words if word.startswith("http")), process
    finally:
        process.kill()
        process.communicate()


def sdk(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([*SDK, *arguments], capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_serve_mine_reorg_faucet_status_and_stop() -> None:
    with served() as (url, process):
        assert sdk("mine", "3", "--url", url)[1].startswith("height 114  tip ")
        assert sdk("reorg", "2", "--url", url)[1].startswith("height 115  tip ")
        code, said = sdk("faucet", LOCK, "5000", "--url", url)
        outpoint, tx = said.split()
        assert code == 0
        assert Beef.from_atomic(bytes.fromhex(tx)).atomic_txid == outpoint.split(".")[0]
        status = json.loads(sdk("status", "--url", url)[1])
        assert (status["height"], status["mempool"]["transactions"]) == (115, 1)
        assert sdk("faucet", str(Address("test", bytes(20))), "7000", "--url", url)[0] == 0
        for wrong, words in (("zz", "address"), ("abc", "hex")):
            code, said = sdk("faucet", wrong, "1", "--url", url)
            assert code != 0
            assert words in said
            assert "Traceback" not in said
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    code, said = sdk("status", "--url", url)
    assert code != 0
    assert "cannot be reached" in said


def test_a_killed_process_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = str(tmp_path / "chain")
    with served("--directory", folder) as (url, process):
        sdk("faucet", LOCK, "5000", "--url", url)
        sdk("mine", "--url", url)
        sdk("faucet", LOCK, "6000", "--url", url)
        before = json.loads(sdk("status", "--url", url)[1])
        process.kill()
        process.wait(20)
    with served("--directory", folder) as (url, _):
        assert json.loads(sdk("status", "--url", url)[1]) == before


def test_what_cannot_work_is_said_in_one_line(tmp_path: Path) -> None:
    with served() as (url, _):
        code, said = sdk("serve", "--port", url.rsplit(":", 1)[1])
    assert code != 0
    assert "is taken" in said
    assert "Traceback" not in said
    (tmp_path / "file").write_text("here")
    for options in (("--mine-every", "0"), ("--port", "99999"), ("--directory", str(tmp_path / "file"))):
        code, said = sdk("serve", *options)
        assert code != 0
        assert "Traceback" not in said
        assert said.strip()


def test_help_names_the_commands() -> None:
    said = CliRunner().invoke(command, ["--help"]).output
    for each in ("serve", "mine", "reorg", "faucet", "status"):
        assert each in said
