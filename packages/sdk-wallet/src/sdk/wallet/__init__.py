"""A BRC-100 wallet: keys, scripts, actions, storage, service providers."""
