"""The ``sdk`` command. Sub-commands are entry points of the group ``sdk.commands``, imported only when used."""

from sdk.service.cli.root import run as main

__all__ = ["main"]
