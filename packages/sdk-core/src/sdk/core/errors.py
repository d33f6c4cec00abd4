"""The error family every component builds on.

    SdkError                          code, retryable, to_wire()
    ├─ ParseError (ValueError)        bytes or text that do not follow their format; where, and why
    ├─ PluginError
    │  ├─ PluginNotFound (LookupError)
    │  ├─ PluginConflict
    │  └─ PluginLoadError
    ├─ ConfigurationError             a setting, file or environment that cannot work; what to do
    ├─ ServiceError                   another program, over the network
    │  ├─ ServiceUnavailable          no verdict was given; try again     (retryable)
    │  └─ ServiceRejected             it understood, and said no
    ├─ StorageError                   the database
    │  ├─ StorageBusy                 lock or serialisation lost          (retryable)
    │  ├─ StorageUnavailable          gone, full, read-only, corrupted
    │  ├─ SchemaTooNew                written by a newer release
    │  └─ NotMigrated                 the tables are missing or old
    └─ WalletError                    the WERR family of the reference wallet, by wire name
       ├─ NotImplementedByPeer        WERR_NOT_IMPLEMENTED
       ├─ InternalError               WERR_INTERNAL
       ├─ InvalidOperation            WERR_INVALID_OPERATION
       ├─ BroadcastUnavailable        WERR_BROADCAST_UNAVAILABLE          (retryable)
       ├─ InvalidParameter            WERR_INVALID_PARAMETER              (ValueError)
       ├─ MissingParameter            WERR_MISSING_PARAMETER              (ValueError)
       ├─ InvalidMerkleRoot           WERR_INVALID_MERKLE_ROOT
       ├─ BadRequest                  WERR_BAD_REQUEST
       ├─ NetworkChainMismatch        WERR_NETWORK_CHAIN
       ├─ Unauthorized                WERR_UNAUTHORIZED
       ├─ NotActive                   WERR_NOT_ACTIVE
       ├─ InsufficientFunds           WERR_INSUFFICIENT_FUNDS
       ├─ InvalidPublicKey            WERR_INVALID_PUBLIC_KEY             (ValueError)
       ├─ ReviewActions               WERR_REVIEW_ACTIONS
       ├─ InvalidHmac                 ERR_INVALID_HMAC                    it belongs to other data or another key
       ├─ InvalidSignature            ERR_INVALID_SIGNATURE               likewise
       ├─ DecryptionFailed            ERR_DECRYPTION_FAILED               (ValueError) wrong key, or altered ciphertext
       └─ RemoteWalletError           any name a peer sent that we do not know; kept as it came

Each error carries its facts as attributes and derives its message from them. ``to_wire`` gives the JSON
members of the reference (spec/wallet-stack.md §5); ``wallet_error_from_wire`` is its inverse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class SdkError(Exception):
    """Root of all errors raised on purpose by an sdk component."""

    code: ClassVar[str] = "ERR_SDK"
    retryable: ClassVar[bool] = False

    @property
    def message(self) -> str:
        return str(self)

    def to_wire(self) -> dict[str, Any]:
        """JSON members that name the error to another program."""
        return {"isError": True, "name": self.code, "message": self.message}


class ParseError(SdkError, ValueError):
    """Input that does not follow its format.

    ``what`` names the format (``"transaction"``), ``offset`` is the byte (or character) where reading failed.
    """

    code = "ERR_PARSE"

    def __init__(self, what: str, reason: str, offset: int | None = None) -> None:
        self.what = what
        self.reason = reason
        self.offset = offset
        super().__init__(what, reason, offset)

    def __str__(self) -> str:
        where = "" if self.offset is None else f" at offset {self.offset}"
        return f"invalid {self.what}{where}: {self.reason}"


class ConfigurationError(SdkError):
    """Something outside the program cannot work as configured. The message says what to do."""

    code = "ERR_CONFIGURATION"


class PluginError(SdkError):
    code = "ERR_PLUGIN"


class PluginNotFound(PluginError, LookupError):
    def __init__(self, group: str, name: str, available: Sequence[str]) -> None:
        self.group, self.name, self.available = group, name, tuple(available)
        super().__init__(group, name, self.available)

    def __str__(self) -> str:
        known = ", ".join(self.available) or "none is installed"
        return f"no plugin {self.name!r} in {self.group} (available: {known})"


class PluginConflict(PluginError):
    def __init__(self, group: str, name: str, distributions: Sequence[str]) -> None:
        self.group, self.name, self.distributions = group, name, tuple(distributions)
        super().__init__(group, name, self.distributions)

    def __str__(self) -> str:
        return f"plugin {self.name!r} of {self.group} is offered by {' and '.join(self.distributions)}; uninstall one"


class PluginLoadError(PluginError):
    """Loading raised; the cause is chained."""

    def __init__(self, group: str, name: str, distribution: str) -> None:
        self.group, self.name, self.distribution = group, name, distribution
        super().__init__(group, name, distribution)

    def __str__(self) -> str:
        cause = f": {self.__cause__!r}" if self.__cause__ is not None else ""
        return f"plugin {self.name!r} of {self.group}, from {self.distribution}, could not be loaded{cause}"


class ServiceError(SdkError):
    """Another program, reached over the network, did not do what was asked."""

    code = "ERR_SERVICE"

    def __init__(self, service: str, detail: str, *, status: int | None = None) -> None:
        self.service, self.detail, self.status = service, detail, status
        super().__init__(service, detail, status)

    def __str__(self) -> str:
        status = "" if self.status is None else f" (HTTP {self.status})"
        return f"{self.service}{status}: {self.detail}"


class ServiceUnavailable(ServiceError):
    """It gave no verdict: unreachable, timed out, overloaded, or answered nonsense. Never evidence of anything."""

    code = "ERR_SERVICE_UNAVAILABLE"
    retryable = True


class ServiceRejected(ServiceError):
    """It understood the request and refused it."""

    code = "ERR_SERVICE_REJECTED"


class StorageError(SdkError):
    code = "ERR_STORAGE"


class StorageBusy(StorageError):
    """A lock timeout or a lost serialisation race; the unit of work may be run again."""

    code = "ERR_STORAGE_BUSY"
    retryable = True


class StorageUnavailable(StorageError):
    """The database is gone, full, read-only or corrupted. The message says which and what to do."""

    code = "ERR_STORAGE_UNAVAILABLE"


class SchemaTooNew(StorageError):
    code = "ERR_SCHEMA_TOO_NEW"

    def __init__(self, component: str, found: str, known: str) -> None:
        self.component, self.found, self.known = component, found, known
        super().__init__(component, found, known)

    def __str__(self) -> str:
        return (
            f"the {self.component} tables are at revision {self.found}, which this release (head {self.known}) does "
            f"not know: they were written by a newer sdk-{self.component}; upgrade it"
        )


class NotMigrated(StorageError):
    code = "ERR_NOT_MIGRATED"

    def __init__(self, component: str, found: str | None, wanted: str) -> None:
        self.component, self.found, self.wanted = component, found, wanted
        super().__init__(component, found, wanted)

    def __str__(self) -> str:
        found = "missing" if self.found is None else f"at revision {self.found}"
        return f"the {self.component} tables are {found}, revision {self.wanted} is needed: run `sdk db upgrade`"


class WalletError(SdkError):
    """Base of the WERR family; ``code`` is the wire's ``name``."""

    code = "WERR_UNKNOWN"
    number: ClassVar[int | None] = None  # the byte code of the BRC-100 binary wire, where one exists

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or self.default_message())

    @classmethod
    def default_message(cls) -> str:
        return "An unknown error has occurred."

    def members(self) -> dict[str, Any]:
        """What the wire carries beside name and message."""
        return {}

    def to_wire(self) -> dict[str, Any]:
        wire = super().to_wire()
        if self.number is not None:
            wire["code"] = self.number
        wire.update((name, value) for name, value in self.members().items() if value is not None)
        return wire


