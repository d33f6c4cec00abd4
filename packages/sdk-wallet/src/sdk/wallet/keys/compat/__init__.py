"""Older and neighbouring formats: what other wallets wrote, and may still send."""
