"""Damaged bytes put before us and before a peer; a difference must be one that ``docs/differences.md`` explains."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sdk.core.beef import V1, Beef
from sdk.core.errors import ParseError
from sdk.core.merkle_path import MerklePath
from sdk.core.transaction import Transaction
from support.fuzzing import mutate
from support.peers import PeerDied, PeerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from support.peers import Peer

LARGEST_EXACT = (1 << 53) - 1

# Why we refuse what a peer may read: pattern of our reason, and the line of docs/differences.md.
STRICTER = {
    r"shortest form": "compact integers not in the shortest form",
    r"trailing bytes|extended format": "trailing bytes",
    r"flags must be": "flags of a BUMP node",
    r"no left neighbour|second duplicate": "duplicate at an even offset",
    r"side by side|stands at two offsets": "two equal siblings",
    r"no block has|only transaction of its block": "offsets that fit no block size",
    r"proves nothing": "nodes of a BUMP that prove nothing",
    r"not what lies below": "nodes of a BUMP that contradict what lies below them",
    r"is missing": "a leaf of a BUMP that is not of interest and has no sibling",
    r"stands in it twice|does not hold|is named, there are": "BEEF that lists a transaction twice",
    r"subject": "AtomicBEEF whose subject is absent",
    r"format of a transaction": "format bytes of a BEEF transaction",
    r"tree height must|32 bits": "heights outside their range",
    r"two merkle roots": "two roots for one height",
}
# Reading past the end is not put before the peers: some of them go on for as long as a count says.
CUT_SHORT = re.compile(r"ends |cannot fit|takes \d+ bytes|has no transaction")


ONE_TRANSACTION, FIRST_VERSION, UNNAMED_PATH = BSV_SDK_LINES = (
    "block of one transaction",
    "BEEF V1",
    "a transaction without the index of the path that holds it",
)


def no_difference(operation: str, data: bytes) -> str | None:
    """Of a peer that agrees with us on all that we read."""
    return None


def bsv_sdk_difference(operation: str, data: bytes) -> str | None:
    """The line of docs/differences.md on why bsv-sdk may refuse, or see otherwise, what we read."""
    if operation == "path" and MerklePath.from_bytes(data).tree_height == 0:
        return ONE_TRANSACTION
    if operation == "beef":
        beef = Beef.from_bytes(data)
        if beef.version == V1:
            return FIRST_VERSION
        if any(path.contains(txid) for path in beef.paths for txid in beef.txids() if beef.path_for(txid) is None):
            return UNNAMED_PATH
    return None


DIFFERENCES: dict[str, Callable[[str, bytes], str | None]] = {
    "@bsv/sdk": no_difference,
    "bsv-sdk": bsv_sdk_difference,
}


def explained(reason: str) -> bool:
    return any(re.search(pattern, reason) for pattern in STRICTER)


def show_transaction(data: bytes) -> dict[str, Any] | None:
    """What the peers answer to ``transaction``, or ``None`` where a JavaScript number cannot hold it."""
    transaction = Transaction.from_bytes(data)
    if any(not 0 <= each.satoshis <= LARGEST_EXACT for each in transaction.outputs):
        return None
    return {
        "txid": transaction.txid(),
        "version": transaction.version & 0xFFFFFFFF,  # they read it unsigned
        "lock_time": transaction.lock_time,
        "inputs": [
            [each.outpoint.txid, each.outpoint.vout, each.unlocking_script.to_hex(), each.sequence]
            for each in transaction.inputs
        ],
        "outputs": [[each.satoshis, each.locking_script.to_hex()] for each in transaction.outputs],
        "hex": transaction.to_hex(),
    }


def show_path(data: bytes) -> dict[str, Any]:
    path = MerklePath.from_bytes(data)
    return {"height": path.block_height, "root": path.compute_root()}


def show_beef(data: bytes) -> dict[str, Any]:
    beef = Beef.from_bytes(data)
    beef.roots()
    # It does not look whether the outputs spent exist.
    reasons = [each for each in beef.validity(allow_txid_only=True).reasons if " spends output " not in each]
    return {"txids": sorted(beef.txids()), "atomic": beef.atomic_txid, "valid": not reasons}


SHOWN: dict[str, Callable[[bytes], dict[str, Any] | None]] = {
    "transaction": show_transaction,
    "path": show_path,
    "beef": show_beef,
}


def compare(peer: Peer, name: str, operation: str, data: bytes) -> str:
    """``same``, ``stricter``, ``different`` (both explained), ``died`` or ``skipped``.

    Raises ``AssertionError`` with the bytes of an unexplained difference.
    """
    try:
        ours = SHOWN[operation](data)
    except ParseError as error:
        if CUT_SHORT.search(error.reason):
            return "skipped"
        try:
            peer.call(operation, hex=data.hex(), patience=2)
        except PeerError:
            return "same"
        except PeerDied:
            return "died"  # it goes on for as long as a count says
        if not explained(error.reason):
            raise AssertionError(f"{operation}: only we refuse ({error}) {data.hex()}") from error
        return "stricter"
    if ours is None:
        return "skipped"
    try:
        theirs = peer.call(operation, hex=data.hex())
    except PeerError as error:
        if "53 bits" in str(error):
            return "skipped"  # satoshis that a JavaScript number cannot hold
        if DIFFERENCES[name](operation, data):
            return "different"
        raise AssertionError(f"{operation}: only the peer refuses ({error}) {data.hex()}") from error
    found = {name: theirs[name] for name in ours}
    if found != ours:
        if DIFFERENCES[name](operation, data):
            return "different"
        raise AssertionError(f"{operation}: {ours} is {found} to the peer: {data.hex()}")
    return "same"


def campaign(
    peer: Peer, name: str, operation: str, random: Random, seeds: Sequence[bytes], count: int
) -> dict[str, int]:
    """How often each outcome came."""
    outcomes = {"same": 0, "stricter": 0, "different": 0, "died": 0, "skipped": 0}
    for _ in range(count):
        outcomes[compare(peer, name, operation, mutate(random, seeds))] += 1
    return outcomes
