"""From BRC-100 arguments to what storage is asked: defaults filled in, flags derived, cross-field rules checked.

The ``Valid*`` shapes travel on the storage wire under the reference's JSON names (spec/wallet-stack.md §1.2, §1.6).
Each ``validate_*`` takes the model or a mapping, in camelCase or snake_case, and raises ``InvalidParameter`` with the
path of the field as the caller wrote it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from sdk.core.errors import InvalidParameter
from sdk.core.wallet.actions import (
    AbortActionArgs,
    CreateActionArgs,
    CreateActionOutput,
    InternalizeActionArgs,
    ListActionsArgs,
    SignActionArgs,
)
from sdk.core.wallet.fields import (
    MAX_POSSIBLE_SATOSHIS,
    MAX_SATOSHIS,
    AtMostItems,
    Beef,
    Description,
    Flag,
    Hex,
    Identifier,
    Identifiers,
    Limit,
    QueryMode,
    ScriptLength,
    SignedOffset,
    StopAtFirst,
    TrustSelf,
    Txid,
    Txids,
    Uint32,
    byte_length,
)
from sdk.core.wallet.model import WalletModel
from sdk.core.wallet.outputs import ListOutputsArgs, RelinquishOutputArgs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sdk.core.wallet.actions import (
        CreateActionInput,
        CreateActionOptions,
        SignActionOptions,
    )

WALLET_BALANCE = "893b7646de0e1c9f741bd6e9169b76a8847ae34adef7bef1e6a285371206d2e8"
"""Basket or tag that asks listOutputs for the balance (§1.19)."""
SET_CHANGE_PARAMS = "a4979d28ced8581e9c1c92f1001cc7cb3aabf8ea32e10888ad898f0a509a3929"
"""Basket that asks listOutputs to set how much change is wanted: two tags, the count and the least satoshis of each."""
INVALID_CHANGE = "5a76fd430a311f8bc0553859061710a4475c19fed46e2ff95969aa918e612e57"
"""Basket that asks listOutputs for spendable outputs that the network calls spent: those of ``default``, or of every
basket with the tag ``all``; with the tag ``release`` they may fund nothing more."""
NO_SEND_ACTIONS = "ac6b20a3bb320adafecd637b25c84b792ad828d3aa510d05dc841481f664277d"
"""Label that asks listActions for those held back; with the label ``abort`` they are given up."""
FAILED_ACTIONS = "97d4eb1e49215e3374cc2c1939a7c43a55e95c7427bf2d45ed63e3b4e0c88153"
"""Label that asks listActions for those that failed, which it leaves out otherwise; with the label ``unfail`` those
that the network has live again."""
THROW_REVIEW_ACTIONS = "a496e747fc3ad5fabdd4ae8f91184e71f87539bd3d962aa2548942faaaf0047a"
"""Label that asks for a synthetic ``ReviewActions`` (§1.19)."""
_BALANCE_OF = "balance "  # BRC-112

_ORIGINATOR_PART = re.compile(r"[^.\s]{1,63}")


class WireOutPoint(WalletModel):
    """An outpoint as the storage wire has it: an object of two members. ``str()`` is its text."""

    txid: Txid
    vout: Uint32

    @classmethod
    def parsed(cls, checked_text: str) -> WireOutPoint:
        """From text that already passed as an outpoint."""
        txid, _, vout = checked_text.partition(".")
        return cls.model_construct(txid=txid, vout=int(vout))

    def __str__(self) -> str:
        return f"{self.txid}.{self.vout}"


class ValidCreateActionInput(WalletModel):
    """``unlocking_script_length`` is in bytes, always set; ``unlocking_script`` stays on the client's side."""

    outpoint: WireOutPoint
    input_description: Description
    unlocking_script: Hex | None = None
    unlocking_script_length: ScriptLength
    sequence_number: Uint32 = 0xFFFFFFFF


class ValidCreateActionOptions(WalletModel):
    sign_and_process: Flag = True
    accept_delayed_broadcast: Flag = True
    trust_self: TrustSelf | None = None
    known_txids: Txids = ()
    return_txid_only: Flag = Field(
        default=False, validation_alias="returnTXIDOnly", serialization_alias="returnTXIDOnly"
    )
    no_send: Flag = False
    no_send_change: Annotated[tuple[WireOutPoint, ...], StopAtFirst, AtMostItems] = ()
    send_with: Txids = ()
    randomize_outputs: Flag = True


