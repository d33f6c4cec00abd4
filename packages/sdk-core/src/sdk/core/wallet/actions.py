"""createAction, signAction, abortAction, listActions, internalizeAction (BRC-100; spec/wallet-stack.md appendix A)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sdk.core.wallet.fields import (
    ActionStatus,
    AtMostItems,
    Base64,
    Beef,
    CustomInstructions,
    Description,
    Flag,
    Hex,
    Identifier,
    Identifiers,
    Limit,
    LockingScript,
    Offset,
    OutPointText,
    OutPointTexts,
    PublicKeyHex,
    QueryMode,
    Reference,
    ReferenceOrTxid,
    RemittanceInstructions,
    Satoshis,
    ScriptLength,
    SendWithStatus,
    StopAtFirst,
    TrustSelf,
    Txids,
    Uint32,
)
from sdk.core.wallet.model import WalletModel
from sdk.core.wire import NumberBytes


class CreateActionInput(WalletModel):
    """An output to spend. Give ``unlocking_script``, or its length in bytes to sign later with signAction."""

    outpoint: OutPointText
    input_description: Description
    unlocking_script: Hex | None = None
    unlocking_script_length: ScriptLength | None = None
    sequence_number: Uint32 = 0xFFFFFFFF


class CreateActionOutput(WalletModel):
    """An output to make; kept in ``basket`` if one is named."""

    locking_script: LockingScript
    satoshis: Satoshis
    output_description: Description
    basket: Identifier | None = None
    custom_instructions: CustomInstructions | None = None
    tags: Identifiers = ()


class CreateActionOptions(WalletModel):
    sign_and_process: Flag = True
    accept_delayed_broadcast: Flag = True
    trust_self: TrustSelf | None = None
    known_txids: Txids = ()
    return_txid_only: Flag = Field(
        default=False, validation_alias="returnTXIDOnly", serialization_alias="returnTXIDOnly"
    )
    no_send: Flag = False
    no_send_change: OutPointTexts = ()
    send_with: Txids = ()
    randomize_outputs: Flag = True


class CreateActionArgs(WalletModel):
    description: Description
    input_beef: Beef | None = Field(default=None, validation_alias="inputBEEF", serialization_alias="inputBEEF")
    inputs: Annotated[tuple[CreateActionInput, ...], StopAtFirst, AtMostItems] = ()
    outputs: Annotated[tuple[CreateActionOutput, ...], StopAtFirst, AtMostItems] = ()
    lock_time: Uint32 = 0
    version: Uint32 = 1
    labels: Identifiers = ()
    options: CreateActionOptions = CreateActionOptions()


class SendWithResult(WalletModel):
    txid: str
    status: SendWithStatus


class SignableTransaction(WalletModel):
    """``tx`` is AtomicBEEF; ``reference`` names the action in signAction and abortAction."""

    tx: NumberBytes
    reference: str


class CreateActionResult(WalletModel):
    """``tx`` is AtomicBEEF."""

    txid: str | None = None
    tx: NumberBytes | None = None
    no_send_change: tuple[str, ...] | None = None
    send_with_results: tuple[SendWithResult, ...] | None = None
    signable_transaction: SignableTransaction | None = None


class SignActionSpend(WalletModel):
    unlocking_script: Hex
    sequence_number: Uint32 | None = None


class SignActionOptions(WalletModel):
    """What is ``None`` keeps the value given to createAction (R77)."""

    accept_delayed_broadcast: Flag | None = None
    return_txid_only: Flag | None = Field(
        default=None, validation_alias="returnTXIDOnly", serialization_alias="returnTXIDOnly"
    )
    no_send: Flag | None = None
    send_with: Txids | None = None


class SignActionArgs(WalletModel):
    """``spends`` by input index."""

    spends: Annotated[dict[Annotated[int, Field(ge=0, le=0xFFFFFFFF)], SignActionSpend], AtMostItems]
    reference: Reference
    options: SignActionOptions = SignActionOptions()


class SignActionResult(WalletModel):
    """``tx`` is AtomicBEEF. ``no_send_change`` goes beyond BRC-100: only now do those outpoints have their txid."""

    txid: str | None = None
    tx: NumberBytes | None = None
    send_with_results: tuple[SendWithResult, ...] | None = None
    no_send_change: tuple[str, ...] | None = None


class AbortActionArgs(WalletModel):
    reference: ReferenceOrTxid


class AbortActionResult(WalletModel):
    aborted: Literal[True] = True


class ListActionsArgs(WalletModel):
    labels: Identifiers
    label_query_mode: QueryMode = "any"
    include_labels: Flag = False
    include_inputs: Flag = False
    include_input_source_locking_scripts: Flag = False
    include_input_unlocking_scripts: Flag = False
    include_outputs: Flag = False
    include_output_locking_scripts: Flag = False
    limit: Limit = 10
    offset: Offset = 0
    seek_permission: Flag = True


class ActionInput(WalletModel):
    source_outpoint: str
    source_satoshis: int
    input_description: str
    sequence_number: int
    source_locking_script: str | None = None
    unlocking_script: str | None = None


class ActionOutput(WalletModel):
    satoshis: int
    spendable: bool
    tags: tuple[str, ...] = ()
    output_index: int
    output_description: str
    basket: str = ""
    locking_script: str | None = None
    custom_instructions: str | None = None


class Action(WalletModel):
    """One action of the list. ``satoshis`` is what it changed in the wallet's favour; negative when it spent."""

    txid: str
    satoshis: int
    status: ActionStatus
    is_outgoing: bool
    description: str
    version: int = 1
    lock_time: int = 0
    labels: tuple[str, ...] | None = None
    inputs: tuple[ActionInput, ...] | None = None
    outputs: tuple[ActionOutput, ...] | None = None


class ListActionsResult(WalletModel):
    total_actions: int
    actions: tuple[Action, ...] = ()


class PaymentRemittance(WalletModel):
    """How a BRC-29 payment was derived."""

    derivation_prefix: Base64
    derivation_suffix: Base64
    sender_identity_key: PublicKeyHex


class InsertionRemittance(WalletModel):
    basket: Identifier
    custom_instructions: RemittanceInstructions | None = None
    tags: Identifiers = ()


class InternalizeOutput(WalletModel):
    """The remittance of the protocol must be there; one of the other protocol must not."""

    output_index: Uint32
    protocol: Literal["wallet payment", "basket insertion"]
    payment_remittance: PaymentRemittance | None = None
    insertion_remittance: InsertionRemittance | None = None


class InternalizeActionArgs(WalletModel):
    """``tx`` is AtomicBEEF."""

    tx: Beef
    outputs: Annotated[tuple[InternalizeOutput, ...], StopAtFirst, AtMostItems]
    description: Description
    labels: Identifiers = ()
    seek_permission: Flag = True


class InternalizeActionResult(WalletModel):
    """BRC-100 defines ``accepted``; the other members are the reference's additions."""

    accepted: Literal[True] = True
    is_merge: bool | None = None
    txid: str | None = None
    satoshis: int | None = None
