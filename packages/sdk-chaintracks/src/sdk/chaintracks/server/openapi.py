"""The OpenAPI document of the service. A test holds it against the routes."""

from __future__ import annotations

from typing import Any, Final

_HEX: Final = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_HEIGHT: Final = {"type": "integer", "minimum": 0, "maximum": 0x7FFFFFFF}
_CURSOR: Final = {"type": "string", "pattern": "^[0-9]{1,18}-[0-9a-f]{64}$"}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


_HEADER: Final = _ref("Header")


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
        "components": {"schemas": _SCHEMAS},
    }


def _get(
    summary: str,
    value: Any = None,
    *parameters: dict[str, Any],
    kind: str = "application/json",
    bare: bool = False,
    absent: bool = False,
) -> Any:
    """``bare``: the answer is ``value`` itself; ``absent``: it may come without a value."""
    schema = value if kind != "application/json" or bare else _success(value, absent=absent)
    answers: dict[str, Any] = {
        "200": {"description": "Success", "content": {kind: {"schema": schema or {"type": "string"}}}},
        "default": {
            "description": "An error; its description says what to do.",
            "content": {"application/json": {"schema": _ref("Error")}},
        },
    }
    return {"get": {"summary": summary, "parameters": [*parameters], "responses": answers}}


def _success(value: Any, *, absent: bool = False) -> dict[str, Any]:
    members = {"status": {"const": "success"}, **({"value": value} if value is not None else {})}
    return {"type": "object", "required": ["status"] if absent else [*members], "properties": members}


def _in(place: str, name: str, schema: Any, *, required: bool = True) -> dict[str, Any]:
    return {"in": place, "name": name, "required": required, "schema": schema}


_RANGE: Final = (_in("query", "height", _HEIGHT), _in("query", "count", {**_HEIGHT, "maximum": 20_000}))
_RESUME: Final = (
    _in("query", "cursor", _CURSOR, required=False),
    _in("header", "Last-Event-ID", _CURSOR, required=False),
)

_TEXT: Final = {"type": "string"}
_COUNT: Final = {"type": "integer", "minimum": 0}
_MOMENT: Final = {"type": "string", "format": "date-time"}


def _object(members: dict[str, Any], *optional: str) -> dict[str, Any]:
    """``optional`` are those members that may be missing."""
    return {"type": "object", "required": [each for each in members if each not in optional], "properties": members}


def _list(of: Any) -> dict[str, Any]:
    return {"type": "array", "items": of}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