class ValidCreateActionArgs(WalletModel):
    """What storage needs to build a transaction.

    *new*: there is one to build. *remix*: it has neither inputs nor outputs of the caller's. *sign action*: the caller
    signs it later. *send with*: held transactions are sent as well. *delayed*: sending is left to the monitor.
    """

    description: Description
    input_beef: Beef | None = Field(default=None, validation_alias="inputBEEF", serialization_alias="inputBEEF")
    inputs: Annotated[tuple[ValidCreateActionInput, ...], StopAtFirst, AtMostItems] = ()
    outputs: Annotated[tuple[CreateActionOutput, ...], StopAtFirst, AtMostItems] = ()
    lock_time: Uint32 = 0
    version: Uint32 = 1
    labels: Identifiers = ()
    options: ValidCreateActionOptions = ValidCreateActionOptions()
    is_send_with: Flag
    is_delayed: Flag
    is_no_send: Flag
    is_new_tx: Flag
    is_remix_change: Flag
    is_sign_action: Flag
    include_all_source_transactions: Flag = True
    is_test_werr_review_actions: Flag = False

    def for_storage(self) -> ValidCreateActionArgs:
        """The same without unlocking scripts: storage needs their length only."""
        if not any(each.unlocking_script for each in self.inputs):
            return self
        bare = tuple(each.model_copy(update={"unlocking_script": None}) for each in self.inputs)
        return self.model_copy(update={"inputs": bare})


class ValidListActionsArgs(ListActionsArgs):
    """Every member has a value."""


class ValidListOutputsArgs(WalletModel):
    basket: Identifier
    tags: Identifiers = ()
    tag_query_mode: QueryMode = "any"
    include_locking_scripts: Flag = False
    include_transactions: Flag = False
    include_custom_instructions: Flag = False
    include_tags: Flag = False
    include_labels: Flag = False
    limit: Limit = 10
    offset: SignedOffset = 0
    seek_permission: Flag = True
    known_txids: Txids = ()


def validate_create_action(
    args: CreateActionArgs | Mapping[str, Any], *, include_all_source_transactions: bool = True
) -> ValidCreateActionArgs:
    args = CreateActionArgs.of(args)
    options = args.options
    _check_total(args.outputs)
    inputs = tuple(_valid_input(position, each) for position, each in enumerate(args.inputs))
    if len(inputs) > 1:
        _check_distinct("inputs[{}].outpoint", (each.outpoint for each in args.inputs))
    if options.no_send_change:
        _check_no_send_change(options)
    is_send_with = bool(options.send_with)
    is_remix = not args.inputs and not args.outputs and not is_send_with
    is_new = is_remix or bool(args.inputs or args.outputs)
    return ValidCreateActionArgs.model_construct(
        description=args.description,
        input_beef=args.input_beef,
        inputs=inputs,
        outputs=args.outputs,
        lock_time=args.lock_time,
        version=args.version,
        labels=_unique(args.labels),
        options=_valid_options(options),
        is_send_with=is_send_with,
        is_delayed=options.accept_delayed_broadcast,
        is_no_send=options.no_send,
        is_new_tx=is_new,
        is_remix_change=is_remix,
        is_sign_action=is_new and (not options.sign_and_process or any(i.unlocking_script is None for i in inputs)),
        include_all_source_transactions=include_all_source_transactions,
        is_test_werr_review_actions=THROW_REVIEW_ACTIONS in args.labels,
    )


def validate_sign_action(args: SignActionArgs | Mapping[str, Any]) -> SignActionArgs:
    return SignActionArgs.of(args)


def validate_abort_action(args: AbortActionArgs | Mapping[str, Any]) -> AbortActionArgs:
    return AbortActionArgs.of(args)


def validate_list_actions(args: ListActionsArgs | Mapping[str, Any]) -> ValidListActionsArgs:
    args = ListActionsArgs.of(args)
    return ValidListActionsArgs.model_construct(**{**dict(args), "labels": _unique(args.labels)})


def validate_list_outputs(
    args: ListOutputsArgs | Mapping[str, Any], known_txids: Sequence[str] = ()
) -> ValidListOutputsArgs:
    """A basket ``balance <name>`` becomes ``<name>`` with the balance tag (BRC-112)."""
    args = ListOutputsArgs.of(args)
    basket, tags = args.basket, _unique(args.tags)
    if basket.startswith(_BALANCE_OF) and basket != _BALANCE_OF.strip():
        basket, tags = basket.removeprefix(_BALANCE_OF).strip(), (*tags, WALLET_BALANCE)
    return ValidListOutputsArgs.model_construct(
        basket=basket,
        tags=tags,
        tag_query_mode=args.tag_query_mode,
        include_locking_scripts=args.include == "locking scripts",
        include_transactions=args.include == "entire transactions",
        include_custom_instructions=args.include_custom_instructions,
        include_tags=args.include_tags,
        include_labels=args.include_labels,
        limit=args.limit,
        offset=args.offset,
        seek_permission=args.seek_permission,
        known_txids=tuple(known_txids),
    )


def validate_relinquish_output(args: RelinquishOutputArgs | Mapping[str, Any]) -> RelinquishOutputArgs:
    return RelinquishOutputArgs.of(args)


