"""The script interpreter: every rule of the node, by era and flag."""

from sdk.wallet.script.interpreter.verify import verify_script

__all__ = ["verify_script"]
