"""Where headers are kept: buried ones in flat files, those near the tip in a database; or either elsewhere."""

from sdk.chaintracks.store.ports import Bulk, HeaderStore, Live, Move, State, StoredHeader

__all__ = ["Bulk", "HeaderStore", "Live", "Move", "State", "StoredHeader"]
