"""A block header service: ingest, validate, store, serve and follow reorganisations."""
