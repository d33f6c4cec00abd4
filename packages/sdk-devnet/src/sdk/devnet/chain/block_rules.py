"""What a block must keep before its inputs are looked at (spec/consensus.md §2, §5.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core.errors import ParseError
from sdk.core.merkle_path import merkle_root
from sdk.devnet.chain.rules import check_transaction, push_number
from sdk.devnet.errors import BlockRefused, TransactionRefused

if TYPE_CHECKING:
    from sdk.devnet.chain.block import Block
    from sdk.devnet.chain.rules import Policy


def check_header(block: Block, median_time: int, policy: Policy) -> None:
    """Proof of work at the one difficulty, and a time after ``median_time``, the parent's; raises ``BlockRefused``."""
    header = block.header
    if header.bits != policy.chain.pow_limit_bits:
        raise BlockRefused(block.hash, "bad-diffbits")
    if not header.meets_target(policy.chain.pow_limit):
        raise BlockRefused(block.hash, "high-hash")
    if header.time <= median_time:
        raise BlockRefused(block.hash, "time-too-old")


def check_body(block: Block, height: int, median_time: int, policy: Policy) -> None:
    """Merkle root, coinbase, size, and each transaction by itself; raises ``BlockRefused``."""
    _check_root(block)
    if [each.is_coinbase for each in block.transactions] != [True] + [False] * (len(block.transactions) - 1):
        raise BlockRefused(block.hash, "bad-cb-missing")
    if block.size > policy.max_block_bytes:
        raise BlockRefused(block.hash, "bad-blk-length")
    tag = block.transactions[0].inputs[0].unlocking_script.to_bytes()
    if not 2 <= len(tag) <= 100:
        raise BlockRefused(block.hash, "bad-cb-length")
    if not tag.startswith(push_number(height)):
        raise BlockRefused(block.hash, "bad-cb-height")
    for each in block.transactions:
        try:
            check_transaction(each, policy)
        except TransactionRefused as refused:
            raise BlockRefused(block.hash, f"{refused.reason} (transaction {refused.txid})") from refused
        if not each.is_final(height, median_time):
            raise BlockRefused(block.hash, f"bad-txns-nonfinal (transaction {each.txid()})")


def _check_root(block: Block) -> None:
    try:
        root = merkle_root(block.txids)
    except ParseError as error:  # none at all, or CVE-2012-2459
        reason = "bad-txns-duplicate" if block.transactions else "bad-txnmrklroot"
        raise BlockRefused(block.hash, reason) from error
    if root != block.header.merkle_root:
        raise BlockRefused(block.hash, "bad-txnmrklroot")
