"""The link of this process to its orchestrator, for what is opened by its name alone, as a URL is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from sdk.module_runtime.ports import OrchestratorLink


class ProcessLink(NamedTuple):
    """``loop`` is the one that ``link`` lives in."""

    link: OrchestratorLink
    loop: AbstractEventLoop


_found: ProcessLink | None = None


def set_process_link(found: ProcessLink | None) -> None:
    global _found
    _found = found


def process_link() -> ProcessLink | None:
    """None in a process that is no module of an orchestrator."""
    return _found
