"""What a module may do with which secrets; the default is nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SecretRights:
    """Names, or beginnings of names that end in ``*``."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()

    def may_read(self, name: str) -> bool:
        return _named(name, self.read)

    def may_write(self, name: str) -> bool:
        return _named(name, self.write)


def _named(name: str, patterns: tuple[str, ...]) -> bool:
    return any(name.startswith(each[:-1]) if each.endswith("*") else name == each for each in patterns)
