"""The unspent outputs of the best chain, and how blocks change them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sdk.core.encodings import MAX_SATOSHIS
from sdk.core.transaction import OutPoint
from sdk.devnet.chain.rules import is_false_return
from sdk.devnet.errors import BlockRefused, RefusalKind, TransactionRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sdk.core.transaction import Transaction, TransactionOutput
    from sdk.devnet.chain.block import Block
    from sdk.devnet.chain.rules import Policy


class VerifyInput(Protocol):
    """Runs the scripts of input ``index`` against the output it spends; the failure in words, or ``None``."""

    def __call__(self, transaction: Transaction, index: int, spent: TransactionOutput, /) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Coin:
    """An unspent output; ``height`` is that of its block, ``None`` while it waits to be mined."""

    output: TransactionOutput
    height: int | None
    coinbase: bool


@dataclass(frozen=True, slots=True)
class _Undo:
    """What one block took and made, in order."""

    taken: list[tuple[OutPoint, Coin]]
    made: list[OutPoint]


class Ledger:
    """``coins`` are spendable; ``spenders`` names the mined transaction that took an outpoint."""

    def __init__(self, policy: Policy) -> None:
        self.coins: dict[OutPoint, Coin] = {}
        self.spenders: dict[OutPoint, str] = {}
        self._policy = policy
        self._undo: dict[str, _Undo] = {}

    def connect(self, block: Block, height: int, check_scripts: Callable[[Transaction, Sequence[Coin]], None]) -> None:
        """Apply a block on top; raises ``BlockRefused`` and changes nothing if it breaks a rule (§5.3)."""
        undo = self._undo[block.hash] = _Undo([], [])
        fees = 0
        try:
            for transaction in block.transactions:
                if not transaction.is_coinbase:
                    fees += self._spend(transaction, height, undo, check_scripts)
                self._create(transaction, height, undo)
            self._check_reward(block, height, fees)
        except TransactionRefused as refused:
            self.disconnect(block)
            raise BlockRefused(block.hash, f"{refused.reason} (transaction {refused.txid})") from refused
        except BlockRefused:
            self.disconnect(block)
            raise

    def disconnect(self, block: Block) -> None:
        """Take the top block off again."""
        undo = self._undo.pop(block.hash)
        for outpoint, coin in undo.taken:
            del self.spenders[outpoint]
            self.coins[outpoint] = coin
        for outpoint in undo.made:
            del self.coins[outpoint]

    def _spend(
        self,
        transaction: Transaction,
        height: int,
        undo: _Undo,
        check_scripts: Callable[[Transaction, Sequence[Coin]], None],
    ) -> int:
        spent = [self._coin(transaction, each.outpoint) for each in transaction.inputs]
        check_maturity(transaction, spent, height, self._policy.chain.coinbase_maturity)
        fee = check_amounts(transaction, spent)
        check_scripts(transaction, spent)
        for each, coin in zip(transaction.inputs, spent, strict=True):
            del self.coins[each.outpoint]
            self.spenders[each.outpoint] = transaction.txid()
            undo.taken.append((each.outpoint, coin))
        return fee

    def _coin(self, transaction: Transaction, outpoint: OutPoint) -> Coin:
        coin = self.coins.get(outpoint)
        if coin is None:
            raise TransactionRefused(transaction.txid(), RefusalKind.MISSING, "bad-txns-inputs-missingorspent")
        return coin

    def _create(self, transaction: Transaction, height: int, undo: _Undo) -> None:
        coinbase = transaction.is_coinbase
        for vout, output in enumerate(transaction.outputs):
            outpoint = OutPoint(transaction.txid(), vout)
            if outpoint in self.coins:
                raise TransactionRefused(transaction.txid(), RefusalKind.OUTPUTS, "bad-txns-BIP30")
            if not is_false_return(output.locking_script):
                self.coins[outpoint] = Coin(output, height, coinbase)
                undo.made.append(outpoint)

    def _check_reward(self, block: Block, height: int, fees: int) -> None:
        reward = sum(each.satoshis for each in block.transactions[0].outputs)
        if reward > fees + self._policy.chain.subsidy(height):
            raise BlockRefused(block.hash, "bad-cb-amount")


def check_maturity(transaction: Transaction, spent: Sequence[Coin], height: int, maturity: int) -> None:
    for coin in spent:
        if coin.coinbase and coin.height is not None and height - coin.height < maturity:
            raise TransactionRefused(transaction.txid(), RefusalKind.IMMATURE, "bad-txns-premature-spend-of-coinbase")


def check_amounts(transaction: Transaction, spent: Sequence[Coin]) -> int:
    """The fee in satoshis; refuses outputs above inputs."""
    incoming = sum(coin.output.satoshis for coin in spent)
    if incoming > MAX_SATOSHIS:
        raise TransactionRefused(transaction.txid(), RefusalKind.INPUTS, "bad-txns-inputvalues-outofrange")
    fee = incoming - sum(each.satoshis for each in transaction.outputs)
    if fee < 0:
        raise TransactionRefused(transaction.txid(), RefusalKind.BELOW_OUTPUTS, "bad-txns-in-belowout")
    return fee
