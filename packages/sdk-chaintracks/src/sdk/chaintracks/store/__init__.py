"""Headers in a database."""

from sdk.chaintracks.store.store import HeaderStore, Move, StoredHeader

__all__ = ["HeaderStore", "Move", "StoredHeader"]
