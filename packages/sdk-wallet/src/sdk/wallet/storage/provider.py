"""``StorageProvider``: the wallet storage port over one database. Units do the work; this is what stands between them.

Every unit is given the user's id, taken from the identity key alone (R65). The network is asked before a unit or after
it, never inside one (R26).
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sdk.core.chain import ChainParameters
from sdk.core.errors import (
    InvalidOperation,
    InvalidParameter,
    NotMigrated,
    ParseError,
    ReviewActions,
    Unauthorized,
)
from sdk.core.storage import (
    ReviewActionResult,
    StorageProcessActionResults,
)
from sdk.core.transaction import Transaction
from sdk.core.wallet import (
    INVALID_CHANGE,
    SET_CHANGE_PARAMS,
    AbortActionArgs,
    AbortActionResult,
    ListOutputsResult,
    SendWithResult,
)
from sdk.service.migrations import ensure_current
from sdk.wallet.errors import CoinContention
from sdk.wallet.funding import FeeModel
from sdk.wallet.lifecycle import evidence as by
from sdk.wallet.lifecycle import predicates
from sdk.wallet.services.ports import TxState
from sdk.wallet.storage import list_outputs as listing
from sdk.wallet.storage.abort_action import abort_action, find_abortable
from sdk.wallet.storage.ancestry import assemble
from sdk.wallet.storage.create_action import CreateRequest, create_action, find_pending
from sdk.wallet.storage.incoming import read_input_beef
from sdk.wallet.storage.inputs import InputEvidence
from sdk.wallet.storage.list_actions import list_actions, wants_abort, wants_unfail
from sdk.wallet.storage.migrations import MIGRATIONS
from sdk.wallet.storage.names import set_change_params
from sdk.wallet.storage.network_review import NetworkReview
from sdk.wallet.storage.process_action import ProcessRequest, process_action
from sdk.wallet.storage.users import find_or_insert_user, find_user, initialize, read_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sdk.core.ports import Clock, Entropy
    from sdk.core.storage import (
        AuthId,
        FindOrInsertUserResult,
        PendingAction,
        StorageCreateActionResult,
        StorageInternalizeActionResult,
        StorageProcessActionArgs,
        TableSettings,
    )
    from sdk.core.wallet import (
        InternalizeActionArgs,
        ListActionsResult,
        RelinquishOutputArgs,
        ValidCreateActionArgs,
        ValidListActionsArgs,
        ValidListOutputsArgs,
    )
    from sdk.core.wallet.fields import SendWithStatus
    from sdk.service.database import Database
    from sdk.wallet.broadcasting.broadcaster import Broadcaster
    from sdk.wallet.broadcasting.settlement import SendOutcome
    from sdk.wallet.lifecycle import RequestStatus
    from sdk.wallet.services.ports import WalletServices
    from sdk.wallet.storage.ancestry import Material
    from sdk.wallet.storage.create_action import Created
    from sdk.wallet.storage.process_action import Processed
    from sdk.wallet.storage.users import StorageIdentity

CONTENTION_TRIES = 3
SPREAD = 8
BATCH_BYTES = 16
MAX_CACHED_USERS = 10_000


@dataclass(frozen=True, slots=True)
class StorageOptions:
    fees: FeeModel = field(default_factory=FeeModel)


class StorageProvider:
    """Satisfies ``sdk.core.storage.WalletStorage``. Without ``services`` and ``broadcaster`` nothing can be sent or
    verified: such calls raise ``InvalidOperation``; queued actions wait for a monitor."""

    def __init__(
        self,
        database: Database,
        identity: StorageIdentity,
        *,
        clock: Clock,
        entropy: Entropy,
        services: WalletServices | None = None,
        broadcaster: Broadcaster | None = None,
        options: StorageOptions | None = None,
    ) -> None:
        self._database, self._identity = database, identity
        self._clock, self._entropy = clock, entropy
        self._services, self._broadcaster = services, broadcaster
        self._options = options or StorageOptions()
        self._chain = ChainParameters.named(identity.chain)
        self._settings: TableSettings | None = None
        self._users: dict[str, int] = {}

    # settings and users

    async def make_available(self) -> TableSettings:
        """Raises ``NotMigrated``, ``SchemaTooNew`` or ``NetworkChainMismatch``."""
        if self._settings is None:
            await ensure_current(self._database, MIGRATIONS)
            self._settings = await self._database.write(initialize, self._identity, self._clock())
        return self._settings

    async def get_settings(self) -> TableSettings:
        settings = self._settings or await self._database.read(read_settings)
        if settings is None:
            raise NotMigrated("wallet", None, MIGRATIONS.head())
        return settings

    async def find_or_insert_user(self, identity_key: str) -> FindOrInsertUserResult:
        settings = await self.make_available()
        return await self._database.write(find_or_insert_user, identity_key, settings.storage_identity_key)

    async def _user_id(self, auth: AuthId) -> int:
        """The id that goes with the identity key; a claimed one must agree (R65)."""
        user_id = self._users.get(auth.identity_key)
        if user_id is None:
            user = await self._database.read(find_user, auth.identity_key)
            if user is None:
                raise Unauthorized(f"there is no user {auth.identity_key} here: call findOrInsertUser first")
            if len(self._users) >= MAX_CACHED_USERS:
                self._users.clear()
            user_id = self._users[auth.identity_key] = user.user_id
        if auth.user_id is not None and auth.user_id != user_id:
            raise Unauthorized("the user id is not that of the identity key")
        return user_id

    # actions

    async def create_action(self, auth: AuthId, args: ValidCreateActionArgs) -> StorageCreateActionResult:
        user_id = await self._user_id(auth)
        if args.is_test_werr_review_actions:
            raise ReviewActions([{"txid": "", "status": "serviceError"}], [])
        if not args.is_new_tx:
            raise InvalidParameter("args", "a new transaction; to send held ones call processAction")
        request = CreateRequest(
            user_id=user_id,
            args=args,
            fees=self._options.fees,
            now=self._clock(),
            entropy=self._entropy,
            evidence=await self._evidence(args),
            spread=1 if self._database.dialect == "sqlite" else SPREAD,
        )
        created = await self._create(request)
        if args.options.return_txid_only and not args.is_sign_action:
            return created.result
        beef = assemble(created.material, created.source_txids, frozenset(args.options.known_txids))
        return created.result.model_copy(update={"input_beef": beef.to_bytes()})

    async def _create(self, request: CreateRequest) -> Created:
        for attempt in range(1, CONTENTION_TRIES + 1):
            try:
                return await self._database.write(create_action, request)
            except CoinContention:
                if attempt == CONTENTION_TRIES:
                    raise
                await asyncio.sleep(self._entropy(1)[0] / 255 * 0.02 * attempt)
        raise AssertionError("unreachable")

    async def _evidence(self, args: ValidCreateActionArgs) -> InputEvidence:
        if args.input_beef is None:
            return InputEvidence()
        services = self._required_services("verify inputBEEF")
        return await read_input_beef(
            args, self._database, services.chain_tracker, self._chain, services.get_header_for_height
        )

    async def find_pending_action(self, auth: AuthId, reference: str) -> PendingAction | None:
        found = await self._database.read(find_pending, await self._user_id(auth), reference)
        if found is None:
            return None
        pending, material = found
        return pending.model_copy(update={"result": _with_input_beef(pending.result, material)})

    async def process_action(self, auth: AuthId, args: StorageProcessActionArgs) -> StorageProcessActionResults:
        user_id = await self._user_id(auth)
        transaction = _signed_transaction(args) if args.is_new_tx else None
        holds = args.is_no_send and not args.send_with
        if not holds and not args.is_delayed:
            self._required_broadcaster()
        if transaction is not None and not holds:
            await self._check_final(transaction)
        settings = await self.make_available()
        request = ProcessRequest(
            user_id=user_id,
            reference=args.reference,
            transaction=transaction,
            is_no_send=args.is_no_send,
            is_delayed=args.is_delayed,
            send_with=args.send_with,
            batch=b64encode(self._entropy(BATCH_BYTES)).decode(),
            max_output_script=settings.max_output_script,
            now=self._clock(),
        )
        processed = await self._database.write(process_action, request)
        if holds:
            return StorageProcessActionResults()
        if args.is_delayed:
            return StorageProcessActionResults(send_with_results=_queued(processed))
        return _posted(processed, await self._send(processed.to_send))

    async def _send(self, txids: Sequence[str]) -> list[SendOutcome]:
        return await self._required_broadcaster().send(txids) if txids else []

    async def _check_final(self, transaction: Transaction) -> None:
        """What no block may hold yet is not sent; the caller can hold it with noSend (R8)."""
        if transaction.lock_time == 0 or self._services is None:
            return
        if transaction.is_final(await self._services.get_height() + 1, int(self._clock().timestamp())):
            return
        raise InvalidOperation(f"the transaction is locked until {transaction.lock_time}: send it then, or use noSend")

    async def internalize_action(self, auth: AuthId, args: InternalizeActionArgs) -> StorageInternalizeActionResult:
        from sdk.wallet.storage.internalize import InternalizeContext, internalize_action

        services = self._required_services("verify a received transaction")
        context = InternalizeContext(
            database=self._database,
            chain_tracker=services.chain_tracker,
            broadcaster=self._required_broadcaster(),
            clock=self._clock,
            entropy=self._entropy,
            header_for_height=services.get_header_for_height,
        )
        return await internalize_action(context, await self._user_id(auth), args)

    async def abort_action(self, auth: AuthId, args: AbortActionArgs) -> AbortActionResult:
        """A signed action is given up only if the network does not know it; without an answer that is noted (R45)."""
        user_id = await self._user_id(auth)
        found = await self._database.read(find_abortable, user_id, args.reference)
        checked = found.txid is None or await self._unknown_to_network(found.txid)
        evidence = by.UserAbort(checked=checked)
        await self._database.write(abort_action, user_id, found.reference, evidence, self._clock())
        return AbortActionResult()

    async def _unknown_to_network(self, txid: str) -> bool:
        """``False`` if nobody could say. Raises ``InvalidOperation`` if it is known there."""
        if self._services is None:
            return False
        status = (await self._services.get_statuses([txid]))[txid]
        if status.state in (TxState.MINED, TxState.KNOWN):
            raise InvalidOperation(f"transaction {txid} is {status.state.value} to the network and cannot be aborted")
        return status.state is TxState.UNKNOWN

    # lists

    async def list_actions(self, auth: AuthId, args: ValidListActionsArgs) -> ListActionsResult:
        """Afterwards held ones are given up, if the labels ask for it and the network does not know them, or failed
        ones revived that it does know (§1.19)."""
        result = await self._database.read(list_actions, await self._user_id(auth), args)
        if wants_abort(args.labels):
            for each in result.actions:
                with suppress(InvalidOperation):  # it is on its way, or already gone
                    await self.abort_action(auth, AbortActionArgs(reference=each.txid))
        if wants_unfail(args.labels):
            await self._review("review failed actions").revive([each.txid for each in result.actions if each.txid])
        return result

    async def list_outputs(self, auth: AuthId, args: ValidListOutputsArgs) -> ListOutputsResult:
        if args.basket == SET_CHANGE_PARAMS:
            wanted, minimum = listing.change_params(args.tags)
            await self._database.write(set_change_params, await self._user_id(auth), wanted, minimum, self._clock())
            return ListOutputsResult(total_outputs=0, outputs=())
        if args.basket == INVALID_CHANGE:
            return await self._review("review outputs").spent_outputs(await self._user_id(auth), args)
        result, material = await self._database.read(listing.list_outputs, await self._user_id(auth), args)
        if material is None or not result.outputs:
            return result
        return listing.with_beef(result, material, args.known_txids)

    async def balance(self, auth: AuthId, basket: str = "default") -> int:
        """Satoshis of the spendable outputs of ``basket``."""
        return await self._database.read(listing.balance_of, await self._user_id(auth), basket)

    async def relinquish_output(self, auth: AuthId, args: RelinquishOutputArgs) -> int:
        return await self._database.write(listing.relinquish_output, await self._user_id(auth), args, self._clock())

    async def destroy(self) -> None:
        """The database belongs to whoever opened it."""

    def _review(self, purpose: str) -> NetworkReview:
        return NetworkReview(self._database, self._required_services(purpose), self._clock)

    def _required_services(self, purpose: str) -> WalletServices:
        if self._services is None:
            raise InvalidOperation(f"this storage has no network services, which it needs to {purpose}")
        return self._services

    def _required_broadcaster(self) -> Broadcaster:
        if self._broadcaster is None:
            raise InvalidOperation("this storage has no network services to send with: use acceptDelayedBroadcast")
        return self._broadcaster


def _signed_transaction(args: StorageProcessActionArgs) -> Transaction:
    for name, value in (("reference", args.reference), ("txid", args.txid), ("rawTx", args.raw_tx)):
        if value is None:
            raise InvalidParameter(name, "present for a new transaction")
    assert args.raw_tx is not None
    try:
        transaction = Transaction.from_bytes(args.raw_tx)
    except ParseError as error:
        raise InvalidParameter("rawTx", f"a transaction ({error})") from error
    if transaction.txid() != args.txid:
        raise InvalidParameter("txid", f"that of rawTx, {transaction.txid()}")
    return transaction


def _with_input_beef(result: StorageCreateActionResult, material: Material) -> StorageCreateActionResult:
    beef = assemble(material, [each.source_txid for each in result.inputs])
    return result.model_copy(update={"input_beef": beef.to_bytes()})


def _settled(processed: Processed) -> list[SendWithResult]:
    return [SendWithResult(txid=txid, status=_send_with_word(status)) for txid, status in processed.settled]


def _queued(processed: Processed) -> tuple[SendWithResult, ...]:
    return (*(SendWithResult(txid=txid, status="sending") for txid in processed.to_send), *_settled(processed))


def _posted(processed: Processed, outcomes: Iterable[SendOutcome]) -> StorageProcessActionResults:
    sent, reviews = [], []
    for each in outcomes:
        sent.append(SendWithResult(txid=each.txid, status=_send_with_word(each.status)))
        reviews.append(
            ReviewActionResult(
                txid=each.txid,
                status=each.result,
                competing_txs=each.competing_txids or None,
            )
        )
    return StorageProcessActionResults(
        send_with_results=(*sent, *_settled(processed)), not_delayed_results=tuple(reviews)
    )


def _send_with_word(status: RequestStatus) -> SendWithStatus:
    """The reference's three words: accepted (or mined), still trying, failed."""
    if predicates.accepted_unproven(status) or predicates.final_mined(status):
        return "unproven"
    return "failed" if predicates.terminal_failure(status) else "sending"
