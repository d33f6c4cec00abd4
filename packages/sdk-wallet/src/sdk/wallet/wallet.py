"""``Wallet``: BRC-100 over one identity, one storage and the services around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sdk.core.chain import ChainParameters
from sdk.core.errors import InvalidOperation, InvalidParameter, NetworkChainMismatch
from sdk.core.storage import AuthId
from sdk.core.wallet import (
    FAILED_ACTIONS,
    INVALID_CHANGE,
    NO_SEND_ACTIONS,
    SET_CHANGE_PARAMS,
    WALLET_BALANCE,
    AuthenticatedResult,
    GetHeaderArgs,
    GetHeaderResult,
    GetHeightResult,
    GetNetworkResult,
    GetVersionResult,
    ListActionsArgs,
    ListActionsResult,
    RelinquishOutputResult,
    validate_list_actions,
    validate_list_outputs,
    validate_originator,
    validate_relinquish_output,
)
from sdk.service.logging import get_logger
from sdk.wallet.actions import create, internalize, sign
from sdk.wallet.actions.checks import Bounds
from sdk.wallet.actions.coins import OwnCoins
from sdk.wallet.actions.context import ActionContext
from sdk.wallet.keys import ProtoWallet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.core.storage import WalletStorage
    from sdk.core.wallet import (
        AbortActionArgs,
        AbortActionResult,
        Action,
        CreateActionArgs,
        CreateActionResult,
        CreateHmacArgs,
        CreateHmacResult,
        CreateSignatureArgs,
        CreateSignatureResult,
        DecryptArgs,
        DecryptResult,
        EncryptArgs,
        EncryptResult,
        GetPublicKeyArgs,
        GetPublicKeyResult,
        InternalizeActionArgs,
        InternalizeActionResult,
        ListOutputsArgs,
        ListOutputsResult,
        NoArgs,
        RelinquishOutputArgs,
        RevealCounterpartyKeyLinkageArgs,
        RevealCounterpartyKeyLinkageResult,
        RevealSpecificKeyLinkageArgs,
        RevealSpecificKeyLinkageResult,
        SignActionArgs,
        SignActionResult,
        VerifyHmacArgs,
        VerifyHmacResult,
        VerifySignatureArgs,
        VerifySignatureResult,
        WalletOutput,
    )
    from sdk.wallet.keys import KeyDeriver, PrivateKey
    from sdk.wallet.keys.proto_wallet import ProtoWallet as KeyOperations
    from sdk.wallet.services.ports import WalletServices

    Members = Mapping[str, Any]

VERSION = "wallet-brc100-1.0.0"
UTXOS_A_PAGE = 1_000
log = get_logger(__name__)


class BalanceAndUtxos(NamedTuple):
    """Satoshis, and the outputs they are in."""

    total: int
    utxos: tuple[WalletOutput, ...]


class Wallet:
    """Satisfies as much of ``sdk.core.wallet.WalletInterface`` as this release has: everything but certificates.

    ``await Wallet.open(...)`` rather than the constructor. ``sends_delayed`` says whether a monitor works on the same
    storage; without one the wallet warns when it opens, and refuses delayed sends (R23).
    """

    def __init__(
        self, keys: KeyOperations, context: ActionContext, services: WalletServices | None, chain: ChainParameters
    ) -> None:
        self._keys, self._context, self._services, self._chain = keys, context, services, chain

    @classmethod
    async def open(
        cls,
        root_key: PrivateKey | KeyDeriver,
        storage: WalletStorage,
        *,
        chain: str,
        services: WalletServices | None = None,
        sends_delayed: bool = False,
        bounds: Bounds | None = None,
    ) -> Wallet:
        """Find or make the user in ``storage``. Raises ``NetworkChainMismatch`` if it serves another chain."""
        try:
            parameters = ChainParameters.named(chain)
        except ValueError as error:
            raise InvalidParameter("chain", "the name of a network", str(error)) from None
        keys = ProtoWallet(root_key)
        settings = await storage.make_available()
        if settings.chain != chain:
            raise NetworkChainMismatch(f"the storage {settings.storage_name!r} is for {settings.chain}, not {chain}")
        found = await storage.find_or_insert_user(keys.identity_key)
        if not sends_delayed:
            log.warning(
                "this wallet has no monitor: it sends at once or not at all, and proofs arrive only on request",
                identity=keys.identity_key,
            )
        context = ActionContext(
            storage=storage,
            auth=AuthId(identity_key=keys.identity_key, user_id=found.user.user_id, is_active=True),
            coins=OwnCoins(keys.key_deriver),
            chain_tracker=None if services is None else services.chain_tracker,
            sends_delayed=sends_delayed,
            chain=parameters,
            bounds=bounds or Bounds(),
        )
        return cls(keys, context, services, parameters)

    @property
    def identity_key(self) -> str:
        """66 hex digits."""
        return self._keys.identity_key

    @property
    def storage(self) -> WalletStorage:
        return self._context.storage

    @property
    def services(self) -> WalletServices | None:
        return self._services

    # actions

    async def create_action(
        self, args: CreateActionArgs | Members, originator: str | None = None
    ) -> CreateActionResult:
        validate_originator(originator)
        return await create.create_action(self._context, args)

    async def sign_action(self, args: SignActionArgs | Members, originator: str | None = None) -> SignActionResult:
        validate_originator(originator)
        return await sign.sign_action(self._context, args)

    async def abort_action(self, args: AbortActionArgs | Members, originator: str | None = None) -> AbortActionResult:
        validate_originator(originator)
        return await sign.abort_action(self._context, args)

    async def internalize_action(
        self, args: InternalizeActionArgs | Members, originator: str | None = None
    ) -> InternalizeActionResult:
        validate_originator(originator)
        return await internalize.internalize_action(self._context, args)

    async def list_actions(self, args: ListActionsArgs | Members, originator: str | None = None) -> ListActionsResult:
        """Outputs come without custom instructions, as the reference gives them."""
        validate_originator(originator)
        result = await self._context.storage.list_actions(self._context.auth, validate_list_actions(args))
        return ListActionsResult(
            total_actions=result.total_actions, actions=tuple(map(_without_instructions, result.actions))
        )

    # outputs

    async def list_outputs(self, args: ListOutputsArgs | Members, originator: str | None = None) -> ListOutputsResult:
        validate_originator(originator)
        return await self._context.storage.list_outputs(self._context.auth, validate_list_outputs(args))

    async def relinquish_output(
        self, args: RelinquishOutputArgs | Members, originator: str | None = None
    ) -> RelinquishOutputResult:
        validate_originator(originator)
        valid = validate_relinquish_output(args)
        if await self._context.storage.relinquish_output(self._context.auth, valid) < 1:
            raise InvalidParameter("output", f"an output of basket {valid.basket!r}")
        return RelinquishOutputResult()

    async def balance(self, basket: str = "default") -> int:
        """Satoshis of the spendable outputs of ``basket``."""
        args = validate_list_outputs({"basket": basket, "tags": [WALLET_BALANCE]})
        return (await self._context.storage.list_outputs(self._context.auth, args)).total_outputs

    # special operations (§1.19), as the reference's wallet offers them

    async def balance_and_utxos(self, basket: str = "default") -> BalanceAndUtxos:
        """The spendable outputs of ``basket`` and their sum, read in pages of 1,000."""
        utxos: list[WalletOutput] = []
        while len(page := await self._outputs_after(basket, len(utxos))) == UTXOS_A_PAGE:
            utxos += page
        utxos += page
        return BalanceAndUtxos(sum(each.satoshis for each in utxos), tuple(utxos))

    async def review_spendable_outputs(
        self, *, everywhere: bool = False, release: bool = False
    ) -> tuple[WalletOutput, ...]:
        """Spendable outputs of ``default`` (or of every basket) that the network calls spent. With ``release`` they may
        fund nothing more; where no service can say, an output stays as it is (R28).
        """
        tags = [*(["all"] if everywhere else []), *(["release"] if release else [])]
        return (await self.list_outputs({"basket": INVALID_CHANGE, "tags": tags})).outputs

    async def set_wallet_change_params(self, count: int, satoshis: int) -> None:
        """How many change outputs ``default`` would like to hold, and of how many satoshis at least."""
        await self.list_outputs({"basket": SET_CHANGE_PARAMS, "tags": [str(count), str(satoshis)]})

    async def list_no_send_actions(
        self, args: ListActionsArgs | Members | None = None, *, abort: bool = False
    ) -> ListActionsResult:
        """Actions held back by ``noSend``; with ``abort`` those the network does not know are given up."""
        return await self._list_special(args, NO_SEND_ACTIONS, ["abort"] if abort else [])

    async def list_failed_actions(
        self, args: ListActionsArgs | Members | None = None, *, unfail: bool = False
    ) -> ListActionsResult:
        """Actions that failed; with ``unfail`` those that the network has after all live again (R56)."""
        return await self._list_special(args, FAILED_ACTIONS, ["unfail"] if unfail else [])

    async def _list_special(
        self, args: ListActionsArgs | Members | None, label: str, orders: list[str]
    ) -> ListActionsResult:
        given = ListActionsArgs.of({"labels": []} if args is None else args)
        return await self.list_actions(given.model_copy(update={"labels": (*given.labels, label, *orders)}))

    async def _outputs_after(self, basket: str, offset: int) -> tuple[WalletOutput, ...]:
        args = {"basket": basket, "limit": UTXOS_A_PAGE, "offset": offset}
        return (await self.list_outputs(args)).outputs

    # keys

    async def get_public_key(
        self, args: GetPublicKeyArgs | Members, originator: str | None = None
    ) -> GetPublicKeyResult:
        return await self._key_operations(args, originator).get_public_key(args)

    async def reveal_counterparty_key_linkage(
        self, args: RevealCounterpartyKeyLinkageArgs | Members, originator: str | None = None
    ) -> RevealCounterpartyKeyLinkageResult:
        return await self._key_operations(args, originator).reveal_counterparty_key_linkage(args)

    async def reveal_specific_key_linkage(
        self, args: RevealSpecificKeyLinkageArgs | Members, originator: str | None = None
    ) -> RevealSpecificKeyLinkageResult:
        return await self._key_operations(args, originator).reveal_specific_key_linkage(args)

    async def encrypt(self, args: EncryptArgs | Members, originator: str | None = None) -> EncryptResult:
        return await self._key_operations(args, originator).encrypt(args)

    async def decrypt(self, args: DecryptArgs | Members, originator: str | None = None) -> DecryptResult:
        return await self._key_operations(args, originator).decrypt(args)

    async def create_hmac(self, args: CreateHmacArgs | Members, originator: str | None = None) -> CreateHmacResult:
        return await self._key_operations(args, originator).create_hmac(args)

    async def verify_hmac(self, args: VerifyHmacArgs | Members, originator: str | None = None) -> VerifyHmacResult:
        return await self._key_operations(args, originator).verify_hmac(args)

    async def create_signature(
        self, args: CreateSignatureArgs | Members, originator: str | None = None
    ) -> CreateSignatureResult:
        return await self._key_operations(args, originator).create_signature(args)

    async def verify_signature(
        self, args: VerifySignatureArgs | Members, originator: str | None = None
    ) -> VerifySignatureResult:
        return await self._key_operations(args, originator).verify_signature(args)

    # state of the world

    async def is_authenticated(
        self, args: NoArgs | Members | None = None, originator: str | None = None
    ) -> AuthenticatedResult:
        """A wallet that is open has its key."""
        validate_originator(originator)
        return AuthenticatedResult()

    async def wait_for_authentication(
        self, args: NoArgs | Members | None = None, originator: str | None = None
    ) -> AuthenticatedResult:
        validate_originator(originator)
        return AuthenticatedResult()

    async def get_height(self, args: NoArgs | Members | None = None, originator: str | None = None) -> GetHeightResult:
        validate_originator(originator)
        return GetHeightResult(height=await self._required_services().get_height())

    async def get_header_for_height(
        self, args: GetHeaderArgs | Members, originator: str | None = None
    ) -> GetHeaderResult:
        validate_originator(originator)
        header = await self._required_services().get_header_for_height(GetHeaderArgs.of(args).height)
        return GetHeaderResult(header=header.to_hex())

    async def get_network(
        self, args: NoArgs | Members | None = None, originator: str | None = None
    ) -> GetNetworkResult:
        validate_originator(originator)
        return GetNetworkResult.of({"network": self._chain.wallet_network})

    async def get_version(
        self, args: NoArgs | Members | None = None, originator: str | None = None
    ) -> GetVersionResult:
        validate_originator(originator)
        return GetVersionResult(version=VERSION)

    # inside

    def _key_operations(self, args: Any, originator: str | None) -> KeyOperations:
        """Privileged keys are of another root, which this wallet does not have."""
        validate_originator(originator)
        privileged = args.get("privileged") if hasattr(args, "get") else getattr(args, "privileged", False)
        if privileged:
            raise InvalidOperation(
                "Privileged operations require the Wallet to be configured with a privileged key manager."
            )
        return self._keys

    def _required_services(self) -> WalletServices:
        if self._services is None:
            raise InvalidOperation("this wallet has no network services: open it with some to ask for headers")
        return self._services


def _without_instructions(action: Action) -> Action:
    if not action.outputs or all(each.custom_instructions is None for each in action.outputs):
        return action
    bare = tuple(each.model_copy(update={"custom_instructions": None}) for each in action.outputs)
    return action.model_copy(update={"outputs": bare})
