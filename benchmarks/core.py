"""Protocol types: parsing, serialising, merkle roots; beside bsv-sdk, @bsv/sdk and bare loops over hashlib."""

from __future__ import annotations

import tracemalloc
from contextlib import ExitStack
from hashlib import sha256
from itertools import cycle
from typing import TYPE_CHECKING, Any

from sdk.core import Beef, BlockHeader, MerklePath, OutPoint, Script, Transaction, TransactionInput, TransactionOutput
from sdk.core.chain import MAIN
from sdk.core.merkle_tree import PathLeaf
from support.measuring import SAMPLE, contest, contestant, import_time, one_core
from support.peers import Peer, PeerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.measuring import Contestant


def run(report: Callable[..., None]) -> None:
    with one_core(), ExitStack() as stack:
        peers = Peers(stack)
        transactions(report, peers)
        beefs(report, peers)
        paths(report, peers)
        headers(report)
    memory(report)
    imports(report)


class Peers:
    """The peers that are installed; rates are measured by them, in their own process."""

    def __init__(self, stack: ExitStack) -> None:
        self._peers: dict[str, Peer] = {}
        for name, start in (("bsv-sdk", Peer.python), ("@bsv/sdk", Peer.node)):
            try:
                self._peers[name] = stack.enter_context(start("core"))
            except BaseException as missing:  # a skip of pytest is one
                if isinstance(missing, KeyboardInterrupt):
                    raise
                print(f"  without {name}: {missing}")

    def doing(self, work: str, data: bytes, **more: Any) -> dict[str, Contestant]:
        """Those that can do it."""
        found: dict[str, Contestant] = {}
        for name, peer in self._peers.items():

            def measure(seconds: float, peer: Peer = peer) -> float:
                return float(peer.call("rate", work=work, hex=data.hex(), seconds=seconds, **more))

            try:
                measure(SAMPLE)
            except PeerError as refused:
                print(f"  {name} cannot do {work}: {refused}")
            else:
                found[name] = measure
        return found


