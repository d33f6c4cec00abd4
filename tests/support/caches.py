"""Caches on real servers, each test in a namespace of its own."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sdk.module_runtime.data.cache import CacheConfig
from support.requirements import server_url

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("InMemory", "File", "Redis", "Memcached")


def cache_config(kind: str, folder: Path, **more: Any) -> CacheConfig:
    given: dict[str, Any] = {"cache_type": kind, "namespace": f"test-{uuid.uuid4().hex}"}
    if kind == "File":
        given["file_path"] = str(folder / "cache")
    if kind in ("Redis", "Memcached"):
        url = urlsplit(server_url(kind.lower()))
        given |= {"hosts": [url.hostname], "port": url.port}
    return CacheConfig(**given | more)
