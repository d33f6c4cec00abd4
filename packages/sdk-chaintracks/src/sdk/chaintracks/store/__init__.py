"""Headers in a database."""

from sdk.chaintracks.store.store import HeaderStore, StoredHeader

__all__ = ["HeaderStore", "StoredHeader"]
