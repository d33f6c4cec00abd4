"""The storage port: what a wallet asks of its storage, near or remote, and the shapes that travel between them.

The surface and the members are those of the reference's storage RPC (spec/wallet-stack.md §1.6), so that a remote
toolbox storage satisfies ``WalletStorage`` as ours does. Arguments come validated (``sdk.core.wallet.validate_*``).
Scripts are hex here, transactions and BEEF are bytes.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from pydantic import AfterValidator, Field, PlainSerializer

from sdk.core.wallet.actions import SendWithResult
from sdk.core.wallet.fields import Beef as BeefBytes
from sdk.core.wallet.fields import (
    Flag,
    Hex,
    PublicKeyHex,
    Reference,
    ReviewStatus,
    Satoshis,
    ScriptLength,
    Txid,
    Uint32,
)
from sdk.core.wallet.fields import PlainBytes as TransactionBytes
from sdk.core.wallet.model import WalletModel, must_be
from sdk.core.wallet.validation import ValidCreateActionArgs

if TYPE_CHECKING:
    from sdk.core.wallet import (
        AbortActionArgs,
        AbortActionResult,
        InternalizeActionArgs,
        ListActionsResult,
        ListOutputsResult,
        RelinquishOutputArgs,
        ValidListActionsArgs,
        ValidListOutputsArgs,
    )

ProvidedBy = Literal["you", "storage", "you-and-storage"]
MAX_SEND_WITH = 1_000


def _moment_text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00").removesuffix("Z") + "Z"


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise must_be("a time with its zone, such as 2026-01-02T03:04:05.678Z")
    return moment


Moment = Annotated[datetime, AfterValidator(_aware), PlainSerializer(_moment_text, return_type=str, when_used="json")]
"""ISO-8601 UTC with milliseconds and ``Z``."""


class AuthId(WalletModel):
    """On whose behalf a storage works. ``user_id`` is a hint that a server never trusts (R65)."""

    identity_key: PublicKeyHex
    user_id: int | None = None
    is_active: Flag | None = None


class TableSettings(WalletModel):
    created_at: Moment = Field(alias="created_at")
    updated_at: Moment = Field(alias="updated_at")
    storage_identity_key: str
    storage_name: str
    chain: str
    dbtype: str
    max_output_script: int


class TableUser(WalletModel):
    created_at: Moment = Field(alias="created_at")
    updated_at: Moment = Field(alias="updated_at")
    user_id: int
    identity_key: PublicKeyHex
    active_storage: str


class FindOrInsertUserResult(WalletModel):
    user: TableUser
    is_new: Flag


class StorageCreateActionInput(WalletModel):
    """One input of the transaction to build. ``provided_by`` *storage* inputs are the wallet's own coins: it derives
    the key from the derivation members; for *you* inputs the caller of createAction gives the unlocking script."""

    vin: Uint32
    source_txid: Txid
    source_vout: Uint32
    source_satoshis: Satoshis
    source_locking_script: Hex
    source_transaction: TransactionBytes | None = None
    unlocking_script_length: ScriptLength
    provided_by: ProvidedBy
    type: str
    spending_description: str | None = None
    derivation_prefix: str | None = None
    derivation_suffix: str | None = None
    sender_identity_key: str | None = None
    sequence_number: Uint32 | None = None


class StorageCreateActionOutput(WalletModel):
    """One output of the transaction to build, at ``vout``. A change output (``purpose`` *change*) comes without a
    locking script: the client derives its own from the action's prefix and this suffix (BRC-29, to self)."""

    vout: Uint32
    satoshis: Satoshis
    locking_script: Hex
    provided_by: ProvidedBy
    purpose: str | None = None
    basket: str | None = None
    tags: tuple[str, ...] = ()
    output_description: str = ""
    derivation_suffix: str | None = None
    custom_instructions: str | None = None


