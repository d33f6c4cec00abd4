"""Pays out of the coins that mining made. They are locked with OP_TRUE, so that no key is needed.

Coinbases are split up first: @bsv/sdk 2.1.0 refuses the proof of a coinbase that is more than 100 blocks deep (it
compares the wrong way round), so none may be the mined ancestor in a BEEF that the faucet gives out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdk.core.beef import Beef
from sdk.core.encodings import MAX_SATOSHIS
from sdk.core.script import Script
from sdk.core.transaction import Transaction, TransactionInput, TransactionOutput
from sdk.devnet.chain.rules import OP_TRUE
from sdk.devnet.chain.scripts import script_hash
from sdk.devnet.errors import NothingToSpend, OutOfRange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.transaction import OutPoint
    from sdk.devnet.chain.chain import Chain

MAX_FAUCET_INPUTS = 500
FAUCET_COINS = 50
"""Into how many coins mature coinbases are split."""
_INPUT_SIZE = 41
_NO_SCRIPT = Script(b"")


@dataclass(frozen=True, slots=True)
class Funding:
    """The paying transaction; the wanted outputs are its first ones. ``beef`` is AtomicBEEF down to mined ancestors."""

    txid: str
    output_index: int
    transaction: Transaction
    beef: bytes


def build_payment(chain: Chain, outputs: Sequence[TransactionOutput]) -> Transaction:
    """A transaction paying ``outputs`` first, then change back; raises ``NothingToSpend`` or ``OutOfRange``."""
    wanted = sum(each.satoshis for each in outputs)
    for each in outputs:
        if not 0 <= each.satoshis <= MAX_SATOSHIS:
            raise OutOfRange("the amount in satoshis", each.satoshis, 0, MAX_SATOSHIS)
    change = TransactionOutput(0, OP_TRUE)
    size = Transaction(1, [], [*outputs, change], 0).size()
    coins = _choose(chain, wanted, size)
    incoming = sum(satoshis for _, satoshis in coins)
    fee = chain.policy.minimum_fee(size + 10 + _INPUT_SIZE * len(coins))
    inputs = [TransactionInput(outpoint, _NO_SCRIPT) for outpoint, _ in coins]
    rest = incoming - wanted - fee
    ours = [TransactionOutput(rest, OP_TRUE)] if rest > 0 else []
    return Transaction(1, inputs, [*outputs, *ours], 0)


def _choose(chain: Chain, wanted: int, size: int) -> list[tuple[OutPoint, int]]:
    coins = spendable(chain)
    chosen: list[tuple[OutPoint, int]] = []
    total = 0

    def needed(count: int) -> int:
        return wanted + chain.policy.minimum_fee(size + 10 + _INPUT_SIZE * count)

    single = next((coin for coin in coins if coin[1] >= needed(1)), None)
    if single is not None:
        return [single]
    for coin in reversed(coins[-MAX_FAUCET_INPUTS:]):
        chosen.append(coin)
        total += coin[1]
        if total >= needed(len(chosen)):
            return chosen
    raise NothingToSpend(wanted, total)


def build_split(chain: Chain) -> Transaction | None:
    """The mature coinbases (at most 500) made into ``FAUCET_COINS`` equal coins; ``None`` if there are none."""
    coins = _unspent(chain, coinbase=True)[:MAX_FAUCET_INPUTS]
    if not coins:
        return None
    inputs = [TransactionInput(outpoint, _NO_SCRIPT) for outpoint, _ in coins]
    blank = Transaction(1, inputs, [TransactionOutput(0, OP_TRUE)] * FAUCET_COINS, 0)
    share = (sum(satoshis for _, satoshis in coins) - chain.policy.minimum_fee(blank.size())) // FAUCET_COINS
    return Transaction(1, inputs, [TransactionOutput(share, OP_TRUE)] * FAUCET_COINS, 0) if share > 0 else None


def spendable(chain: Chain) -> list[tuple[OutPoint, int]]:
    """The faucet's mined, unspent coins that are no coinbases, smallest and oldest first."""
    return _unspent(chain, coinbase=False)


def within_reach(chain: Chain) -> int:
    """Satoshis the faucet has once coinbases are split and waiting change is mined."""
    keys = (each for each in chain.scripts.outputs(script_hash(OP_TRUE)) if each not in chain.mempool.spenders)
    waiting = sum(output.satoshis for output in map(chain.mempool.output, keys) if output is not None)
    mined = [*_unspent(chain, coinbase=True)[:MAX_FAUCET_INPUTS], *spendable(chain)]
    return waiting + sum(satoshis for _, satoshis in mined)


def _unspent(chain: Chain, *, coinbase: bool) -> list[tuple[OutPoint, int]]:
    found: list[tuple[int, int, str, OutPoint]] = []
    for outpoint in chain.scripts.outputs(script_hash(OP_TRUE)):
        coin = chain.ledger.coins.get(outpoint)
        if coin is None or coin.height is None or coin.coinbase is not coinbase or outpoint in chain.mempool.spenders:
            continue
        if not coinbase or chain.height + 1 - coin.height >= chain.policy.chain.coinbase_maturity:
            found.append((coin.output.satoshis, coin.height, str(outpoint), outpoint))
    return [(outpoint, satoshis) for satoshis, _, _, outpoint in sorted(found, key=lambda each: each[:3])]


def ancestry(chain: Chain, txid: str) -> Beef:
    """``txid`` with everything it stands on, down to mined transactions and their proofs."""
    beef = Beef()
    done: set[str] = set()
    stack = [(txid, False)]
    while stack:
        current, parents_done = stack.pop()
        if current in done:
            continue
        transaction = chain.transactions[current]
        path = chain.merkle_path(current)
        if path is None and not parents_done:
            stack.append((current, True))
            stack.extend((each.outpoint.txid, False) for each in transaction.inputs)
            continue
        if path is not None:
            beef.merge_path(path)
        beef.merge_transaction(transaction)
        done.add(current)
    return beef
