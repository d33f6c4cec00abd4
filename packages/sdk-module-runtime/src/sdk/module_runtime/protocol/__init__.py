"""The wire: messages, frames and encodings of the Rust ``pywatt_sdk`` (spec: its sources, measured)."""
