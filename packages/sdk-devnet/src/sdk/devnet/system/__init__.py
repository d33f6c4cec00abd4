"""The whole stack on one machine: devnet, header service, wallet and its storage's monitor, each a module."""

from sdk.devnet.system.stack import ModuleFailed, Part, Stack, stack
from sdk.devnet.system.up import up

__all__ = ["ModuleFailed", "Part", "Stack", "stack", "up"]
