"""Whether storage answered createAction with what was asked, and nothing else (R79, CVE-2026-56744).

Storage may be a stranger's server. Before anything is signed: every requested output is there with its own bytes and
satoshis, change goes to keys we derive, at most one bounded commission is added, the inputs are those asked for and
coins of ours, no satoshi is lost, and the fee is bounded. Pure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdk.core.wallet.fields import MAX_POSSIBLE_SATOSHIS, MAX_SATOSHIS
from sdk.wallet.actions.errors import StorageAnswerError
from sdk.wallet.funding.fees import Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sdk.core.storage import (
        StorageCreateActionInput,
        StorageCreateActionOutput,
        StorageCreateActionResult,
    )
    from sdk.core.wallet import ValidCreateActionArgs

MAX_CHANGE_OUTPUTS = 64
"""Ours and the reference's storage make at most 8; a little room for others."""
_COMMISSION_PURPOSES = ("storage-commission", "service-charge")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a storage may cost. ``fee_rate`` in satoshis per 1,000 bytes; ``fee_slack`` for change too small to make."""

    commission: int = 1_000
    fee_rate: int = 1_000
    fee_slack: int = 1_000


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """Storage's answer in the order of the transaction: by vin and by vout."""

    inputs: tuple[StorageCreateActionInput, ...]
    outputs: tuple[StorageCreateActionOutput, ...]
    fee: int


def check_answer(args: ValidCreateActionArgs, answer: StorageCreateActionResult, bounds: Bounds) -> CheckedAnswer:
    """Raises ``StorageAnswerError`` with the member that is not as asked."""
    if (answer.version, answer.lock_time) != (args.version, args.lock_time):
        raise StorageAnswerError("version or lockTime", "is not the one asked for")
    inputs = _checked_inputs(args, answer)
    outputs = _checked_outputs(args, answer, bounds)
    _check_no_send_change(args, answer, outputs)
    return CheckedAnswer(inputs, outputs, _checked_fee(args, inputs, outputs, bounds))


def is_change(output: StorageCreateActionOutput) -> bool:
    return output.provided_by == "storage" and output.purpose == "change"


def _checked_inputs(
    args: ValidCreateActionArgs, answer: StorageCreateActionResult
) -> tuple[StorageCreateActionInput, ...]:
    inputs = tuple(sorted(answer.inputs, key=lambda each: each.vin))
    if [each.vin for each in inputs] != list(range(len(inputs))):
        raise StorageAnswerError("inputs[].vin", "does not number the inputs from 0 without a gap")
    if len(inputs) < len(args.inputs):
        raise StorageAnswerError("inputs", "lacks inputs that were asked for")
    seen: set[tuple[str, int]] = set()
    for each in inputs:
        outpoint = (each.source_txid, each.source_vout)
        if outpoint in seen:
            raise StorageAnswerError(f"inputs[{each.vin}]", "spends an output twice")
        seen.add(outpoint)
        if each.vin < len(args.inputs):
            _check_asked_input(args, each)
        else:
            _check_added_input(each)
    return inputs


def _check_asked_input(args: ValidCreateActionArgs, given: StorageCreateActionInput) -> None:
    asked = args.inputs[given.vin]
    if (given.source_txid, given.source_vout) != (asked.outpoint.txid, asked.outpoint.vout):
        raise StorageAnswerError(f"inputs[{given.vin}]", f"is not {asked.outpoint}, which was asked for")
    if given.provided_by == "storage":
        raise StorageAnswerError(f"inputs[{given.vin}].providedBy", "says that storage provided what was asked for")


def _check_added_input(given: StorageCreateActionInput) -> None:
    where = f"inputs[{given.vin}]"
    if given.provided_by != "storage" or given.type != "P2PKH":
        raise StorageAnswerError(where, "is neither asked for nor a coin of the wallet")
    if not given.derivation_prefix or not given.derivation_suffix:
        raise StorageAnswerError(where, "lacks the derivation of its key")


