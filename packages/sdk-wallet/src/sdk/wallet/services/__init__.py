"""Clients for the services a wallet needs, and failover between them."""
