"""What the gateway itself answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

COME_AGAIN: Final = {"Retry-After": "1"}


class Refused(Exception):
    """Becomes an answer with ``status``, and ``code`` and ``description`` as JSON."""

    def __init__(self, status: int, code: str, description: str, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.code, self.description, self.headers = status, code, description, headers or {}
        super().__init__(description)


def unreachable(code: str, module_id: str) -> Refused:
    return Refused(502, code, f"{module_id} could not be reached, or broke off its answer")


def too_late(module_id: str, seconds: float) -> Refused:
    return Refused(504, "ERR_MODULE_TIMEOUT", f"{module_id} did not answer in {seconds:g} s")