class NotImplementedByPeer(WalletError):
    code = "WERR_NOT_IMPLEMENTED"

    @classmethod
    def default_message(cls) -> str:
        return "Not implemented."


class InternalError(WalletError):
    code = "WERR_INTERNAL"

    @classmethod
    def default_message(cls) -> str:
        return "An internal error has occurred."


class InvalidOperation(WalletError):
    code = "WERR_INVALID_OPERATION"

    @classmethod
    def default_message(cls) -> str:
        return "An invalid operation was requested."


class BroadcastUnavailable(WalletError):
    code = "WERR_BROADCAST_UNAVAILABLE"
    retryable = True

    @classmethod
    def default_message(cls) -> str:
        return "Unable to broadcast transaction at this time."


class InvalidParameter(WalletError, ValueError):
    """``parameter`` names the field as the caller wrote it, e.g. ``outputs[2].satoshis``."""

    code = "WERR_INVALID_PARAMETER"
    number = 6

    def __init__(self, parameter: str, must_be: str, message: str | None = None) -> None:
        self.parameter, self.must_be = parameter, must_be
        super().__init__(message or f"The {parameter} parameter must be {must_be}")

    def members(self) -> dict[str, Any]:
        return {"parameter": self.parameter}


class MissingParameter(WalletError, ValueError):
    code = "WERR_MISSING_PARAMETER"

    def __init__(self, parameter: str, message: str | None = None) -> None:
        self.parameter = parameter
        super().__init__(message or f"The required {parameter} parameter is missing.")

    def members(self) -> dict[str, Any]:
        return {"parameter": self.parameter}


