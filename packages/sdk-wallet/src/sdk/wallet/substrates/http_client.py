"""Wallets behind HTTP: the JSON substrate, and the binary wire (spec/wallet-stack.md §1.2).

``POST <base>/<methodName>`` with the arguments as body; who asks stands in the headers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sdk.core.errors import InvalidParameter, ParseError, wallet_error_from_wire
from sdk.core.wallet import validate_originator
from sdk.core.wallet_wire import MAX_FRAME, read_head
from sdk.service.http_client import MIB, HttpClient, HttpPolicy
from sdk.wallet.substrates.remote import RemoteWallet
from sdk.wallet.substrates.transceiver import WalletWireTransceiver

if TYPE_CHECKING:
    from ssl import SSLContext

    from sdk.core.wallet import WalletModel
    from sdk.core.wallet_wire import Call
    from sdk.service.http_client import HttpResponse

JSON_URL: Final = "http://localhost:3321"
SECURE_JSON_URL: Final = "https://localhost:2121"
WIRE_URL: Final = "http://localhost:3301"
BINARY: Final = "application/octet-stream"

PATIENT: Final = HttpPolicy(timeout=600.0, connect_timeout=2.0, max_response=64 * MIB, attempts=1)
"""A person may have to agree first; nothing is sent twice."""


def origin_header(originator: str, scheme: str = "http") -> str:
    """The domain name of an application as an origin. Raises ``InvalidParameter``."""
    given, separator, host = originator.partition("://")
    if not separator:
        given, host = scheme, originator
    name = validate_originator(host.partition("/")[0])
    if not name or not name.isprintable():
        raise InvalidParameter("originator", "the domain name of the application that asks")
    return f"{given}://{name}"


class HttpWalletJson(RemoteWallet):
    """A wallet's JSON interface at ``base_url``, for the application ``originator`` (its domain name)."""

    def __init__(
        self,
        originator: str,
        base_url: str = JSON_URL,
        *,
        policy: HttpPolicy = PATIENT,
        ssl: SSLContext | None = None,
    ) -> None:
        self._origin = origin_header(originator)
        self._http = HttpClient(base_url, service="wallet", policy=policy, ssl=ssl)

    async def ask(self, call: Call, args: WalletModel, originator: str | None) -> WalletModel:
        origin = self._origin if originator is None else origin_header(originator)
        response = await self._http.request(
            "POST",
            f"/{call.name}",
            json=args.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True),
            headers={"Accept": "application/json", "Origin": origin, "Originator": origin},
            check=False,
        )
        members = _members(response, call)
        try:
            return call.result.of(members)
        except InvalidParameter as error:
            raise ParseError(f"{call.name} answer", str(error)) from None

    async def close(self) -> None:
        await self._http.close()


def _members(response: HttpResponse, call: Call) -> Any:
    """The result's. Raises the error that the answer tells."""
    if response.ok:
        return response.json()
    if response.content_type == "application/json":
        told = response.json()
        if isinstance(told, dict) and told.get("isError") is True:
            raise wallet_error_from_wire(told)
    response.require()
    raise ParseError(f"{call.name} answer", f"status {response.status}")


class HttpWire:
    """Carries frames of the binary wire to ``base_url``: the arguments as body, call and originator outside of it.

    Raises ``ParseError`` for bytes that are no request, ``InvalidParameter`` for one without originator, and
    ``ServiceUnavailable`` or ``ServiceRejected`` when no frame comes back.
    """

    def __init__(
        self, base_url: str = WIRE_URL, *, policy: HttpPolicy = PATIENT, ssl: SSLContext | None = None
    ) -> None:
        self._http = HttpClient(base_url, service="wallet", policy=policy, ssl=ssl)

    async def __call__(self, frame: bytes) -> bytes:
        """``frame`` is a whole request, as ``write_request`` gives it."""
        call, originator, start = read_head(frame)
        origin = origin_header(originator or "")
        response = await self._http.request(
            "POST",
            f"/{call.name}",
            data=frame[start:],
            headers={"Accept": BINARY, "Content-Type": BINARY, "Origin": origin, "Originator": origin},
            max_response=min(self._http.policy.max_response, MAX_FRAME),
            check=False,
        )
        return response.body if response.content_type == BINARY else response.require().body

    async def close(self) -> None:
        await self._http.close()


class HttpWalletWire(WalletWireTransceiver):
    """A wallet's binary interface at ``base_url``, for the application ``originator`` (its domain name)."""

    def __init__(
        self,
        originator: str,
        base_url: str = WIRE_URL,
        *,
        policy: HttpPolicy = PATIENT,
        ssl: SSLContext | None = None,
    ) -> None:
        origin_header(originator)
        self._wire = HttpWire(base_url, policy=policy, ssl=ssl)
        super().__init__(self._wire, originator)

    async def close(self) -> None:
        await self._wire.close()
