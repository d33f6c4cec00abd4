"""The OpenAPI document of the service. A test holds it against the routes."""

from __future__ import annotations

from typing import Any, Final

_HEX: Final = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_HEIGHT: Final = {"type": "integer", "minimum": 0, "maximum": 0x7FFFFFFF}
_HEADER: Final = {"$ref": "#/components/schemas/Header"}
_CURSOR: Final = {"type": "string", "pattern": "^[0-9]{1,18}-[0-9a-f]{64}$"}


def document(network: str, version: str) -> dict[str, Any]:
    """OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Block headers of {network}",
            "version": version,
            "description": "Checked block headers, and subscriptions to new tips and reorganisations.",
        },
        "servers": [{"url": "/"}],
        "paths": {**_V1, **_V2, **_STREAMS, **_files(network), **_ORIGIN, **_OPERATIONS},
        "components": {"schemas": {"Header": _HEADER_SCHEMA, "Error": _ERROR_SCHEMA}},
    }


def _get(
    summary: str, value: Any = None, *parameters: dict[str, Any], kind: str = "application/json", bare: bool = False
) -> Any:
    schema = value if kind != "application/json" or bare else _success(value)
    answers: dict[str, Any] = {
        "200": {"description": "Success", "content": {kind: {"schema": schema or {"type": "string"}}}},
        "default": {
            "description": "An error; its description says what to do.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        },
    }
    return {"get": {"summary": summary, "parameters": [*parameters], "responses": answers}}


def _success(value: Any) -> dict[str, Any]:
    members = {"status": {"const": "success"}, **({"value": value} if value is not None else {})}
    return {"type": "object", "properties": members}


def _in(place: str, name: str, schema: Any, *, required: bool = True) -> dict[str, Any]:
    return {"in": place, "name": name, "required": required, "schema": schema}


_RANGE: Final = (_in("query", "height", _HEIGHT), _in("query", "count", {**_HEIGHT, "maximum": 20_000}))
_RESUME: Final = (
    _in("query", "cursor", _CURSOR, required=False),
    _in("header", "Last-Event-ID", _CURSOR, required=False),
)

_HEADER_SCHEMA: Final = {
    "type": "object",
    "required": ["version", "previousHash", "merkleRoot", "time", "bits", "nonce", "height", "hash"],
    "properties": {
        **{
            name: {"type": "integer", "minimum": 0, "maximum": 0xFFFFFFFF}
            for name in ("version", "time", "bits", "nonce")
        },
        **dict.fromkeys(("previousHash", "merkleRoot", "hash"), _HEX),
        "height": _HEIGHT,
    },
}
_ERROR_SCHEMA: Final = {
    "type": "object",
    "required": ["status", "code", "description"],
    "properties": {"status": {"const": "error"}, "code": {"type": "string"}, "description": {"type": "string"}},
}

_V1: Final = {
    "/getChain": _get("Name of the network", {"type": "string"}),
    "/getInfo": _get("What this service is", {"type": "object"}, _in("query", "wait", _HEIGHT, required=False)),
    "/getPresentHeight": _get("Height of the tip", _HEIGHT),
    "/findChainTipHashHex": _get("Hash of the tip", _HEX),
    "/findChainTipHeaderHex": _get("Header of the tip", _HEADER),
    "/findHeaderHexForHeight": _get(
        "Header at a height; no value above the tip", _HEADER, _in("query", "height", _HEIGHT)
    ),
    "/findHeaderHexForBlockHash": _get("Header of a block; no value if unknown", _HEADER, _in("query", "hash", _HEX)),
    "/getHeaders": _get("Headers as one hex string, 160 characters each", {"type": "string"}, *_RANGE),
    "/getFiatExchangeRates": _get("Refused with 501: this service follows no rates"),
    "/addHeaderHex": {
        "post": {
            "summary": "Offer a header; it must follow a known one and hold",
            "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
            "responses": {
                "200": {"description": "Taken, or known already"},
                "400": {"description": "Why it does not hold"},
            },
        }
    },
}
_V2: Final = {
    "/v2/network": _get("Name of the network", {"type": "string"}),
    "/v2/height": _get("Height of the tip", _HEIGHT),
    "/v2/tip/hash": _get("Hash of the tip", _HEX),
    "/v2/tip/header": _get("Header of the tip", _HEADER),
    "/v2/header/height/{height}": _get("Header at a height", _HEADER, _in("path", "height", _HEIGHT)),
    "/v2/header/hash/{hash}": _get("Header of a block", _HEADER, _in("path", "hash", _HEX)),
    "/v2/headers": _get("Headers as hex", {"type": "string"}, *_RANGE),
    "/v2/headers.bin": _get(
        "Headers as bytes, 80 each; byte ranges may be asked for", None, *_RANGE, kind="application/octet-stream"
    ),
    "/v2/status": _get("Tip, lag, sources, subscribers, recent reorganisations", {"type": "object"}),
}
_STREAMS: Final = {
    "/v2/tip/stream": _get("Server-sent events: the tip, then each new one", None, *_RESUME, kind="text/event-stream"),
    "/v2/reorg/stream": _get("Server-sent events: each reorganisation", None, *_RESUME, kind="text/event-stream"),
    "/v2/ws": _get(
        'WebSocket: send {"op": "subscribe", "topic": "headers" | "reorgs", "cursor"?}; see the operator\'s guide',
        bare=True,
    ),
}
_ORIGIN: Final = {
    "/health": _get("Whether the tip is the network's best", {"type": "object"}, bare=True),
    "/header/height/{height}": _get("Header at a height", _HEADER, _in("path", "height", _HEIGHT)),
    "/tx/{txid}": _get("A raw transaction, where a plugin knows any", {"type": "object"}, _in("path", "txid", _HEX)),
    "/merkle/{txid}": _get("Its merkle path (BUMP)", {"type": "object"}, _in("path", "txid", _HEX)),
}
_OPERATIONS: Final = {
    "/healthz": _get("Whether the process runs", {"type": "object"}, bare=True),
    "/readyz": _get("Whether it is able to serve; 503 with reasons if not", {"type": "object"}, bare=True),
    "/metrics": _get("Figures for Prometheus", kind="text/plain"),
}


def _files(network: str) -> dict[str, Any]:
    folder = f"/blockheaders/{network}Net"
    return {
        f"{folder}BlockHeaders.json": _get("Index of the header files", {"type": "object"}, bare=True),
        f"{folder}_{{number}}.headers": _get(
            "100,000 headers as bytes", None, _in("path", "number", _HEIGHT), kind="application/octet-stream"
        ),
    }