class InvalidMerkleRoot(WalletError):
    code = "WERR_INVALID_MERKLE_ROOT"
    number = 8

    def __init__(
        self,
        block_hash: str,
        block_height: int,
        merkle_root: str,
        txid: str | None = None,
        message: str | None = None,
    ) -> None:
        self.block_hash, self.block_height, self.merkle_root, self.txid = block_hash, block_height, merkle_root, txid
        suffix = f" with txid {txid}" if txid else ""
        super().__init__(
            message or f"Invalid merkleRoot {merkle_root} for block {block_hash} at height {block_height}{suffix}"
        )

    def members(self) -> dict[str, Any]:
        return {
            "blockHash": self.block_hash,
            "blockHeight": self.block_height,
            "merkleRoot": self.merkle_root,
            "txid": self.txid,
        }


class BadRequest(WalletError):
    code = "WERR_BAD_REQUEST"

    @classmethod
    def default_message(cls) -> str:
        return "The request is invalid."


class NetworkChainMismatch(WalletError):
    code = "WERR_NETWORK_CHAIN"

    @classmethod
    def default_message(cls) -> str:
        return "Configured network chain is invalid or does not match across services."


class Unauthorized(WalletError):
    code = "WERR_UNAUTHORIZED"

    @classmethod
    def default_message(cls) -> str:
        return "Access is denied due to an authorization error."


class NotActive(WalletError):
    code = "WERR_NOT_ACTIVE"

    @classmethod
    def default_message(cls) -> str:
        return (
            "WalletStorageManager is not accessing user's active storage or there are conflicting active stores "
            "configured."
        )


class InsufficientFunds(WalletError):
    """Both numbers include the fee (R36)."""

    code = "WERR_INSUFFICIENT_FUNDS"
    number = 7

    def __init__(self, total_satoshis_needed: int, more_satoshis_needed: int, message: str | None = None) -> None:
        self.total_satoshis_needed, self.more_satoshis_needed = total_satoshis_needed, more_satoshis_needed
        super().__init__(
            message
            or "Insufficient funds in the available inputs to cover the cost of the required outputs and the "
            f"transaction fee ({more_satoshis_needed} more satoshis are needed, for a total of "
            f"{total_satoshis_needed}), plus whatever would be required in order to pay the fee to unlock and spend "
            "the outputs used to provide the additional satoshis."
        )

    def members(self) -> dict[str, Any]:
        return {
            "totalSatoshisNeeded": self.total_satoshis_needed,
            "moreSatoshisNeeded": self.more_satoshis_needed,
        }


class InvalidPublicKey(WalletError, ValueError):
    code = "WERR_INVALID_PUBLIC_KEY"

    def __init__(self, key: str, message: str | None = None) -> None:
        self.key = key
        super().__init__(message or f'The provided public key "{key}" is invalid or malformed.')

    def members(self) -> dict[str, Any]:
        return {"key": self.key}


