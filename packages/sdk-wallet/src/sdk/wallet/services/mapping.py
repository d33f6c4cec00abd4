"""What each provider's answer means, in one place. Pure: status codes, words and bodies in, ``PostResult`` out.

The rule (R8, R10-R16): success needs positive evidence about *this* txid; a verdict against a transaction needs an
answer in the provider's own form that speaks of its bytes; everything else (HTML error pages, cut JSON, other
txids, quotas, lagging tips, unknown words) is a service error, after which nothing changes and somebody asks again.

Sources: spec/arc.md §1.4, §1.5 (ARC), §2 (Arcade), §3 (WhatsOnChain).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sdk.wallet.services.ports import Classification, PostResult, TxState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_DETAIL = 300
MAX_COMPETING = 24

_SUCCESS = (Classification.SUCCESS, False)
_SEEN = (Classification.SUCCESS, True)
_KNOWN = (Classification.ALREADY_KNOWN, True)
_NO_VERDICT = (Classification.SERVICE_ERROR, False)
_ORPHAN = (Classification.ORPHAN, False)
_CONFLICT = (Classification.DOUBLE_SPEND, False)
_INVALID = (Classification.INVALID, False)

ARC_WORDS: Mapping[str, tuple[Classification, bool]] = {
    # word: (classification, shown by the network)
    "UNKNOWN": _NO_VERDICT,
    "QUEUED": _NO_VERDICT,
    "RECEIVED": _NO_VERDICT,
    "PENDING_RETRY": _NO_VERDICT,
    "STORED": _SUCCESS,
    "ANNOUNCED_TO_NETWORK": _SUCCESS,
    "REQUESTED_BY_NETWORK": _SUCCESS,
    "SENT_TO_NETWORK": _SUCCESS,
    "ACCEPTED_BY_NETWORK": _SEEN,
    "SEEN_ON_NETWORK": _SEEN,
    "SEEN_MULTIPLE_NODES": _SEEN,
    "SEEN_IN_ORPHAN_MEMPOOL": _ORPHAN,
    "DOUBLE_SPEND_ATTEMPTED": _CONFLICT,
    "REJECTED": _INVALID,
    "INVALID": _INVALID,
    "MALFORMED": _INVALID,
    "MINED_IN_STALE_BLOCK": _NO_VERDICT,  # not final: ARC sends it again by itself
    "STUMP_PROCESSING": _KNOWN,
    "MINED": _KNOWN,
    "IMMUTABLE": _KNOWN,
}
"""txStatus of ARC and Arcade, in a submit answer or a status query."""

ARC_CODES: Mapping[int, Classification] = {
    400: Classification.INVALID,  # see _speaks_of: only when the answer names the transaction
    422: Classification.INVALID,
    460: Classification.ORPHAN,  # parents missing at the service
    461: Classification.INVALID,
    462: Classification.INVALID,
    463: Classification.INVALID,
    464: Classification.INVALID,
    465: Classification.INVALID,
    466: Classification.DOUBLE_SPEND,
    467: Classification.SERVICE_ERROR,  # mined ancestors not found: its headers lag behind (R8)
    468: Classification.SERVICE_ERROR,  # about the BEEF around the transaction, not about the transaction
    469: Classification.SERVICE_ERROR,
    471: Classification.INVALID,
    472: Classification.INVALID,
    473: Classification.INVALID,
    474: Classification.INVALID,
    475: Classification.SERVICE_ERROR,
    476: Classification.SERVICE_ERROR,  # not final yet (Arcade)
}
"""``status`` of an ARC problem document. What is not here (401, 404, 409, 429, 5xx, ...) is no verdict."""

POLICY_CODES = frozenset({465, 471, 473, 474})
"""One service's policy: another may think otherwise, so asking goes on."""

ENVELOPE_CODES = frozenset({463, 467, 468, 469, 475})
"""May be about the BEEF: worth another try in extended format where that is allowed."""

_EXPLANATIONS = ("title", "detail", "reason", "extraInfo", "error")
_GENERIC_CODES = frozenset({400, 422})

