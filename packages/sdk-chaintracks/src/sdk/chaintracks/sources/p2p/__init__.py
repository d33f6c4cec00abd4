"""Headers from nodes of the Bitcoin network (spec/consensus.md §3)."""

from sdk.chaintracks.sources.p2p.source import PeerSource

__all__ = ["PeerSource"]