class ReviewActions(WalletError):
    """Results of an undelayed action that the caller must look at.

    ``review_action_results`` and ``send_with_results`` are wire dictionaries; ``tx`` is AtomicBEEF.
    """

    code = "WERR_REVIEW_ACTIONS"
    number = 5

    def __init__(
        self,
        review_action_results: Sequence[Mapping[str, Any]],
        send_with_results: Sequence[Mapping[str, Any]],
        txid: str | None = None,
        tx: bytes | None = None,
        no_send_change: Sequence[str] | None = None,
        message: str | None = None,
    ) -> None:
        self.review_action_results = tuple(review_action_results)
        self.send_with_results = tuple(send_with_results)
        self.txid, self.tx = txid, tx
        self.no_send_change = None if no_send_change is None else tuple(no_send_change)
        super().__init__(message)

    @classmethod
    def default_message(cls) -> str:
        return "Undelayed createAction or signAction results require review."

    def members(self) -> dict[str, Any]:
        return {
            "reviewActionResults": [dict(each) for each in self.review_action_results],
            "sendWithResults": [dict(each) for each in self.send_with_results],
            "txid": self.txid,
            "tx": None if self.tx is None else list(self.tx),
            "noSendChange": None if self.no_send_change is None else list(self.no_send_change),
        }


class InvalidHmac(WalletError):
    code = "ERR_INVALID_HMAC"
    number = 3

    @classmethod
    def default_message(cls) -> str:
        return "The HMAC does not belong to this data and key."


class InvalidSignature(WalletError):
    code = "ERR_INVALID_SIGNATURE"
    number = 4

    @classmethod
    def default_message(cls) -> str:
        return "The signature does not belong to this data and key."


class DecryptionFailed(WalletError, ValueError):
    code = "ERR_DECRYPTION_FAILED"

    @classmethod
    def default_message(cls) -> str:
        return "The ciphertext was not made with this key, or has been altered."


class RemoteWalletError(WalletError):
    """An error with a name this release does not know; it goes on as it came."""

    def __init__(self, name: str, message: str, extra: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self.extra = dict(extra or {})
        super().__init__(message)

    def to_wire(self) -> dict[str, Any]:
        return {**self.extra, "isError": True, "name": self.name, "message": self.message}


_PLAIN: tuple[type[WalletError], ...] = (
    NotImplementedByPeer,
    InternalError,
    InvalidOperation,
    BroadcastUnavailable,
    BadRequest,
    NetworkChainMismatch,
    Unauthorized,
    NotActive,
    InvalidHmac,
    InvalidSignature,
    DecryptionFailed,
)
_BY_NAME: dict[str, type[WalletError]] = {each.code: each for each in _PLAIN}
_BY_NUMBER: dict[Any, type[WalletError]] = {each.number: each for each in (InvalidHmac, InvalidSignature)}
"""Of these no wire name is agreed on; the number is."""


def wallet_error_from_wire(wire: Mapping[str, Any]) -> WalletError:
    """Rebuild the typed error from its wire members; an unknown name becomes ``RemoteWalletError``."""
    name = str(wire.get("name", "WERR_UNKNOWN"))
    message = str(wire.get("message", ""))
    number = wire.get("code")
    plain = _BY_NAME.get(name) or (_BY_NUMBER.get(number) if isinstance(number, int) else None)
    if plain is not None:
        return plain(message or None)
    try:
        structured = _structured_from_wire(name, message, wire)
    except (KeyError, TypeError, ValueError):
        structured = None  # a known name with members missing or malformed: keep all of it
    if structured is not None:
        return structured
    return RemoteWalletError(name, message, {k: v for k, v in wire.items() if k not in ("isError", "name", "message")})


def _structured_from_wire(name: str, message: str, wire: Mapping[str, Any]) -> WalletError | None:
    if name == InvalidParameter.code:
        return InvalidParameter(str(wire["parameter"]), "", message or None)
    if name == MissingParameter.code:
        return MissingParameter(str(wire["parameter"]), message or None)
    if name == InvalidPublicKey.code:
        return InvalidPublicKey(str(wire["key"]), message or None)
    if name == InsufficientFunds.code:
        return InsufficientFunds(int(wire["totalSatoshisNeeded"]), int(wire["moreSatoshisNeeded"]), message or None)
    if name == InvalidMerkleRoot.code:
        return InvalidMerkleRoot(
            str(wire["blockHash"]), int(wire["blockHeight"]), str(wire["merkleRoot"]), wire.get("txid"), message or None
        )
    if name == ReviewActions.code:
        tx = wire.get("tx")
        return ReviewActions(
            wire["reviewActionResults"],
            wire["sendWithResults"],
            wire.get("txid"),
            None if tx is None else bytes(tx),
            wire.get("noSendChange"),
            message or None,
        )
    return None
