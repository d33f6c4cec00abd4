"""The Teranode message bus: blocks announced over libp2p gossipsub, and headers from the announcers' DataHubs.

``source`` is what the service follows; ``bus`` runs in a process of its own, and alone imports libp2p.
"""
