"""The whole stack on one machine: devnet, header service, wallet storage and monitor, each in its own process."""

from sdk.devnet.system.program import Program, ProgramFailed
from sdk.devnet.system.stack import Stack, stack
from sdk.devnet.system.up import up

__all__ = ["Program", "ProgramFailed", "Stack", "stack", "up"]