_WORD: Final = {"type": "integer", "minimum": 0, "maximum": 0xFFFFFFFF}
_FIELDS: Final = {
    "version": _WORD,
    "previousHash": _HEX,
    "merkleRoot": _HEX,
    "time": _WORD,
    "bits": _WORD,
    "nonce": _WORD,
}
_PLACE: Final = {
    "headerId": _COUNT,
    "previousHeaderId": _or_null(_COUNT),
    "chainWork": _HEX,
    "isActive": {"type": "boolean"},
    "isChainTip": {"type": "boolean"},
}
_BLOCK: Final = _object({"height": _HEIGHT, "hash": _HEX})
_SCHEMAS: Final = {
    "HeaderFields": _object(_FIELDS),
    "Header": _object({**_FIELDS, "height": _HEIGHT, "hash": _HEX}),
    "PlacedHeader": {
        "description": "Headers near the tip come with their place in the tree.",
        **_object({**_FIELDS, "height": _HEIGHT, "hash": _HEX, **_PLACE}, *_PLACE),
    },
    "Info": _object(
        {
            "chain": _TEXT,
            "heightBulk": _HEIGHT,
            "heightLive": _HEIGHT,
            "storage": _TEXT,
            "bulkIngestors": _list(_TEXT),
            "liveIngestors": _list(_TEXT),
            "packages": _list(_TEXT),
            "wait": _TEXT,
        },
        "wait",
    ),
    "Source": _object(
        {
            "name": _TEXT,
            "state": {"enum": ["ok", "backing_off", "quarantined"]},
            "lastError": _or_null(_TEXT),
            "lastHeight": _or_null(_HEIGHT),
            "claimed": _or_null(_HEIGHT),
            "tells": {"type": "boolean"},
            "lastSeen": _or_null(_MOMENT),
        }
    ),
    "Reorganisation": _object(
        {
            "at": _MOMENT,
            "depth": _COUNT,
            "fork": _HEIGHT,
            "oldTip": _BLOCK,
            "newTip": _BLOCK,
            "deactivated": _list(_HEX),
        }
    ),
    "Status": _object(
        {
            "network": _TEXT,
            "tip": _HEADER,
            "work": _HEX,
            "lag": _COUNT,
            "current": {"type": "boolean"},
            "reason": _or_null(_TEXT),
            "cursor": _CURSOR,
            "sources": _list(_ref("Source")),
            "subscribers": {"type": "object", "additionalProperties": _COUNT},
            "reorgs": _list(_ref("Reorganisation")),
        }
    ),
    "FolderFile": _object(
        {
            **dict.fromkeys(("chain", "fileHash", "fileName", "sourceUrl"), _TEXT),
            **dict.fromkeys(("lastChainWork", "lastHash", "prevChainWork", "prevHash"), _HEX),
            "count": _COUNT,
            "firstHeight": _HEIGHT,
        }
    ),
    "Folder": _object(
        {
            "rootFolder": _TEXT,
            "jsonFilename": _TEXT,
            "headersPerFile": _COUNT,
            "files": _list(_ref("FolderFile")),
        }
    ),
    "Health": _object(
        {"status": {"enum": ["healthy", "unhealthy"]}, "network": _TEXT, "height": _HEIGHT, "reason": _TEXT}, "reason"
    ),
    "Ready": _object(
        {
            "status": {"enum": ["ready", "not ready"]},
            "service": _TEXT,
            "reasons": {"type": "object", "additionalProperties": _TEXT},
        }
    ),
    "Transaction": _object({"txid": _HEX, "rawTx": _TEXT}),
    "MerklePath": _object({"txid": _HEX, "merklePath": _TEXT, "blockHeight": _HEIGHT, "blockHash": _HEX}),
    "Error": _object(
        {"status": {"const": "error"}, "code": _TEXT, "description": _TEXT, "requestId": _TEXT}, "requestId"
    ),
}
_V1: Final = {
    "/getChain": _get("Name of the network", {"type": "string"}),
    "/getInfo": _get("What this service is", _ref("Info"), _in("query", "wait", _HEIGHT, required=False)),
    "/getPresentHeight": _get("Height of the tip", _HEIGHT),
    "/findChainTipHashHex": _get("Hash of the tip", _HEX),
    "/findChainTipHeaderHex": _get("Header of the tip", _ref("PlacedHeader")),
    "/findHeaderHexForHeight": _get(
        "Header at a height; no value above the tip",
        _ref("PlacedHeader"),
        _in("query", "height", _HEIGHT),
        absent=True,
    ),
    "/findHeaderHexForBlockHash": _get(
        "Header of a block; no value if unknown", _ref("PlacedHeader"), _in("query", "hash", _HEX), absent=True
    ),
    "/getHeaders": _get("Headers as one hex string, 160 characters each", {"type": "string"}, *_RANGE),
    "/getFiatExchangeRates": _get("Refused with 501: this service follows no rates"),
    "/addHeaderHex": {
        "post": {
            "summary": "Offer a header; it must follow a known one and hold",
            "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("HeaderFields")}}},
            "responses": {
                "200": {
                    "description": "Taken, or known already",
                    "content": {"application/json": {"schema": _success(None)}},
                },
                "400": {
                    "description": "Why it does not hold",
                    "content": {"application/json": {"schema": _ref("Error")}},
                },
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
    "/v2/status": _get("Tip, lag, sources, subscribers, recent reorganisations", _ref("Status")),
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
    "/health": _get("Whether the tip is the network's best", _ref("Health"), bare=True),
    "/header/height/{height}": _get("Header at a height", _HEADER, _in("path", "height", _HEIGHT)),
    "/tx/{txid}": _get("A raw transaction, where a plugin knows any", _ref("Transaction"), _in("path", "txid", _HEX)),
    "/merkle/{txid}": _get("Its merkle path (BUMP)", _ref("MerklePath"), _in("path", "txid", _HEX)),
}
_OPERATIONS: Final = {
    "/healthz": _get("Whether the process runs", _object({"status": {"const": "ok"}, "service": _TEXT}), bare=True),
    "/readyz": _get("Whether it is able to serve; 503 with reasons if not", _ref("Ready"), bare=True),
    "/metrics": _get("Figures for Prometheus", kind="text/plain"),
}


def _files(network: str) -> dict[str, Any]:
    folder = f"/blockheaders/{network}Net"
    return {
        f"{folder}BlockHeaders.json": _get("Index of the header files", _ref("Folder"), bare=True),
        f"{folder}_{{number}}.headers": _get(
            "100,000 headers as bytes", None, _in("path", "number", _HEIGHT), kind="application/octet-stream"
        ),
    }
