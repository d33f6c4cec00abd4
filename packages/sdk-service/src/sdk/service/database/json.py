"""How JSON columns are written: compact, and the same on every dialect."""

from __future__ import annotations

from typing import Any

import orjson


def dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


def json_options() -> dict[str, Any]:
    """For ``create_engine``."""
    return {"json_serializer": dumps, "json_deserializer": orjson.loads}
