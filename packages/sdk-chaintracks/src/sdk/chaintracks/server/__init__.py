"""The service over HTTP: v1 and v2 calls, streams of events, files, pages (spec/wallet-stack.md §6.2, §6.4)."""

from sdk.chaintracks.server.app import ChaintracksServer, create_chaintracks_app
from sdk.chaintracks.server.options import ServerOptions

__all__ = ["ChaintracksServer", "ServerOptions", "create_chaintracks_app"]
