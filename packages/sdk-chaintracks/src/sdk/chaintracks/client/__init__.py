"""A header service asked over the network: calls, subscriptions, several servers, nothing believed unchecked."""

from sdk.chaintracks.client.client import ChaintracksClient
from sdk.chaintracks.client.stream import UpdateStream
from sdk.chaintracks.client.tracker import ChaintracksTracker
from sdk.chaintracks.client.updates import Gap, HeadersUpdate, ReorgUpdate

__all__ = ["ChaintracksClient", "ChaintracksTracker", "Gap", "HeadersUpdate", "ReorgUpdate", "UpdateStream"]
