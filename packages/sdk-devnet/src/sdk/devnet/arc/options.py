"""The X- headers of a submission (spec/arc.md §1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sdk.devnet.arc.problems import ArcProblem
from sdk.devnet.arc.statuses import ArcStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_TIMEOUT = 30
DEFAULT_TIMEOUT = 5


@dataclass(frozen=True, slots=True)
class Receiver:
    """Where status updates of a transaction go."""

    url: str
    token: str | None = None
    batch: bool = False
    full: bool = False


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """``timeout`` in seconds."""

    wait_for: ArcStatus = ArcStatus.SEEN_ON_NETWORK
    timeout: int = DEFAULT_TIMEOUT
    receiver: Receiver | None = None
    skip_fee: bool = False
    skip_scripts: bool = False
    skip_all: bool = False
    cumulative_fee: bool = False
    force: bool = False


def parse_options(headers: Mapping[str, str], refused_urls: Sequence[str] = ()) -> SubmitOptions:
    """Raises ``ArcProblem`` 400 for a value of the wrong type; ``refused_urls`` are parts no callback may have."""
    return SubmitOptions(
        wait_for=_status(headers.get("X-WaitFor")),
        timeout=_timeout(headers.get("X-MaxTimeout")),
        receiver=_receiver(headers, refused_urls),
        skip_fee=_flag(headers, "X-SkipFeeValidation"),
        skip_scripts=_flag(headers, "X-SkipScriptValidation"),
        skip_all=_flag(headers, "X-SkipTxValidation"),
        cumulative_fee=_flag(headers, "X-CumulativeFeeValidation"),
        force=_flag(headers, "X-ForceValidation"),
    )


def _flag(headers: Mapping[str, str], name: str) -> bool:
    value = headers.get(name, "false")
    if value not in ("true", "false"):
        raise ArcProblem(400, f"{name} must be true or false")
    return value == "true"


def _status(value: str | None) -> ArcStatus:
    if value is None:
        return ArcStatus.SEEN_ON_NETWORK
    if value not in ArcStatus.__members__:
        raise ArcProblem(400, f"X-WaitFor names no status: {value[:40]}")
    return ArcStatus[value]


def _timeout(value: str | None) -> int:
    if value is None:
        return DEFAULT_TIMEOUT
    if not value.isascii() or not value.isdigit() or len(value) > 9 or int(value) > MAX_TIMEOUT:
        raise ArcProblem(400, f"X-MaxTimeout must be a whole number of seconds up to {MAX_TIMEOUT}")
    return int(value)


def _receiver(headers: Mapping[str, str], refused_urls: Sequence[str]) -> Receiver | None:
    batch, full = _flag(headers, "X-CallbackBatch"), _flag(headers, "X-FullStatusUpdates")
    url = headers.get("X-CallbackUrl")
    if url is None:
        return None
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:
        raise ArcProblem(400, "invalid callback URL")
    if any(part in url for part in refused_urls):
        raise ArcProblem(400, "callback URL not acceptable")
    return Receiver(url, headers.get("X-CallbackToken"), batch, full)
