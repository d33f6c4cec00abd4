"""ARC (and Arcade) as broadcaster, status and proof source (spec/arc.md §1, §2).

A transaction whose parents are all mined goes in extended format; one with an unconfirmed ancestor as BEEF V1 pruned
to its ancestry (R15, R16): deployed services refuse V2, and lose track of parents that extended format leaves out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdk.core.beef import V1
from sdk.core.errors import ParseError, ServiceError, ServiceUnavailable
from sdk.core.merkle_path import MerklePath
from sdk.service.http_client import HttpClient, HttpPolicy
from sdk.wallet.services.mapping import arc_result, arc_tx_state, cut, no_verdict
from sdk.wallet.services.ports import Classification, PostResult, ProofResult, ProofState, TxState, TxStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sdk.core.beef import Beef
    from sdk.service.http_client import HttpResponse

MAX_ANSWER = 2 * 1024 * 1024
_REFUSED = (Classification.INVALID, Classification.DOUBLE_SPEND, Classification.ORPHAN)


class ArcClient:
    """One ARC service. ``url`` is its base (``https://arc.taal.com``); paths begin with ``/v1``.

    ``callback_url`` and ``callback_token`` ask it to report the transaction's fate there. ``max_timeout`` is how many
    seconds (at most 30) it may wait for the network before it answers.
    """

    sees_network = False

    def __init__(
        self,
        url: str,
        *,
        name: str = "arc",
        api_key: str | None = None,
        deployment_id: str | None = None,
        callback_url: str | None = None,
        callback_token: str | None = None,
        max_timeout: int | None = None,
        headers: Mapping[str, str] | None = None,
        http: HttpClient | None = None,
    ) -> None:
        self.name = name
        self._max_timeout = max_timeout
        given = {
            "Authorization": f"Bearer {api_key}" if api_key else None,
            "XDeployment-ID": deployment_id,
            "X-CallbackUrl": callback_url,
            "X-CallbackToken": callback_token,
            "X-MaxTimeout": None if max_timeout is None else str(max_timeout),
        }
        self._headers = {**{k: v for k, v in given.items() if v is not None}, **(headers or {})}
        self._http = http or HttpClient(url, service=name, policy=HttpPolicy(max_response=MAX_ANSWER))

    async def post_beef(self, beef: Beef, txids: Sequence[str]) -> list[PostResult]:
        results: dict[str, PostResult] = {}
        for txid in txids:
            refused = next((p for p in _parents(beef, txid) if p in results and _is_refused(results[p])), None)
            if refused is None:
                results[txid] = await self._post(beef, txid)
            else:
                results[txid] = PostResult(
                    txid, self.name, Classification.ORPHAN, "not sent", f"its parent {refused} was refused"
                )
        return list(results.values())

    async def get_statuses(self, txids: Sequence[str]) -> dict[str, TxStatus]:
        return {txid: await self._status(txid) for txid in txids}

    async def get_merkle_path(self, txid: str) -> ProofResult:
        """Without a header: ARC names the block by hash and height only."""
        try:
            response = await self._get_tx(txid)
        except ServiceError as error:
            return ProofResult(ProofState.UNAVAILABLE, txid, self.name, detail=cut(str(error)))
        body = _json(response)
        state = arc_tx_state(txid, response.status, body)
        if state is TxState.UNAVAILABLE:
            return ProofResult(ProofState.UNAVAILABLE, txid, self.name, detail=f"HTTP {response.status}")
        bump = body.get("merklePath") if isinstance(body, dict) else None
        if state is not TxState.MINED or not isinstance(bump, str) or not bump:
            return ProofResult(ProofState.NOT_FOUND, txid, self.name)
        try:
            path = MerklePath.from_hex(bump)
        except ParseError as error:
            return ProofResult(ProofState.UNAVAILABLE, txid, self.name, detail=cut(str(error)))
        return ProofResult(ProofState.FOUND, txid, self.name, path=path)

    async def close(self) -> None:
        await self._http.close()

    # inside

    async def _post(self, beef: Beef, txid: str) -> PostResult:
        result = no_verdict(txid, self.name, "not sent", "its bytes or its ancestry are not at hand")
        for payload in _payloads(beef, txid):
            result = await self._submit(txid, payload)
            if result.classification is not Classification.ORPHAN:
                break
        return result

    async def _submit(self, txid: str, payload: bytes) -> PostResult:
        try:
            response = await self._http.request(
                "POST",
                "/v1/tx",
                json={"rawTx": payload.hex()},
                headers=self._headers,
                timeout=_timeout(len(payload), self._max_timeout),
                check=False,
            )
        except ServiceError as error:
            return no_verdict(txid, self.name, _status_of(error), str(error))
        body = _json(response)
        if response.ok and isinstance(body, dict) and body.get("txid") != txid:
            return await self._ask_after_submit(txid)  # it reports the first transaction of a BEEF only
        return arc_result(txid, self.name, response.status, body, retry_after=_retry_after(response))

    async def _ask_after_submit(self, txid: str) -> PostResult:
        try:
            response = await self._get_tx(txid)
        except ServiceError as error:
            return no_verdict(txid, self.name, _status_of(error), str(error))
        return arc_result(txid, self.name, response.status, _json(response))

    async def _status(self, txid: str) -> TxStatus:
        try:
            response = await self._get_tx(txid)
        except ServiceError as error:
            return TxStatus(txid, TxState.UNAVAILABLE, provider=self.name, detail=cut(str(error)))
        state = arc_tx_state(txid, response.status, _json(response))
        return TxStatus(txid, state, 0 if state is TxState.KNOWN else None, self.name)

    async def _get_tx(self, txid: str) -> HttpResponse:
        return await self._http.request("GET", f"/v1/tx/{txid}", headers=self._headers, check=False)


def _payloads(beef: Beef, txid: str) -> list[bytes]:
    """The forms to try, in order; the second only if the service misses parents."""
    transaction = beef.transaction_with_sources(txid)
    if transaction is None:
        return []
    pruned = beef.prune([txid])
    forms: list[bytes] = []
    if all(beef.path_for(parent) is not None for parent in _parents(beef, txid)) and all(
        each.source_output is not None for each in transaction.inputs
    ):
        forms.append(transaction.to_extended())
    if pruned.validity():
        forms.append(pruned.to_bytes(V1))
    return forms


def _parents(beef: Beef, txid: str) -> list[str]:
    transaction = beef.transaction(txid)
    return [] if transaction is None else [each[::-1].hex() for each in transaction.source_hashes()]


def _is_refused(result: PostResult) -> bool:
    return result.classification in _REFUSED


def _json(response: HttpResponse) -> Any:
    try:
        return response.json()
    except ServiceUnavailable:
        return None


def _timeout(size: int, max_timeout: int | None) -> float:
    """What the service may wait, plus time to move the bytes."""
    return min(60.0, (max_timeout or 5) + 5.0 + size / 20_480)


def _status_of(error: ServiceError) -> str:
    return "no answer" if error.status is None else f"HTTP {error.status}"


def _retry_after(response: HttpResponse) -> float | None:
    value = response.headers.get("Retry-After", "").strip()
    return float(value[:9]) if value.isdecimal() else None