class StorageCreateActionResult(WalletModel):
    """``input_beef`` proves every input; ``None`` when only the txid is wanted."""

    input_beef: BeefBytes | None = None
    inputs: tuple[StorageCreateActionInput, ...]
    outputs: tuple[StorageCreateActionOutput, ...]
    no_send_change_output_vouts: tuple[int, ...] | None = None
    derivation_prefix: str
    version: Uint32
    lock_time: Uint32
    reference: Reference


class StorageProcessActionArgs(WalletModel):
    """``raw_tx`` is the signed transaction of ``reference``; ``send_with`` names held transactions to send as well."""

    is_new_tx: Flag
    is_send_with: Flag
    is_no_send: Flag
    is_delayed: Flag
    reference: Reference | None = None
    txid: Txid | None = None
    raw_tx: TransactionBytes | None = None
    send_with: Annotated[tuple[Txid, ...], Field(max_length=MAX_SEND_WITH)] = ()


class ReviewActionResult(WalletModel):
    """What the network said of a transaction that was sent at once."""

    txid: str
    status: ReviewStatus
    competing_txs: tuple[Txid, ...] | None = None
    competing_beef: BeefBytes | None = None


class StorageProcessActionResults(WalletModel):
    send_with_results: tuple[SendWithResult, ...] | None = None
    not_delayed_results: tuple[ReviewActionResult, ...] | None = None


class StorageInternalizeActionResult(WalletModel):
    """``satoshis`` is the change of the default basket's balance that this receipt made."""

    accepted: Literal[True] = True
    is_merge: Flag
    txid: Txid
    satoshis: int
    send_with_results: tuple[SendWithResult, ...] | None = None
    not_delayed_results: tuple[ReviewActionResult, ...] | None = None


class PendingAction(WalletModel):
    """An action that waits for signAction: what was asked, with the unlocking scripts given so far, and what was
    answered then."""

    args: ValidCreateActionArgs
    result: StorageCreateActionResult


class WalletStorage(Protocol):
    """Satisfied by ``sdk.wallet.storage.provider.StorageProvider`` and by a remote client of one.

    Raises the WERR family of ``sdk.core.errors`` for what the caller did wrong, ``StorageError`` for trouble of the
    database. An error leaves the storage as it was.
    """

    async def make_available(self) -> TableSettings: ...

    async def get_settings(self) -> TableSettings: ...

    async def find_or_insert_user(self, identity_key: str) -> FindOrInsertUserResult: ...

    async def create_action(self, auth: AuthId, args: ValidCreateActionArgs) -> StorageCreateActionResult:
        """Chooses and reserves inputs, records the outputs, and says what to sign.

        Raises ``InvalidParameter`` with the field, ``InsufficientFunds``, or ``ReviewActions`` when an input is
        already spent by another transaction of this user.
        """
        ...

    async def find_pending_action(self, auth: AuthId, reference: str) -> PendingAction | None:
        """What createAction asked and answered, kept by storage while the action (``is_sign_action``) is unsigned, so
        that a reference survives a restart of the client (R78). ``None`` if there is no such unsigned action of this
        user. Not part of the reference's wire."""
        ...

    async def process_action(self, auth: AuthId, args: StorageProcessActionArgs) -> StorageProcessActionResults:
        """Takes the signed transaction, if it is the one that was asked for, and sends, queues or holds it."""
        ...

    async def internalize_action(self, auth: AuthId, args: InternalizeActionArgs) -> StorageInternalizeActionResult: ...

    async def abort_action(self, auth: AuthId, args: AbortActionArgs) -> AbortActionResult: ...

    async def list_actions(self, auth: AuthId, args: ValidListActionsArgs) -> ListActionsResult: ...

    async def list_outputs(self, auth: AuthId, args: ValidListOutputsArgs) -> ListOutputsResult: ...

    async def relinquish_output(self, auth: AuthId, args: RelinquishOutputArgs) -> int:
        """Number of outputs taken out of their basket: 1, or an error."""
        ...

    async def destroy(self) -> None:
        """Closes what this object opened; nothing stored is touched."""
        ...