_REASONS: Sequence[tuple[str, Classification]] = (
    # First match decides; lower-case fragments of node reject reasons, as extraInfo or an error text carries them.
    ("already in the mempool", Classification.ALREADY_KNOWN),
    ("already-in-mempool", Classification.ALREADY_KNOWN),
    ("txn-already-known", Classification.ALREADY_KNOWN),
    ("already-known", Classification.ALREADY_KNOWN),
    ("already in block chain", Classification.ALREADY_KNOWN),
    ("txn-mempool-conflict", Classification.DOUBLE_SPEND),
    ("txn-double-spend-detected", Classification.DOUBLE_SPEND),
    ("bad-txns-inputs-spent", Classification.DOUBLE_SPEND),
    ("double spend", Classification.DOUBLE_SPEND),
    ("missing inputs", Classification.ORPHAN),
    ("missing-inputs", Classification.ORPHAN),
    ("missingorspent", Classification.ORPHAN),
    ("orphan", Classification.ORPHAN),
    ("parent rejected", Classification.ORPHAN),
    ("parent not found", Classification.ORPHAN),
    ("non-final", Classification.SERVICE_ERROR),
    ("nonfinal", Classification.SERVICE_ERROR),
    ("non-bip68-final", Classification.SERVICE_ERROR),
    ("too-long-mempool-chain", Classification.SERVICE_ERROR),
    ("mempool full", Classification.SERVICE_ERROR),
    ("mempool min fee not met", Classification.SERVICE_ERROR),
    ("premature-spend", Classification.SERVICE_ERROR),  # coinbase not yet mature
    ("timeout", Classification.SERVICE_ERROR),
    ("timed out", Classification.SERVICE_ERROR),
    ("frozen", Classification.INVALID),
)

_NODE_CODES: Mapping[int, Classification] = {
    16: Classification.INVALID,
    64: Classification.INVALID,
    66: Classification.INVALID,
    257: Classification.ALREADY_KNOWN,
    258: Classification.DOUBLE_SPEND,
    259: Classification.SERVICE_ERROR,
}
"""Reject codes of the node, as WhatsOnChain passes them on."""

_WOC_REJECTION = re.compile(r"unexpected response code 500: (?:(\d{1,4}): )?(.+)", re.DOTALL)
_TXID = re.compile(r"[0-9a-f]{64}", re.ASCII)


def arc_result(txid: str, provider: str, status: int, body: object, *, retry_after: float | None = None) -> PostResult:
    """One ARC or Arcade answer about ``txid``: to a submission or a status query.

    ``body`` is the parsed JSON, or anything else if it was none. An answer about another txid is no evidence about
    this one (R16); the caller then asks for this one by name.
    """
    if not isinstance(body, dict):
        return no_verdict(txid, provider, f"HTTP {status}", "the answer is not a JSON object", retry_after=retry_after)
    named = body.get("txid")
    if isinstance(named, str) and named and named.lower() != txid:
        return no_verdict(txid, provider, f"HTTP {status}", f"the answer is about {cut(named, 64)}")
    if 200 <= status < 300:
        return _arc_accepted(txid, provider, status, body)
    return _arc_refused(txid, provider, status, body, retry_after)


def _arc_accepted(txid: str, provider: str, status: int, body: Mapping[str, Any]) -> PostResult:
    word = body.get("txStatus")
    if not isinstance(word, str) or not isinstance(body.get("txid"), str):
        return no_verdict(txid, provider, f"HTTP {status}", "the answer lacks txid or txStatus")
    word = word.upper()
    classification, propagated = ARC_WORDS.get(word, _NO_VERDICT)
    extra = text_of(body.get("extraInfo"))
    if classification is Classification.INVALID:
        classification = _by_reason(extra) or classification
        propagated = False
    elif classification is Classification.SUCCESS and "orphan" in extra.lower():
        classification, propagated = Classification.ORPHAN, False
    return PostResult(
        txid=txid,
        provider=provider,
        classification=classification,
        raw_status=cut(word, 64),
        detail=cut(extra),
        competing_txids=competing(txid, body),
        propagated=propagated,
    )


