"""Ports for modules that cannot bind port 0 and report: each is lent to one module at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sdk.module_runtime.errors import RuntimeModuleError

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT_RANGE: Final = range(21_000, 22_000)
"""Below what Linux hands out by itself (32768 and up), so that no outgoing connection takes one."""
MOST_OF_A_MODULE: Final = 32


class NoPort(RuntimeModuleError):
    code = "ERR_NO_PORT"


class PortLeases:
    """A lease keeps other modules away. That no foreign program holds the port only the module's own bind can tell."""

    def __init__(self, ports: range = DEFAULT_RANGE) -> None:
        self._ports = ports
        self._holders: dict[int, str] = {}
        self._next = 0

    def lease(self, module_id: str, wanted: int | None = None) -> int:
        """A port of the range, or the one ``wanted``. ``NoPort`` says why there is none."""
        if sum(holder == module_id for holder in self._holders.values()) >= MOST_OF_A_MODULE:
            raise NoPort(f"{module_id} holds {MOST_OF_A_MODULE} ports already")
        port = self._free() if not wanted else self._checked(module_id, wanted)
        self._holders[port] = module_id
        return port

    def release(self, module_id: str, ports: Iterable[int] | None = None) -> None:
        """Give back what the module holds, or some of it."""
        gone = self.held_by(module_id) if ports is None else ports
        for port in gone:
            if self._holders.get(port) == module_id:
                del self._holders[port]

    def held_by(self, module_id: str) -> list[int]:
        return sorted(port for port, holder in self._holders.items() if holder == module_id)

    def _checked(self, module_id: str, wanted: int) -> int:
        if wanted not in self._ports:
            raise NoPort(f"port {wanted} is not among {self._ports.start}..{self._ports.stop - 1}")
        if self._holders.get(wanted, module_id) != module_id:
            raise NoPort(f"port {wanted} is held by another module")
        return wanted

    def _free(self) -> int:
        for step in range(len(self._ports)):
            port = self._ports[(self._next + step) % len(self._ports)]
            if port not in self._holders:
                self._next = (self._next + step + 1) % len(self._ports)
                return port
        raise NoPort(f"all ports of {self._ports.start}..{self._ports.stop - 1} are held")
