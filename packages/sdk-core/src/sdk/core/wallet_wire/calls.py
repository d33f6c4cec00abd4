"""The 28 calls, and their frames.

request   code (1) ‖ length of originator (1) ‖ originator ‖ arguments
answer    0 ‖ result, or an error frame
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic.alias_generators import to_snake

from sdk.core import wallet as models
from sdk.core.encodings import Reader
from sdk.core.errors import InvalidParameter, ParseError, wallet_error_from_wire
from sdk.core.wallet.fields import MAX_BEEF_BYTES
from sdk.core.wallet_wire import actions, certificates, keys
from sdk.core.wallet_wire.errors import read_error
from sdk.core.wallet_wire.forms import TEXT
from sdk.core.wallet_wire.layout import read_parts, write_parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sdk.core.wallet.model import WalletModel
    from sdk.core.wallet_wire.layout import Part

MAX_FRAME: Final = 2 * MAX_BEEF_BYTES


@dataclass(frozen=True, slots=True)
class Call:
    """``name`` is the wire's (``createAction``), ``method`` Python's (``create_action``)."""

    code: int
    name: str
    method: str
    args: type[WalletModel]
    result: type[WalletModel]
    _args: tuple[Part, ...]
    _result: tuple[Part, ...]

    def write_args(self, args: WalletModel | Mapping[str, Any]) -> bytes:
        """Raises ``InvalidParameter``."""
        return write_parts(self._args, self.args.of(args))

    def read_args(self, data: bytes, offset: int = 0) -> WalletModel:
        """Raises ``ParseError`` for bytes, ``InvalidParameter`` for values that the call does not take."""
        reader = _reader(data, f"{self.name} request", offset)
        return self.args.of(_members(self._args, reader))

    def write_result(self, result: WalletModel | Mapping[str, Any]) -> bytes:
        """The whole answer. Raises ``InvalidParameter`` for a value that the wire has no form for."""
        return b"\0" + write_parts(self._result, self.result.of(result))

    def read_result(self, frame: bytes) -> WalletModel:
        """Raises ``ParseError``, or the error that the answer carries."""
        reader = _reader(frame, f"{self.name} answer")
        number = reader.u8("error code")
        if number:
            raise wallet_error_from_wire(read_error(number, reader))
        found = _members(self._result, reader)
        try:
            return self.result.of(found)
        except InvalidParameter as error:
            raise ParseError(reader.what, str(error), 1) from None


@dataclass(frozen=True, slots=True)
class Request:
    call: Call
    args: WalletModel
    originator: str | None = None


def write_request(request: Request) -> bytes:
    """Raises ``InvalidParameter``."""
    originator = TEXT.to_bytes(request.originator or "", "originator")
    if len(originator) > 255:
        raise InvalidParameter("originator", f"at most 255 bytes, not {len(originator)}")
    call = request.call
    return bytes((call.code, len(originator))) + originator + call.write_args(request.args)


def read_request(frame: bytes) -> Request:
    """Raises ``ParseError`` for bytes, ``InvalidParameter`` for values that the call does not take."""
    call, originator, offset = read_head(frame)
    return Request(call, call.read_args(frame, offset), originator)


def read_head(frame: bytes) -> tuple[Call, str | None, int]:
    """Call and originator of a request, and where its arguments begin. Raises ``ParseError``."""
    reader = _reader(frame, "wallet request")
    code = reader.u8("call")
    call = BY_CODE.get(code)
    if call is None:
        raise reader.fail(f"there is no call {code}", 0)
    originator = TEXT.from_bytes(reader.read(reader.u8("length of originator"), "originator"), reader, "originator")
    return call, originator or None, reader.offset


def _reader(data: bytes, what: str, offset: int = 0) -> Reader:
    if len(data) > MAX_FRAME:
        raise ParseError(what, f"{len(data)} bytes are more than {MAX_FRAME}", MAX_FRAME)
    return Reader(data, what, offset)


def _members(parts: tuple[Part, ...], reader: Reader) -> dict[str, Any]:
    found: dict[str, Any] = {}
    read_parts(parts, reader, found)
    reader.finish()
    return found


_NOTHING: tuple[Part, ...] = ()
_TABLE: tuple[tuple[str, type[WalletModel], type[WalletModel], tuple[Part, ...], tuple[Part, ...]], ...] = (
    (
        "createAction",
        models.CreateActionArgs,
        models.CreateActionResult,
        actions.CREATE_ACTION,
        actions.CREATE_ACTION_RESULT,
    ),
    ("signAction", models.SignActionArgs, models.SignActionResult, actions.SIGN_ACTION, actions.SIGN_ACTION_RESULT),
    ("abortAction", models.AbortActionArgs, models.AbortActionResult, actions.ABORT_ACTION, _NOTHING),
    (
        "listActions",
        models.ListActionsArgs,
        models.ListActionsResult,
        actions.LIST_ACTIONS,
        actions.LIST_ACTIONS_RESULT,
    ),
    (
        "internalizeAction",
        models.InternalizeActionArgs,
        models.InternalizeActionResult,
        actions.INTERNALIZE_ACTION,
        _NOTHING,
    ),
    (
        "listOutputs",
        models.ListOutputsArgs,
        models.ListOutputsResult,
        actions.LIST_OUTPUTS,
        actions.LIST_OUTPUTS_RESULT,
    ),
    (
        "relinquishOutput",
        models.RelinquishOutputArgs,
        models.RelinquishOutputResult,
        actions.RELINQUISH_OUTPUT,
        _NOTHING,
    ),
    (
        "getPublicKey",
        models.GetPublicKeyArgs,
        models.GetPublicKeyResult,
        keys.GET_PUBLIC_KEY,
        keys.GET_PUBLIC_KEY_RESULT,
    ),
    (
        "revealCounterpartyKeyLinkage",
        models.RevealCounterpartyKeyLinkageArgs,
        models.RevealCounterpartyKeyLinkageResult,
        keys.REVEAL_COUNTERPARTY,
        keys.REVEAL_COUNTERPARTY_RESULT,
    ),
    (
        "revealSpecificKeyLinkage",
        models.RevealSpecificKeyLinkageArgs,
        models.RevealSpecificKeyLinkageResult,
        keys.REVEAL_SPECIFIC,
        keys.REVEAL_SPECIFIC_RESULT,
    ),
    ("encrypt", models.EncryptArgs, models.EncryptResult, keys.ENCRYPT, keys.ENCRYPT_RESULT),
    ("decrypt", models.DecryptArgs, models.DecryptResult, keys.DECRYPT, keys.DECRYPT_RESULT),
    ("createHmac", models.CreateHmacArgs, models.CreateHmacResult, keys.CREATE_HMAC, keys.CREATE_HMAC_RESULT),
    ("verifyHmac", models.VerifyHmacArgs, models.VerifyHmacResult, keys.VERIFY_HMAC, _NOTHING),
    (
        "createSignature",
        models.CreateSignatureArgs,
        models.CreateSignatureResult,
        keys.CREATE_SIGNATURE,
        keys.CREATE_SIGNATURE_RESULT,
    ),
    ("verifySignature", models.VerifySignatureArgs, models.VerifySignatureResult, keys.VERIFY_SIGNATURE, _NOTHING),
    (
        "acquireCertificate",
        models.AcquireCertificateArgs,
        models.Certificate,
        certificates.ACQUIRE_CERTIFICATE,
        certificates.CERTIFICATE,
    ),
    (
        "listCertificates",
        models.ListCertificatesArgs,
        models.ListCertificatesResult,
        certificates.LIST_CERTIFICATES,
        certificates.LIST_CERTIFICATES_RESULT,
    ),
    (
        "proveCertificate",
        models.ProveCertificateArgs,
        models.ProveCertificateResult,
        certificates.PROVE_CERTIFICATE,
        certificates.PROVE_CERTIFICATE_RESULT,
    ),
    (
        "relinquishCertificate",
        models.RelinquishCertificateArgs,
        models.RelinquishCertificateResult,
        certificates.RELINQUISH_CERTIFICATE,
        _NOTHING,
    ),
    (
        "discoverByIdentityKey",
        models.DiscoverByIdentityKeyArgs,
        models.DiscoverCertificatesResult,
        certificates.DISCOVER_BY_IDENTITY_KEY,
        certificates.DISCOVER_RESULT,
    ),
    (
        "discoverByAttributes",
        models.DiscoverByAttributesArgs,
        models.DiscoverCertificatesResult,
        certificates.DISCOVER_BY_ATTRIBUTES,
        certificates.DISCOVER_RESULT,
    ),
    ("isAuthenticated", models.NoArgs, models.AuthenticatedResult, _NOTHING, keys.IS_AUTHENTICATED_RESULT),
    ("waitForAuthentication", models.NoArgs, models.AuthenticatedResult, _NOTHING, _NOTHING),
    ("getHeight", models.NoArgs, models.GetHeightResult, _NOTHING, keys.GET_HEIGHT_RESULT),
    ("getHeaderForHeight", models.GetHeaderArgs, models.GetHeaderResult, keys.GET_HEADER, keys.GET_HEADER_RESULT),
    ("getNetwork", models.NoArgs, models.GetNetworkResult, _NOTHING, keys.GET_NETWORK_RESULT),
    ("getVersion", models.NoArgs, models.GetVersionResult, _NOTHING, keys.GET_VERSION_RESULT),
)

CALLS: Final = tuple(Call(code, row[0], to_snake(row[0]), *row[1:]) for code, row in enumerate(_TABLE, 1))
BY_CODE: Final = {call.code: call for call in CALLS}
BY_NAME: Final = {call.name: call for call in CALLS}
BY_METHOD: Final = {call.method: call for call in CALLS}
