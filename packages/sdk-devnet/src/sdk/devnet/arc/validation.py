"""What ARC itself checks before a node sees the transaction (spec/arc.md §1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdk.core import opcodes as op
from sdk.core.encodings import MAX_SATOSHIS
from sdk.core.errors import ParseError
from sdk.devnet.arc.bodies import SMALLEST_TRANSACTION
from sdk.devnet.arc.problems import ArcProblem
from sdk.devnet.chain.rules import is_false_return

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.beef import Beef
    from sdk.core.transaction import Transaction, TransactionOutput
    from sdk.devnet.arc.options import SubmitOptions
    from sdk.devnet.chain.chain import Chain


def find_sources(chain: Chain, transaction: Transaction) -> list[TransactionOutput]:
    """The outputs it spends: as it says itself (extended), else as the chain knows them; raises 460."""
    found: list[TransactionOutput] = []
    for each in transaction.inputs:
        source = each.source_output or chain.output(each.outpoint)
        if source is None and not transaction.is_coinbase:
            raise ArcProblem(460, f"parent {each.outpoint.txid} was not found", transaction.txid())
        if source is not None:
            found.append(source)
    return found


def check(chain: Chain, transaction: Transaction, sources: Sequence[TransactionOutput], options: SubmitOptions) -> None:
    """Raises ``ArcProblem`` with the first thing that is wrong."""
    _check_size(chain, transaction)
    _check_inputs(transaction, sources)
    _check_outputs(transaction)
    _check_push_only(transaction)
    _check_frozen(chain, transaction)
    if not options.skip_fee:
        check_fee(chain, transaction, sources)
    if not options.skip_scripts:
        _check_scripts(chain, transaction, sources)
    if options.cumulative_fee:
        _check_cumulative_fee(chain, transaction)


def _check_size(chain: Chain, transaction: Transaction) -> None:
    if transaction.size() < SMALLEST_TRANSACTION:
        raise ArcProblem(463, f"transaction size is below {SMALLEST_TRANSACTION} bytes", transaction.txid())
    if transaction.size() > chain.policy.max_transaction_size:
        raise ArcProblem(474, f"transaction size is above {chain.policy.max_transaction_size}", transaction.txid())


def _check_inputs(transaction: Transaction, sources: Sequence[TransactionOutput]) -> None:
    txid = transaction.txid()
    if not transaction.inputs:
        raise ArcProblem(462, "transaction has no inputs", txid)
    if transaction.is_coinbase or any(each.outpoint.is_null for each in transaction.inputs):
        raise ArcProblem(462, "transaction input is a coinbase input", txid)
    if len({each.outpoint for each in transaction.inputs}) < len(transaction.inputs):
        raise ArcProblem(462, "transaction spends an output twice", txid)
    incoming = sum(each.satoshis for each in sources)
    if incoming > MAX_SATOSHIS or any(each.satoshis < 0 for each in sources):
        raise ArcProblem(462, "transaction input total satoshis is too high", txid)
    if incoming < transaction.output_satoshis():
        raise ArcProblem(462, "transaction inputs are below its outputs", txid)


def _check_outputs(transaction: Transaction) -> None:
    txid = transaction.txid()
    if not transaction.outputs:
        raise ArcProblem(464, "transaction has no outputs", txid)
    for index, output in enumerate(transaction.outputs):
        if not 0 <= output.satoshis <= MAX_SATOSHIS:
            raise ArcProblem(464, f"transaction output {index} satoshis is invalid", txid)
        if is_false_return(output.locking_script) and output.satoshis != 0:
            raise ArcProblem(464, f"transaction output {index} has non 0 value op return", txid)
    if transaction.output_satoshis() > MAX_SATOSHIS:
        raise ArcProblem(464, "transaction output total satoshis is too high", txid)


def _check_push_only(transaction: Transaction) -> None:
    for index, each in enumerate(transaction.inputs):
        try:
            push_only = all(chunk.opcode <= op.OP_16 for chunk in each.unlocking_script)
        except ParseError:
            push_only = False
        if not push_only:
            raise ArcProblem(463, f"transaction input {index} unlocking script is not push only", transaction.txid())


def _check_frozen(chain: Chain, transaction: Transaction) -> None:
    for each in transaction.inputs:
        how = chain.frozen.get(each.outpoint)
        if how is not None:
            raise ArcProblem(472 if how == "consensus" else 471, f"input {each.outpoint} is frozen", transaction.txid())


def check_fee(chain: Chain, transaction: Transaction, sources: Sequence[TransactionOutput]) -> None:
    fee = sum(each.satoshis for each in sources) - transaction.output_satoshis()
    wanted = chain.policy.minimum_fee(transaction.size())
    if fee < wanted:
        extra = f"transaction fee of {fee} sat is too low - minimum expected fee is {wanted} sat"
        raise ArcProblem(465, extra, transaction.txid())


def _check_scripts(chain: Chain, transaction: Transaction, sources: Sequence[TransactionOutput]) -> None:
    for index, source in enumerate(sources):
        failure = chain.verify_input(transaction, index, source)
        if failure is not None:
            raise ArcProblem(461, f"script execution failed for input {index}: {failure}", transaction.txid())


def _check_cumulative_fee(chain: Chain, transaction: Transaction) -> None:
    """The whole of what is not mined yet must pay for itself."""
    size = fee = 0
    seen: set[str] = set()
    waiting = [transaction]
    while waiting:
        each = waiting.pop()
        if each.txid() in seen:
            continue
        seen.add(each.txid())
        size += each.size()
        fee += sum(source.satoshis for source in find_sources(chain, each)) - each.output_satoshis()
        entries = (chain.mempool.entries.get(parent.outpoint.txid) for parent in each.inputs)
        waiting.extend(entry.transaction for entry in entries if entry is not None)
    wanted = chain.policy.minimum_fee(size)
    if fee < wanted:
        extra = f"fees of {len(seen)} unmined transactions are {fee} sat - minimum expected is {wanted} sat"
        raise ArcProblem(473, extra, transaction.txid())


def check_beef(chain: Chain, beef: Beef, options: SubmitOptions) -> list[Transaction]:
    """The whole BEEF; what to submit: each unmined transaction with its sources, parents first, or a lone mined one."""
    _check_roots(chain, beef)
    unmined: list[Transaction] = []
    transactions = [each for each in map(beef.transaction, beef.txids()) if each is not None]
    for transaction in transactions:
        if beef.path_for(transaction.txid()) is not None:
            continue
        known = transaction.with_sources([_source(beef, chain, transaction, i) for i in range(len(transaction.inputs))])
        if not options.skip_all:
            check(chain, known, find_sources(chain, known), options)
        unmined.append(known)
    return unmined or transactions[-1:]


def _check_roots(chain: Chain, beef: Beef) -> None:
    try:
        roots = beef.roots()
    except ValueError as error:
        raise ArcProblem(468, str(error)) from error
    for height, root in roots.items():
        if height > chain.height or chain.header_at(height).merkle_root != root:
            raise ArcProblem(469, f"merkle root {root} is not that of block {height}")


def _source(beef: Beef, chain: Chain, transaction: Transaction, index: int) -> TransactionOutput:
    outpoint = transaction.inputs[index].outpoint
    parent = beef.transaction(outpoint.txid)
    if parent is None:
        raise ArcProblem(475, f"ancestor {outpoint.txid} is neither in the BEEF nor mined", transaction.txid())
    if outpoint.vout >= len(parent.outputs):
        raise ArcProblem(462, f"{outpoint} does not exist", transaction.txid())
    return parent.outputs[outpoint.vout]