def _checked_outputs(
    args: ValidCreateActionArgs, answer: StorageCreateActionResult, bounds: Bounds
) -> tuple[StorageCreateActionOutput, ...]:
    outputs = tuple(sorted(answer.outputs, key=lambda each: each.vout))
    if [each.vout for each in outputs] != list(range(len(outputs))):
        raise StorageAnswerError("outputs[].vout", "does not number the outputs from 0 without a gap")
    _check_asked_outputs(args, outputs)
    change = [each for each in outputs if is_change(each)]
    if len(change) > MAX_CHANGE_OUTPUTS:
        raise StorageAnswerError("outputs", f"makes {len(change)} change outputs")
    if any(not each.derivation_suffix or each.satoshis < 1 for each in change):
        raise StorageAnswerError("outputs", "makes change without satoshis or without a derivation")
    if len({each.derivation_suffix for each in change}) != len(change):
        raise StorageAnswerError("outputs", "makes two change outputs with one key")
    added = [each for each in outputs if each.provided_by != "you" and not is_change(each)]
    if len(added) > 1 or any(each.purpose not in _COMMISSION_PURPOSES for each in added):
        raise StorageAnswerError("outputs", "adds outputs that were not asked for")
    if added and added[0].satoshis > bounds.commission:
        raise StorageAnswerError(
            f"outputs[{added[0].vout}]",
            f"takes a commission of {added[0].satoshis} satoshis, above {bounds.commission}",
        )
    return outputs


def _check_asked_outputs(args: ValidCreateActionArgs, outputs: Sequence[StorageCreateActionOutput]) -> None:
    """As many of each as were asked for, byte for byte; in the order given unless it may be shuffled."""
    given = [each for each in outputs if each.provided_by == "you"]
    maximum = [each for each in args.outputs if each.satoshis == MAX_POSSIBLE_SATOSHIS]
    if len(maximum) > 1:
        raise StorageAnswerError("outputs", "cannot give all that is left to more than one output")
    wanted = Counter((each.locking_script, each.satoshis) for each in args.outputs)
    found = Counter((each.locking_script, each.satoshis) for each in given)
    missing, surplus = wanted - found, found - wanted
    if maximum and missing:
        script = maximum[0].locking_script
        if list(missing.elements()) == [(script, MAX_POSSIBLE_SATOSHIS)] and [s for s, _ in surplus.elements()] == [
            script
        ]:
            missing, surplus = Counter(), Counter()
    if missing or surplus:
        raise StorageAnswerError("outputs", "are not the outputs that were asked for, byte for byte")
    if not args.options.randomize_outputs:
        for position, asked in enumerate(args.outputs):
            if outputs[position].provided_by != "you" or outputs[position].locking_script != asked.locking_script:
                raise StorageAnswerError(f"outputs[{position}]", "is not in the order asked for")


def _check_no_send_change(
    args: ValidCreateActionArgs, answer: StorageCreateActionResult, outputs: Sequence[StorageCreateActionOutput]
) -> None:
    named = answer.no_send_change_output_vouts
    if named and (not args.is_no_send or any(not 0 <= v < len(outputs) or not is_change(outputs[v]) for v in named)):
        raise StorageAnswerError("noSendChangeOutputVouts", "names outputs that are not change of this action")


def _checked_fee(
    args: ValidCreateActionArgs,
    inputs: Sequence[StorageCreateActionInput],
    outputs: Sequence[StorageCreateActionOutput],
    bounds: Bounds,
) -> int:
    brought = sum(each.source_satoshis for each in inputs)
    spent = sum(each.satoshis for each in outputs)
    if spent > MAX_SATOSHIS or brought > MAX_SATOSHIS:
        raise StorageAnswerError("satoshis", "exceed the supply")
    fee = brought - spent
    if fee < 0:
        raise StorageAnswerError("outputs", f"hold {-fee} satoshis more than the inputs bring")
    if len(inputs) == len(args.inputs) and len(outputs) == len(args.outputs):
        return fee  # all of it is the caller's own doing (R37)
    size = Shape.of([each.unlocking_script_length for each in inputs], [_script_size(each) for each in outputs]).size()
    bound = -(-size * bounds.fee_rate // 1000) + bounds.fee_slack
    if fee > bound:
        raise StorageAnswerError("outputs", f"leave a fee of {fee} satoshis for {size} bytes, above {bound}")
    return fee


def _script_size(output: StorageCreateActionOutput) -> int:
    return 25 if is_change(output) else len(output.locking_script) // 2
