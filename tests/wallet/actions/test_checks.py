"""What a storage may answer to createAction, and what it may not (R79, CVE-2026-56744)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.beef import Beef
from sdk.core.script import Script
from sdk.core.storage import StorageCreateActionInput, StorageCreateActionOutput, StorageCreateActionResult
from sdk.core.transaction import OutPoint, Transaction, TransactionInput, TransactionOutput
from sdk.core.wallet import MAX_POSSIBLE_SATOSHIS, validate_create_action
from sdk.wallet.actions.checks import Bounds, check_answer
from sdk.wallet.actions.coins import OwnCoins
from sdk.wallet.actions.drafting import complete, draft_action
from sdk.wallet.actions.errors import StorageAnswerError
from sdk.wallet.keys import KeyDeriver, PrivateKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from sdk.core.wallet import ValidCreateActionArgs

COINS = OwnCoins(KeyDeriver(PrivateKey.from_int(7)))
STRANGER = OwnCoins(KeyDeriver(PrivateKey.from_int(8)))
ASKED_LOCK = "76a914" + "ab" * 20 + "88ac"
TOKEN = Transaction(
    1, [TransactionInput(OutPoint("dd" * 32, 0), Script())], [TransactionOutput(500, Script(b"\x51"))], 0
)


def key(number: int, coins: OwnCoins = COINS) -> tuple[str, str, str]:
    prefix, suffix = "cHJl", f"c3Vm{number:04d}"
    return prefix, suffix, coins.key(prefix, suffix).locking_script.to_hex()


def asked(satoshis: tuple[int, ...] = (1000, 2000), **options: Any) -> ValidCreateActionArgs:
    return validate_create_action(
        {
            "description": "an action",
            "inputs": [{"outpoint": f"{TOKEN.txid()}.0", "inputDescription": "a token", "unlockingScript": ""}],
            "outputs": [
                {"lockingScript": ASKED_LOCK, "satoshis": each, "outputDescription": "a payment"} for each in satoshis
            ],
            "options": options,
        }
    )


def coin(vin: int, satoshis: int, coins: OwnCoins = COINS) -> tuple[StorageCreateActionInput, Transaction]:
    prefix, suffix, script = key(vin, coins)
    parent = Transaction(
        1,
        [TransactionInput(OutPoint(f"{vin:064x}", 0), Script())],
        [TransactionOutput(satoshis, Script.from_hex(script))],
        0,
    )
    given = StorageCreateActionInput(
        vin=vin,
        source_txid=parent.txid(),
        source_vout=0,
        source_satoshis=satoshis,
        source_locking_script=script,
        unlocking_script_length=107,
        provided_by="storage",
        type="P2PKH",
        derivation_prefix=prefix,
        derivation_suffix=suffix,
    )
    return given, parent


def honest(args: ValidCreateActionArgs) -> StorageCreateActionResult:
    """The token, one coin of 10,000, what was asked, and two change outputs; a fee of 1."""
    given, parent = coin(1, 10_000)
    beef = Beef()
    beef.merge_transaction(TOKEN)
    beef.merge_transaction(parent)
    token = StorageCreateActionInput(
        vin=0,
        source_txid=TOKEN.txid(),
        source_vout=0,
        source_satoshis=500,
        source_locking_script="51",
        unlocking_script_length=0,
        provided_by="you",
        type="custom",
    )
    paid = sum(each.satoshis for each in args.outputs)
    outputs = [
        StorageCreateActionOutput(
            vout=vout, satoshis=each.satoshis, locking_script=each.locking_script, provided_by="you"
        )
        for vout, each in enumerate(args.outputs)
    ]
    change = [100, 10_500 - paid - 100 - 1]
    outputs += [
        StorageCreateActionOutput(
            vout=len(args.outputs) + number,
            satoshis=amount,
            locking_script="",
            provided_by="storage",
            purpose="change",
            derivation_suffix=f"Y2hh{number:04d}",
        )
        for number, amount in enumerate(change)
    ]  # fmt: skip
    return StorageCreateActionResult(
        input_beef=beef.to_bytes(),
        inputs=(token, given),
        outputs=tuple(outputs),
        derivation_prefix="cHJlZml4",
        version=1,
        lock_time=0,
        reference="cmVmZXJlbmNl",
    )


def test_an_honest_answer_becomes_the_transaction_that_was_asked_for() -> None:
    args = asked()
    draft = draft_action(args, honest(args), COINS, Bounds())
    transaction = complete(draft, {})
    assert transaction.fee() == draft.fee == 1
    assert [each.satoshis for each in transaction.outputs[:2]] == [1000, 2000]
    assert set(draft.coins) == {1}
    changed = [COINS.key("cHJlZml4", f"Y2hh{number:04d}").locking_script for number in range(2)]
    assert [each.locking_script for each in transaction.outputs[2:]] == changed


def with_output(number: int, **change: Any) -> Callable[[StorageCreateActionResult], StorageCreateActionResult]:
    def mutate(answer: StorageCreateActionResult) -> StorageCreateActionResult:
        outputs = [each.model_copy(update=change) if i == number else each for i, each in enumerate(answer.outputs)]
        return answer.model_copy(update={"outputs": tuple(outputs)})

    return mutate


def with_input(number: int, **change: Any) -> Callable[[StorageCreateActionResult], StorageCreateActionResult]:
    def mutate(answer: StorageCreateActionResult) -> StorageCreateActionResult:
        inputs = [each.model_copy(update=change) if i == number else each for i, each in enumerate(answer.inputs)]
        return answer.model_copy(update={"inputs": tuple(inputs)})

    return mutate


def with_members(**change: Any) -> Callable[[StorageCreateActionResult], StorageCreateActionResult]:
    return lambda answer: answer.model_copy(update=change)


def adding(**members: Any) -> Callable[[StorageCreateActionResult], StorageCreateActionResult]:
    def mutate(answer: StorageCreateActionResult) -> StorageCreateActionResult:
        more = StorageCreateActionOutput(
            **{"vout": 4, "satoshis": 0, "locking_script": "51", "provided_by": "storage", **members}
        )
        return answer.model_copy(update={"outputs": (*answer.outputs, more)})

    return mutate


def another_coin(
    coins: OwnCoins = COINS, **change: Any
) -> Callable[[StorageCreateActionResult], StorageCreateActionResult]:
    def mutate(answer: StorageCreateActionResult) -> StorageCreateActionResult:
        given, _ = coin(2, 1, coins)
        return answer.model_copy(update={"inputs": (*answer.inputs, given.model_copy(update=change))})

    return mutate


LIES = {
    "another payee": with_output(0, locking_script="76a914" + "cd" * 20 + "88ac"),
    "one satoshi less": with_output(0, satoshis=999),
    "one satoshi more": with_output(0, satoshis=1001),
    "an output left out": lambda a: a.model_copy(
        update={"outputs": tuple(e.model_copy(update={"vout": i}) for i, e in enumerate(a.outputs[1:]))}
    ),
    "an output called storage's": with_output(0, provided_by="storage"),
    "an output called change": with_output(0, provided_by="storage", purpose="change"),
    "change with a script of its own": with_output(2, locking_script="51"),
    "change without a derivation": with_output(2, derivation_suffix=None),
    "change with an empty derivation": with_output(2, derivation_suffix=""),
    "change of nothing": with_output(2, satoshis=0),
    "two change outputs with one key": with_output(2, derivation_suffix="Y2hh0001"),
    "more change than there is": with_output(3, satoshis=50_000),
    "change kept back as a fee": with_output(3, satoshis=1),
    "an output of nobody's": adding(),
    "an output in your name": adding(provided_by="you"),
    "a commission beyond bounds": adding(purpose="service-charge", satoshis=1001),
    "an output number twice": with_output(1, vout=0),
    "a gap in the output numbers": with_output(3, vout=9),
    "a gap in the input numbers": with_input(1, vin=5),
    "the token left out": lambda a: a.model_copy(update={"inputs": (a.inputs[1].model_copy(update={"vin": 0}),)}),
    "another token": with_input(0, source_vout=1),
    "the token called storage's": with_input(0, provided_by="storage"),
    "a coin in your name": with_input(1, provided_by="you"),
    "a coin of another type": with_input(1, type="custom"),
    "a coin without a derivation": with_input(1, derivation_prefix=None),
    "a coin of another derivation": with_input(1, derivation_suffix="AAAA"),
    "a coin of another sender": with_input(1, sender_identity_key=STRANGER.identity_key),
    "a coin of a sender that is none": with_input(1, sender_identity_key="02" + "00" * 32),
    "a stranger's coin": another_coin(STRANGER),
    "a coin worth less than it says": with_input(1, source_satoshis=9_999),
    "a coin worth more than it says": with_input(1, source_satoshis=10_001),
    "a coin spent twice": lambda a: a.model_copy(
        update={"inputs": (*a.inputs, a.inputs[1].model_copy(update={"vin": 2}))}
    ),
    "an output its parent lacks": with_input(1, source_vout=7),
    "another version": with_members(version=2),
    "another lock time": with_members(lock_time=5),
    "held change in an action that is sent": with_members(no_send_change_output_vouts=(2,)),
    "a BEEF that is none": with_members(input_beef=b"\x01\x02\x03\x04"),
    "a prefix that changes every change key": with_input(1, derivation_prefix="AAAA"),
}


@pytest.mark.parametrize("name", LIES)
def test_r79_every_lie_is_refused_before_anything_is_signed(name: str) -> None:
    args = asked()
    with pytest.raises(StorageAnswerError) as caught:
        draft_action(args, LIES[name](honest(args)), COINS, Bounds())
    assert caught.value.code == "WERR_INTERNAL"
    assert caught.value.member


def test_one_commission_within_bounds_is_paid() -> None:
    args = asked()
    answer = adding(purpose="service-charge", satoshis=50)(with_output(3, satoshis=7349)(honest(args)))
    assert check_answer(args, answer, Bounds(commission=50)).fee == 1
    with pytest.raises(StorageAnswerError, match="commission"):
        check_answer(args, answer, Bounds(commission=49))
    twice = adding(vout=5, purpose="service-charge", satoshis=1)(answer)
    with pytest.raises(StorageAnswerError, match="not asked for"):
        check_answer(args, twice, Bounds(commission=50))


def test_held_change_must_be_change() -> None:
    args = asked(noSend=True)
    assert check_answer(args, with_members(no_send_change_output_vouts=(2, 3))(honest(args)), Bounds())
    for vouts in ((0,), (9,), (-1,)):
        with pytest.raises(StorageAnswerError, match="noSendChange"):
            check_answer(args, with_members(no_send_change_output_vouts=vouts)(honest(args)), Bounds())


def test_all_that_is_left_goes_to_one_output_of_the_callers() -> None:
    args = asked((1000, MAX_POSSIBLE_SATOSHIS))
    base = honest(asked((1000, 2000)))
    swept = base.model_copy(update={"outputs": base.outputs[:2]})
    assert check_answer(args, with_output(1, satoshis=9499)(swept), Bounds()).fee == 1
    with pytest.raises(StorageAnswerError, match="byte for byte"):
        check_answer(args, with_output(1, satoshis=9499, locking_script="51")(swept), Bounds())


def test_r37_what_a_caller_gives_away_is_his_own_doing() -> None:
    """Inputs and outputs all of his making: any fee is what he asked for."""
    args = asked((1,))
    answer = honest(args)
    own = answer.model_copy(update={"inputs": answer.inputs[:1], "outputs": answer.outputs[:1]})
    assert check_answer(args, own, Bounds(fee_rate=1, fee_slack=0)).fee == 499


def test_order_may_change_only_where_it_may_be_shuffled() -> None:
    def swap(answer: StorageCreateActionResult) -> StorageCreateActionResult:
        return with_output(1, vout=2)(with_output(2, vout=1)(answer))

    shuffled = asked()
    assert check_answer(shuffled, swap(honest(shuffled)), Bounds())
    ordered = asked(randomizeOutputs=False)
    assert check_answer(ordered, honest(ordered), Bounds())
    with pytest.raises(StorageAnswerError, match="order"):
        check_answer(ordered, swap(honest(ordered)), Bounds())


@given(st.permutations(range(4)), st.lists(st.integers(1, 2000), min_size=2, max_size=2))
def test_whatever_the_order_satoshis_are_conserved(order: list[int], satoshis: list[int]) -> None:
    args = asked((satoshis[0], satoshis[1]))
    answer = honest(args)
    outputs = tuple(each.model_copy(update={"vout": order[i]}) for i, each in enumerate(answer.outputs))
    transaction = complete(draft_action(args, answer.model_copy(update={"outputs": outputs}), COINS, Bounds()), {})
    assert transaction.input_satoshis() == transaction.output_satoshis() + 1
    assert sorted(each.satoshis for each in transaction.outputs) == sorted(each.satoshis for each in outputs)
