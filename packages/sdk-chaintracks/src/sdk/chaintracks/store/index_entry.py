"""What the index of a CDN folder says of one file of headers (spec/wallet-stack.md §6)."""

from __future__ import annotations

import base64
from typing import Any

from sdk.chaintracks.consensus.fields import HEADER, display, header_hash, previous_hash
from sdk.chaintracks.store.segments import segment_name


def index_entry(
    chain: str, number: int, raw: bytes, digest: bytes, first: int, work: tuple[int, int]
) -> dict[str, Any]:
    """``digest`` is the SHA-256 of ``raw``, whose first header has height ``first``; ``work`` that of the chain before
    the file and at its end."""
    before, last = work
    return {
        "chain": chain,
        "count": len(raw) // HEADER,
        "fileHash": base64.b64encode(digest).decode(),
        "fileName": segment_name(chain, number),
        "firstHeight": first,
        "lastChainWork": f"{last:064x}",
        "lastHash": display(header_hash(raw[-HEADER:])),
        "prevChainWork": f"{before:064x}",
        "prevHash": display(previous_hash(raw[:HEADER])),
    }