def payment(inputs: int, outputs: int, salt: int = 0) -> Transaction:
    """A transaction of P2PKH size; nothing in it repeats."""

    def noise(size: int, *names: object) -> bytes:
        block = sha256(repr((salt, *names)).encode()).digest()
        return (block * (size // 32 + 1))[:size]

    return Transaction(
        1,
        [TransactionInput(OutPoint(noise(32, "in", i).hex(), i), Script(noise(107, "un", i))) for i in range(inputs)],
        [TransactionOutput(1000 + i, Script(noise(25, "out", i))) for i in range(outputs)],
    )


def transactions(report: Callable[..., None], peers: Peers) -> None:
    for size in (2, 100):
        data = payment(size, size).to_bytes()
        doing = peers.doing("transaction", data)
        ours, theirs = contest(lambda data=data: Transaction.from_bytes(data).to_bytes(), doing)  # type: ignore[misc]
        limit = floor(theirs, 1.5)
        report(f"parse and serialise a {size}-in/{size}-out transaction", ours, "1/s", theirs, limit)
        whole, theirs = contest(lambda data=data: rebuilt(Transaction.from_bytes(data)), doing)  # type: ignore[misc]
        report(f"the same, every part taken out and built anew ({size}/{size})", whole, "1/s", theirs)


def floor(theirs: dict[str, float], times: float) -> float:
    """So many times the rate of bsv-sdk, measured just now; 0 without it."""
    return times * theirs.get("bsv-sdk", 0)


def rebuilt(transaction: Transaction) -> bytes:
    parts = transaction.version, transaction.inputs, transaction.outputs, transaction.lock_time
    return Transaction(*parts).to_bytes()


def chain_beef(length: int) -> Beef:
    """A chain of payments; the first is proven by a path of depth 20."""
    first = payment(1, 2)
    beef = Beef()
    beef.merge_path(deep_path(first.txid()))
    beef.merge_transaction(first)
    last = first
    for salt in range(1, length):
        template = payment(1, 2, salt)
        spent = TransactionInput(OutPoint(last.txid(), 0), template.inputs[0].unlocking_script)
        last = Transaction(1, [spent], template.outputs)
        beef.merge_transaction(last)
    return beef


def deep_path(txid: str, depth: int = 20, index: int = 777_777) -> MerklePath:
    levels = [[PathLeaf((index >> level) ^ 1, sha256(bytes((level,))).hexdigest())] for level in range(depth)]
    levels[0] = sorted((*levels[0], PathLeaf(index, txid, True)))
    return MerklePath(850_000, levels)


def beefs(report: Callable[..., None], peers: Peers) -> None:
    for length, times in ((10, 4), (500, 8)):
        data = chain_beef(length).to_bytes()
        doing = peers.doing("beef", data)
        ours, theirs = contest(lambda data=data: Beef.from_bytes(data).roots(), doing)  # type: ignore[misc]
        limit = floor(theirs, times)
        report(f"parse a {length}-transaction BEEF and compute its roots", ours, "1/s", theirs, limit)
        checked, theirs = contest(lambda data=data: checked_roots(data), doing)  # type: ignore[misc]
        report(f"the same with the structure judged ({length})", checked, "1/s", theirs)


def checked_roots(data: bytes) -> dict[int, str]:
    beef = Beef.from_bytes(data)
    if not beef.validity():
        raise AssertionError("the benchmark's own BEEF is not valid")
    return beef.roots()


def paths(report: Callable[..., None], peers: Peers) -> None:
    txid = payment(1, 1).txid()
    path = deep_path(txid)
    data = path.to_bytes()
    ours, theirs = contest(lambda: MerklePath.from_bytes(data), peers.doing("path parse", data, txid=txid))
    report("parse a BUMP of depth 20", ours, "1/s", theirs, floor(theirs, 3))
    fresh = cycle([MerklePath.from_bytes(data) for _ in range(20_000)])

    def root() -> str:
        each = next(fresh)
        each._root = None  # it would be remembered
        return each.compute_root(txid)

    doing = peers.doing("path root", data, txid=txid)
    ours, theirs = contest(root, {**doing, "bare hashlib loop": contestant(lambda: bare_loop(path))})
    report("root of a BUMP of depth 20", ours, "1/s", theirs, 0.8 * theirs["bare hashlib loop"])
    doing = peers.doing("path serialise", data, txid=txid)
    ours, theirs = contest(path.to_bytes, doing)
    report("serialise a BUMP of depth 20", ours, "1/s", theirs, floor(theirs, 10))
    levels = path.path
    ours, theirs = contest(lambda: MerklePath(850_000, levels).to_bytes(), doing)
    report("build and serialise it from its nodes", ours, "1/s", theirs)


def bare_loop(path: MerklePath) -> bytes:
    node = b"\x11" * 32
    for sibling in (node, *(path._siblings or ())):
        node = sha256(sha256(node + (sibling or node)).digest()).digest()
    return node


def headers(report: Callable[..., None]) -> None:
    data = MAIN.genesis.to_bytes()
    limit = MAIN.pow_limit
    ours, _ = contest(lambda: BlockHeader.from_bytes(data).meets_target(limit))
    report("parse a header and check its proof of work", ours, "1/s")


def memory(report: Callable[..., None]) -> None:
    data = chain_beef(10_000).to_bytes()
    tracemalloc.start()
    beef = Beef.from_bytes(data)
    beef.roots()
    held = tracemalloc.get_traced_memory()[0] / len(data)
    report("memory of a 10,000-transaction BEEF, times its bytes", held, "x", {}, 6)
    for transaction in beef.transactions():
        _ = transaction.inputs, transaction.outputs
    held = tracemalloc.get_traced_memory()[0] / len(data)
    tracemalloc.stop()
    report("the same, every input and output taken out and kept", held, "x")


def imports(report: Callable[..., None]) -> None:
    names = "Transaction, TransactionInput, TransactionOutput, Script, OutPoint, MerklePath, Beef, BlockHeader"
    for what, statement in (
        ("sdk.core", "import sdk.core"),
        ("all its protocol types", f"from sdk.core import {names}"),
    ):
        spent = import_time(statement, "import pydantic")
        report(f"import of {what}, over pydantic", spent, "ms", {}, 60)
