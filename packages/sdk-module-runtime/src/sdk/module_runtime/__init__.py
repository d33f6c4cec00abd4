"""Modules supervised by an orchestrator: wire-compatible with the Rust ``pywatt_sdk``."""