def _arc_refused(
    txid: str, provider: str, status: int, body: Mapping[str, Any], retry_after: float | None
) -> PostResult:
    code = _problem_code(status, body)
    detail = ": ".join(filter(None, (text_of(body.get(name)) for name in _EXPLANATIONS)))
    classification = ARC_CODES.get(code, Classification.SERVICE_ERROR)
    if code in _GENERIC_CODES and body.get("txid") is None:
        classification = Classification.SERVICE_ERROR  # about the request, for all it says, not about the transaction
    if classification is Classification.INVALID:
        classification = _by_reason(detail) or classification
    return PostResult(
        txid=txid,
        provider=provider,
        classification=classification,
        raw_status=str(code),
        detail=cut(detail),
        competing_txids=competing(txid, body),
        retry_after=retry_after,
    )


def _problem_code(status: int, body: Mapping[str, Any]) -> int:
    """Arcade answers 400 whatever the problem; the document's ``status`` has the code."""
    inner = body.get("status")
    if isinstance(inner, int) and not isinstance(inner, bool) and 460 <= inner <= 479 and 400 <= status < 500:
        return inner
    return status


def arc_tx_state(txid: str, status: int, body: object) -> TxState:
    """What ``GET /v1/tx/{txid}`` says: known needs a word that is positive evidence."""
    if status == 404:
        return TxState.UNKNOWN if isinstance(body, dict) else TxState.UNAVAILABLE
    if status != 200 or not isinstance(body, dict) or str(body.get("txid")).lower() != txid:
        return TxState.UNAVAILABLE
    word = str(body.get("txStatus")).upper()
    if word in ("MINED", "IMMUTABLE"):
        return TxState.MINED
    classification, _ = ARC_WORDS.get(word, _NO_VERDICT)
    held = classification in (Classification.SUCCESS, Classification.ALREADY_KNOWN)
    return TxState.KNOWN if held else TxState.UNAVAILABLE


def whatsonchain_result(
    txid: str, provider: str, status: int, text: str, *, retry_after: float | None = None
) -> PostResult:
    """One answer to ``POST /tx/raw``: 200 with the txid, or a line of text that carries the node's reason."""
    text = text.strip().strip('"').strip()
    if status == 200:
        if text.lower() == txid:
            return PostResult(txid, provider, Classification.SUCCESS, "HTTP 200", propagated=True)
        return no_verdict(txid, provider, "HTTP 200", f"the answer is not the txid but {cut(text, 100)!r}")
    rejection = _WOC_REJECTION.fullmatch(text)
    if rejection is None or status in (401, 403, 429) or "<" in text[:200]:
        return no_verdict(txid, provider, f"HTTP {status}", cut(text), retry_after=retry_after)
    number, reason = rejection.groups()
    code = int(number) if number else None
    classification = _by_reason(reason)
    if classification is None and code is not None:
        classification = _NODE_CODES.get(code)
    return PostResult(
        txid=txid,
        provider=provider,
        classification=classification or Classification.SERVICE_ERROR,
        raw_status=number or f"HTTP {status}",
        detail=cut(reason),
        propagated=classification is Classification.ALREADY_KNOWN,
    )


def no_verdict(
    txid: str, provider: str, raw_status: str, detail: str, *, retry_after: float | None = None
) -> PostResult:
    return PostResult(
        txid, provider, Classification.SERVICE_ERROR, cut(raw_status, 64), cut(detail), retry_after=retry_after
    )


def settles(result: PostResult) -> bool:
    """Whether asking the next provider is pointless: it was taken, or the bytes are bad for every one (R14)."""
    if result.accepted:
        return True
    if result.classification is Classification.INVALID:
        return not (result.raw_status.isdigit() and int(result.raw_status) in POLICY_CODES)
    return False


def competing(txid: str, body: Mapping[str, Any]) -> tuple[str, ...]:
    """The rivals a provider names, well-formed and other than ``txid``, at most 24 of them."""
    listed = body.get("competingTxs")
    if not isinstance(listed, list):
        return ()
    named = (each.lower() for each in listed[: 4 * MAX_COMPETING] if isinstance(each, str))
    rivals = dict.fromkeys(each for each in named if _TXID.fullmatch(each) and each != txid)
    return tuple(rivals)[:MAX_COMPETING]


def text_of(value: object) -> str:
    return value if isinstance(value, str) else ""


def cut(text: str, size: int = MAX_DETAIL) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"


def _by_reason(text: str) -> Classification | None:
    lowered = text[:2000].lower()
    for fragment, classification in _REASONS:
        if fragment in lowered:
            return classification
    return None