def validate_internalize_action(args: InternalizeActionArgs | Mapping[str, Any]) -> InternalizeActionArgs:
    """Each output once, with the remittance of its protocol and no other; never into ``default`` by insertion (R48)."""
    args = InternalizeActionArgs.of(args)
    if not args.outputs:
        raise InvalidParameter("outputs", "a list of at least one output")
    _check_distinct("outputs[{}].outputIndex", (each.output_index for each in args.outputs))
    for position, each in enumerate(args.outputs):
        path, payment, insertion = f"outputs[{position}]", each.payment_remittance, each.insertion_remittance
        if each.protocol == "wallet payment":
            _check_remittance(path, "paymentRemittance", payment, "insertionRemittance", insertion)
        else:
            _check_remittance(path, "insertionRemittance", insertion, "paymentRemittance", payment)
        if insertion is not None and insertion.basket == "default":
            must = "a basket other than 'default', which holds the wallet's change"
            raise InvalidParameter(f"{path}.insertionRemittance.basket", must)
    return args


def validate_originator(originator: str | None) -> str | None:
    """A domain name: at most 250 bytes, each part 1 to 63 bytes. Trimmed and lower-cased."""
    if originator is None:
        return None
    if not isinstance(originator, str) or len(originator) > 1000:
        raise InvalidParameter("originator", "a domain name of at most 250 bytes")
    text = originator.strip().lower()
    parts = text.split(".")
    if not 1 <= byte_length(text) <= 250:
        raise InvalidParameter("originator", "a domain name of at most 250 bytes")
    if any(_ORIGINATOR_PART.fullmatch(part) is None or byte_length(part) > 63 for part in parts):
        raise InvalidParameter("originator", "a domain name, each part of it 1 to 63 bytes")
    return text


def merge_sign_options(given: SignActionOptions, prior: ValidCreateActionOptions) -> ValidCreateActionOptions:
    """signAction keeps what createAction was told unless it is told otherwise (R77)."""
    update: dict[str, Any] = {name: value for name, value in given if value is not None}
    return prior.model_copy(update=update) if update else prior


def _valid_input(position: int, given: CreateActionInput) -> ValidCreateActionInput:
    script, length = given.unlocking_script, given.unlocking_script_length
    path = f"inputs[{position}]"
    if script is not None:
        if length is not None and length != len(script) // 2:
            raise InvalidParameter(f"{path}.unlockingScriptLength", "the length in bytes of unlockingScript, or absent")
        length = len(script) // 2
    if length is None:
        raise InvalidParameter(f"{path}.unlockingScriptLength", "present, unless unlockingScript is")
    return ValidCreateActionInput.model_construct(
        outpoint=WireOutPoint.parsed(given.outpoint),
        input_description=given.input_description,
        unlocking_script=script,
        unlocking_script_length=length,
        sequence_number=given.sequence_number,
    )


def _valid_options(options: CreateActionOptions) -> ValidCreateActionOptions:
    return ValidCreateActionOptions.model_construct(
        sign_and_process=options.sign_and_process,
        accept_delayed_broadcast=options.accept_delayed_broadcast,
        trust_self=options.trust_self,
        known_txids=options.known_txids,
        return_txid_only=options.return_txid_only,
        no_send=options.no_send,
        no_send_change=tuple(map(WireOutPoint.parsed, options.no_send_change)),
        send_with=options.send_with,
        randomize_outputs=options.randomize_outputs,
    )


def _check_total(outputs: Sequence[CreateActionOutput]) -> None:
    total = 0
    for position, each in enumerate(outputs):
        total += 0 if each.satoshis == MAX_POSSIBLE_SATOSHIS else each.satoshis
        if total > MAX_SATOSHIS:
            raise InvalidParameter(
                f"outputs[{position}].satoshis", f"such that all outputs together are at most {MAX_SATOSHIS}"
            )


def _check_no_send_change(options: CreateActionOptions) -> None:
    if not options.no_send:
        raise InvalidParameter("options.noSendChange", "empty unless options.noSend is true")
    _check_distinct("options.noSendChange[{}]", options.no_send_change)


def _check_distinct(path: str, values: Iterable[str | int]) -> None:
    seen: set[str | int] = set()
    for position, value in enumerate(values):
        if value in seen:
            raise InvalidParameter(path.format(position), f"different from those before it; {value} is repeated")
        seen.add(value)


def _check_remittance(path: str, wanted: str, given: object, other: str, unwanted: object) -> None:
    if given is None:
        raise InvalidParameter(f"{path}.{wanted}", "present for this protocol")
    if unwanted is not None:
        raise InvalidParameter(f"{path}.{other}", "absent for this protocol")


def _unique(names: tuple[str, ...]) -> tuple[str, ...]:
    return names if len(names) < 2 else tuple(dict.fromkeys(names))
