"""What the chain refuses, in the node's words; blocks, orphans, faucet (spec/consensus.md §5)."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.core.beef import Beef
from sdk.core.merkle_path import MerklePath
from sdk.core.script import Script
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.devnet.chain.block import Block, mine
from sdk.devnet.chain.chain import Change, Outcome
from sdk.devnet.chain.rules import Policy, coinbase
from sdk.devnet.devnet import Devnet
from sdk.devnet.errors import BlockRefused, NothingToSpend, OutOfRange, RefusalKind, TransactionRefused
from sdk.wallet.keys import PrivateKey
from sdk.wallet.script import SignatureHasher
from sdk.wallet.script.templates import p2pkh
from sdk.wallet.script.templates.signing import Coin
from support.devnet_rig import ANYONE, NOBODY, coin, spend

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = PrivateKey.from_int(5)


@pytest.fixture
def devnet() -> Devnet:
    return Devnet(clock=lambda: NOW)


def test_the_same_calls_give_the_same_chain() -> None:
    def build() -> str:
        devnet = Devnet(clock=lambda: NOW)
        devnet.fund(ANYONE, 1_000)
        devnet.mine(3)
        devnet.reorg(2)
        return devnet.tip.hash

    assert build() == build()


def test_every_block_proves_work_and_follows_in_time(devnet: Devnet) -> None:
    for node in devnet.chain.active[1:]:
        assert node.parent is not None
        assert node.block.header.meets_target(devnet.chain.policy.chain.pow_limit)
        assert node.block.header.time > devnet.chain.median_time(node.parent)
        assert node.block.transactions[0].size() != 64, "a size that no proof may show"
    assert devnet.tip.block.header.time >= int(NOW.timestamp())


# transactions


def _coinbase_of(devnet: Devnet, height: int) -> OutPoint:
    return OutPoint(devnet.chain.node_at(height).block.txids[0], 0)


REFUSED: dict[str, tuple[RefusalKind, str, Callable[[Devnet], Transaction]]] = {
    "coinbase": (RefusalKind.COINBASE, "bad-tx-coinbase", lambda d: coinbase(5, 1, ANYONE)),
    "no inputs": (RefusalKind.INPUTS, "bad-txns-vin-empty", lambda d: spend([], [1])),
    "no outputs": (RefusalKind.OUTPUTS, "bad-txns-vout-empty", lambda d: spend([coin(d)], [])),
    "P2SH": (
        RefusalKind.OUTPUTS,
        "bad-txns-vout-p2sh",
        lambda d: spend([coin(d)], [1], lock=Script(b"\xa9\x14" + bytes(20) + b"\x87")),
    ),
    "one input twice": (RefusalKind.INPUTS, "bad-txns-inputs-duplicate", lambda d: spend([coin(d)] * 2, [1])),
    "null input": (
        RefusalKind.INPUTS,
        "bad-txns-prevout-null",
        lambda d: spend([coin(d), OutPoint("00" * 32, 0xFFFFFFFF)], [1]),
    ),
    "immature": (
        RefusalKind.IMMATURE,
        "bad-txns-premature-spend-of-coinbase",
        lambda d: spend([_coinbase_of(d, d.height - 98)], [1_000]),
    ),
    "outputs above inputs": (RefusalKind.BELOW_OUTPUTS, "bad-txns-in-belowout", lambda d: spend([coin(d)], [10_001])),
    "no fee": (RefusalKind.FEE, "mempool min fee not met", lambda d: spend([coin(d)], [10_000])),
    "dust": (RefusalKind.OUTPUTS, "dust", lambda d: spend([coin(d)], [0])),
    "not final by height": (
        RefusalKind.NON_FINAL,
        "bad-txns-nonfinal",
        lambda d: spend([coin(d)], [9_000], lock_time=d.height + 2, sequence=0),
    ),
    "not final by time": (
        RefusalKind.NON_FINAL,
        "bad-txns-nonfinal",
        lambda d: spend([coin(d)], [9_000], lock_time=int(NOW.timestamp()), sequence=0),
    ),
    "script": (
        RefusalKind.SCRIPT,
        "mandatory-script-verify-flag-failed",
        lambda d: spend([coin(d, lock=NOBODY)], [9_000]),
    ),
    "missing": (RefusalKind.MISSING, "bad-txns-inputs-missingorspent", lambda d: spend([OutPoint("ab" * 32, 0)], [1])),
    "no such output": (
        RefusalKind.MISSING,
        "bad-txns-inputs-missingorspent",
        lambda d: spend([OutPoint(coin(d).txid, 9)], [1]),
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_breaks_a_rule_is_refused_and_changes_nothing(devnet: Devnet, why: str) -> None:
    kind, reason, make = REFUSED[why]
    transaction = make(devnet)
    before = set(devnet.chain.mempool.entries)
    with pytest.raises(TransactionRefused, match=reason) as caught:
        devnet.submit(transaction, hold_orphan=False)
    assert (caught.value.kind, caught.value.txid) == (kind, transaction.txid())
    assert set(devnet.chain.mempool.entries) == before
    assert transaction.txid() not in devnet.chain.transactions


def test_limits_come_from_the_policy() -> None:
    devnet = Devnet(Policy(max_transaction_size=3_000, max_script_size=50, max_mempool_bytes=3_000))
    with pytest.raises(TransactionRefused, match="bad-txns-oversize"):
        devnet.submit(spend([coin(devnet)], [1] * 400))
    with pytest.raises(TransactionRefused, match="scriptpubkey"):
        devnet.submit(spend([coin(devnet)], [1], lock=Script(b"\x00\x6a" + b"\x51" * 60)))
    with pytest.raises(TransactionRefused, match="scriptsig-size"):
        devnet.submit(spend([coin(devnet)], [1], unlock=b"\x51" * 51))
    first, second = coin(devnet), coin(devnet)
    devnet.submit(spend([first], [10] * 200))
    with pytest.raises(TransactionRefused, match="mempool full"):
        devnet.submit(spend([second], [10] * 200))


def test_a_coinbase_is_spendable_after_a_hundred_blocks(devnet: Devnet) -> None:
    """At height h it may be spent in block h+100; here with a key, so that a signature is checked too."""
    block = devnet.mine(1, locking_script=p2pkh.lock_to_key(KEY.public_key))[0]
    source = OutPoint(block.txids[0], 0)
    output = block.transactions[0].outputs[0]
    unsigned = spend([source], [output.satoshis - 1_000])
    bought = Coin(SignatureHasher(unsigned), 0, output.satoshis, output.locking_script)
    signed = Transaction(1, [TransactionInput(source, p2pkh.unlock(KEY, bought))], unsigned.outputs)
    devnet.mine(98)
    with pytest.raises(TransactionRefused, match="premature"):
        devnet.submit(signed)
    devnet.mine(1)
    forged = Transaction(1, signed.inputs, [TransactionOutput(output.satoshis - 2_000, ANYONE)])
    with pytest.raises(TransactionRefused, match="mandatory-script"):
        devnet.submit(forged)
    assert devnet.submit(signed).outcome is Outcome.ACCEPTED


def test_a_lock_time_is_over_in_the_block_after_it(devnet: Devnet) -> None:
    transaction = spend([coin(devnet)], [9_000], lock_time=devnet.height + 1, sequence=0)
    with pytest.raises(TransactionRefused, match="nonfinal"):
        devnet.submit(transaction)
    devnet.mine(1)
    assert devnet.submit(transaction).outcome is Outcome.ACCEPTED


def test_competitors_are_named_waiting_or_mined(devnet: Devnet) -> None:
    one, two = coin(devnet), coin(devnet)
    rivals = [spend([one], [9_000]), spend([two], [9_000])]
    for each in rivals:
        devnet.submit(each)
    both = spend([one, two], [19_000])
    for kind in (RefusalKind.CONFLICT, RefusalKind.SPENT):
        with pytest.raises(TransactionRefused) as caught:
            devnet.submit(both)
        assert caught.value.kind is kind
        assert set(caught.value.competing) == {each.txid() for each in rivals}
        devnet.mine()


def test_submitting_again_says_where_it_is(devnet: Devnet) -> None:
    transaction = spend([coin(devnet)], [9_000])
    outcomes = [devnet.submit(transaction).outcome for _ in range(2)]
    devnet.mine()
    assert [*outcomes, devnet.submit(transaction).outcome] == [Outcome.ACCEPTED, Outcome.IN_MEMPOOL, Outcome.MINED]


def test_orphans_are_bounded_and_adopted_in_a_chain(devnet: Devnet) -> None:
    parent = spend([coin(devnet)], [9_000])
    child = spend([OutPoint(parent.txid(), 0)], [8_000])
    grandchild = spend([OutPoint(child.txid(), 0)], [7_000])
    for each in (grandchild, child):
        assert devnet.submit(each).outcome is Outcome.ORPHAN
    change = devnet.submit(parent).change
    assert change.accepted == (parent.txid(), child.txid(), grandchild.txid())
    assert len(devnet.chain.orphans) == 0
    bounded = Devnet(Policy(max_orphans=2, max_orphan_bytes=1_000))
    strangers = [spend([OutPoint(f"{n:064x}", 0)], [1]) for n in range(1, 5)]
    for each in strangers:
        bounded.submit(each)
    assert [each.txid() in bounded.chain.orphans for each in strangers] == [False, False, True, True]
    bounded.submit(spend([OutPoint("cd" * 32, 0)], [1], unlock=b"\x51" * 2_000))
    assert len(bounded.chain.orphans) == 0, "more bytes than all orphans may have"


# blocks


def _made(devnet: Devnet, *transactions: Transaction, reward: int = 5_000_000_000, height: int | None = None) -> Block:
    parent = devnet.tip
    first = coinbase(parent.height + 1 if height is None else height, reward, ANYONE, b"a block of ours")
    return mine(parent.hash, [first, *transactions], parent.block.header.time + 600, 0x207FFFFF)


def _with_header(block: Block, **members: Any) -> Block:
    return Block(dataclasses.replace(block.header, **members), block.transactions)


def _above_target(block: Block) -> Block:
    nonces = (_with_header(block, nonce=nonce) for nonce in range(10_000))
    return next(each for each in nonces if not each.header.meets_target())


BLOCKS: dict[str, Callable[[Devnet], Block]] = {
    "prev-blk-not-found": lambda d: _with_header(_made(d), previous_hash="ab" * 32),
    "bad-diffbits": lambda d: _with_header(_made(d), bits=0x1D00FFFF),
    "high-hash": lambda d: _above_target(_made(d)),
    "time-too-old": lambda d: mine(d.tip.hash, _made(d).transactions, d.chain.median_time(), 0x207FFFFF),
    "bad-txnmrklroot": lambda d: Block(_made(d).header, (coinbase(9, 1, ANYONE, b"another"),)),
    "bad-cb-missing": lambda d: mine(
        d.tip.hash, [spend([coin(d)], [9_000])], d.tip.block.header.time + 600, 0x207FFFFF
    ),
    "bad-cb-height": lambda d: _made(d, height=7),
    "bad-cb-amount": lambda d: _made(d, reward=5_000_000_001),
    "bad-txns-inputs-missingorspent": lambda d: _made(d, spend([OutPoint("ab" * 32, 0)], [1])),
    "bad-txns-in-belowout": lambda d: _made(d, spend([coin(d)], [10_001])),
    "bad-txns-nonfinal": lambda d: _made(d, spend([coin(d)], [1], lock_time=9_999, sequence=0)),
    "mandatory-script": lambda d: _made(d, spend([coin(d, lock=NOBODY)], [9_000])),
}


@pytest.mark.parametrize("reason", BLOCKS)
def test_a_block_that_breaks_a_rule_leaves_the_chain_as_it_was(devnet: Devnet, reason: str) -> None:
    make = BLOCKS[reason]
    coin(devnet)
    block = make(devnet)
    if block.header.previous_hash != "ab" * 32 and block.header.previous_hash != devnet.tip.hash:
        block = make(devnet)
    before, coins = devnet.tip, dict(devnet.chain.ledger.coins)
    with pytest.raises(BlockRefused, match=reason):
        devnet.chain.accept_block(block)
    assert devnet.tip is before
    assert devnet.chain.ledger.coins == coins


def test_a_block_that_repeats_its_tail_is_refused(devnet: Devnet) -> None:
    """CVE-2012-2459: the root stays the same."""
    good = _made(devnet, spend([coin(devnet)], [9_000]), spend([coin(devnet)], [9_000]))
    again = Block(good.header, (*good.transactions, good.transactions[-1]))
    with pytest.raises(BlockRefused, match=r"bad-txns-duplicate|prev-blk"):
        devnet.chain.accept_block(again)


def test_a_branch_wins_by_work_only(devnet: Devnet) -> None:
    seen: list[Change] = []
    stop = devnet.subscribe(seen.append)
    parent, old = devnet.tip.parent, devnet.tip
    assert parent is not None
    rival = devnet.chain.build_block(int(NOW.timestamp()) + 5, parent=parent, transactions=[])
    assert devnet.chain.accept_block(rival) == Change()
    assert devnet.tip is old, "the first seen of equals stays"
    node = devnet.chain.nodes[rival.hash]
    longer = devnet.chain.build_block(int(NOW.timestamp()) + 6, parent=node, transactions=[])
    change = devnet.chain.accept_block(longer)
    assert [each.hash for each in change.disconnected] == [old.hash]
    assert [each.hash for each in change.connected] == [rival.hash, longer.hash]
    assert not devnet.chain.is_active(old)
    stop()
    devnet.mine()
    assert seen == []


def test_a_rival_in_the_new_branch_drops_what_it_beats_and_its_children(devnet: Devnet) -> None:
    source = coin(devnet)
    loser = spend([source], [9_000])
    child = spend([OutPoint(loser.txid(), 0)], [8_000])
    devnet.submit(loser)
    devnet.mine()
    devnet.submit(child)
    seen: list[Change] = []
    devnet.subscribe(seen.append)
    winner = spend([source], [7_000])
    devnet.reorg(1, transactions=[winner])
    dropped = {each.txid: each.refusal for change in seen for each in change.dropped}
    assert set(dropped) == {loser.txid(), child.txid()}
    assert dropped[loser.txid()].competing == (winner.txid(),)
    assert len(devnet.chain.mempool) == 0


@settings(max_examples=25)
@given(others=st.integers(0, 24), position=st.integers(0, 24))
def test_proofs_hold_for_blocks_of_every_size(others: int, position: int) -> None:
    devnet = Devnet(premine=102, clock=lambda: NOW)
    funding = devnet.fund(ANYONE, 10_000, count=others + 1, mine=True)
    ours = [spend([OutPoint(funding.txid, n)], [9_000]) for n in range(others + 1)]
    for each in ours:
        devnet.submit(each)
    devnet.mine()
    txid = devnet.tip.block.txids[position % (others + 2)]
    path = devnet.merkle_path(txid)
    assert path is not None
    assert path.compute_root(txid) == devnet.tip.block.header.merkle_root
    assert MerklePath.from_bytes(path.to_bytes()) == path
    index, nodes = path.to_tsc(txid)
    assert MerklePath.from_tsc(devnet.height, txid, index, nodes).compute_root(txid) == path.compute_root(txid)


# faucet


@settings(max_examples=25)
@given(satoshis=st.integers(1, 10**11), count=st.integers(1, 20))
def test_the_faucet_pays_what_it_is_asked(satoshis: int, count: int) -> None:
    devnet = Devnet(premine=150, clock=lambda: NOW)
    lock = p2pkh.lock_to_key(KEY.public_key)
    if satoshis * count > 200_000_000_000:  # of the 50 mature coins of 50 each
        with pytest.raises(NothingToSpend, match="ask for less"):
            devnet.fund(lock, satoshis * count * 2, count=1)
        return
    funding = devnet.fund(lock, satoshis, count=count)
    assert [(each.satoshis, each.locking_script) for each in funding.transaction.outputs[:count]] == [
        (satoshis, lock)
    ] * count
    beef = Beef.from_atomic(funding.beef)
    assert beef.validity().valid
    assert beef.roots().items() <= {(h, devnet.header_at(h).merkle_root) for h in range(devnet.height + 1)}


def test_the_faucet_goes_on_when_its_change_waits(devnet: Devnet) -> None:
    before = devnet.height
    for _ in range(60):
        devnet.fund(ANYONE, 800_000_000)
    assert devnet.height == before + 1, "it mined once its change was all it had"


def test_no_beef_of_the_faucet_ends_in_a_coinbase(devnet: Devnet) -> None:
    for _ in range(60):
        funding = devnet.fund(ANYONE, 800_000_000)
        beef = Beef.from_atomic(funding.beef)
        assert not any(each.is_coinbase for each in beef.transactions())


def test_what_the_chain_cannot_do_is_said(devnet: Devnet) -> None:
    with pytest.raises(OutOfRange, match="number of blocks"):
        devnet.mine(10_001)
    with pytest.raises(OutOfRange, match="depth"):
        devnet.reorg(devnet.height + 1)
    with pytest.raises(OutOfRange, match="block height"):
        devnet.header_at(devnet.height + 1)
    assert devnet.merkle_path("ab" * 32) is None


async def test_it_is_a_chain_tracker(devnet: Devnet) -> None:
    root = devnet.header_at(3).merkle_root
    assert await devnet.is_valid_root_for_height(root, 3)
    assert not await devnet.is_valid_root_for_height(root, 4)
    assert not await devnet.is_valid_root_for_height(root, 9_999)
    assert await devnet.current_height() == devnet.height


def test_time_never_runs_backwards_in_blocks() -> None:
    times = iter([NOW, *(NOW - timedelta(days=n) for n in range(50))])
    devnet = Devnet(premine=20, clock=lambda: next(times))
    devnet.mine(20)
    for node in devnet.chain.active[1:]:
        assert node.parent is not None
        assert node.block.header.time > devnet.chain.median_time(node.parent)
