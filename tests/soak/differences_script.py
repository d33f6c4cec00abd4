"""Random script programs before us, @bsv/sdk and bsv-sdk, a new seed each round (docs/differences.md)."""

from __future__ import annotations

import os
import time
from random import Random
from typing import TYPE_CHECKING

from sdk.core.errors import SdkError
from sdk.core.script import Script, push, push_number
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.wallet.script import CONSENSUS, verify_script
from sdk.wallet.script.limits import CONSENSUS_LIMITS
from support.peers import Peer, PeerDied, PeerError

if TYPE_CHECKING:
    from collections.abc import Callable

ROUND = 500
START = Script(b"\x51\x52\x53\x02\x05\x07\x54\x02ab")
OPCODES = [bytes((code,)) for code in (*range(0x4F, 0x60), 0x61, 0x63, 0x64, 0x67, 0x68, 0x69, *range(0x6B, 0xAB))]
NUMBERS = (0, 1, 2, 3, -1, 5, 8, 16, 17, 127, 128, 255, -128, 300, -300)
SHIFTS = (b"\x98", b"\x99")


def program(random: Random) -> bytes:
    parts = [part(random) for _ in range(random.randrange(1, 12))]
    return b"".join(parts) + random.choice((b"", b"", b"\x51", b"\x74\x51\xa2", b"\x82\x00\xa2"))


def part(random: Random) -> bytes:
    kind = random.random()
    if kind < 0.3:
        return push_number(random.choice(NUMBERS))
    return push(random.randbytes(random.randrange(3))) if kind < 0.45 else random.choice(OPCODES)


def run(deadline: float, say: Callable[[str], None]) -> None:
    """Until ``deadline`` (monotonic clock); raises ``AssertionError`` with the script of an unexplained difference."""
    tried = passed = explained = died = 0
    with Peer.node("script_spend") as node, Peer.python("keys_wallet") as python:
        while time.monotonic() < deadline:
            random = Random(os.urandom(8))
            for _ in range(ROUND):
                script = program(random)
                ours = verdict(script)
                theirs = [peer_verdict(peer, script) for peer in (node, python)]
                tried, passed = tried + 1, passed + ours
                if None in theirs:
                    died += 1
                elif theirs != [ours, ours]:
                    assert (ours, theirs, shifts(script)) == (True, [False, True], True), script.hex()
                    explained += 1
            say(f"{tried:,} programs, {passed:,} end well, {explained} shift by 2^31 bits and more, {died} end a peer")


def shifts(script: bytes) -> bool:
    """Whether the difference may be that of long shifts, which @bsv/sdk refuses."""
    return any(code in script for code in SHIFTS)


def spending() -> Transaction:
    return Transaction(2, [TransactionInput(OutPoint("11" * 32, 0), START)], [TransactionOutput(1, Script(b"\x51"))])


def verdict(script: bytes) -> bool:
    try:
        verify_script(
            START,
            Script(script),
            transaction=spending(),
            input_index=0,
            satoshis=1_000,
            flags=CONSENSUS,
            limits=CONSENSUS_LIMITS,
        )
    except SdkError:
        return False
    return True


def peer_verdict(peer: Peer, script: bytes) -> bool | None:
    """``None`` if the script was too much for its process."""
    try:
        return bool(peer.call("spend", raw=spending().to_hex(), index=0, satoshis=1_000, locking=script.hex()))
    except PeerError:
        return False
    except PeerDied:
        return None
