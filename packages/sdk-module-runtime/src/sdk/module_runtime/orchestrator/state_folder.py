"""The folder an orchestrator keeps its things in; one orchestrator at a time."""

from __future__ import annotations

import fcntl
import os
import secrets
import uuid
from pathlib import Path
from typing import Final

import orjson

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.socket_folder import SocketFolder

_SOCKET: Final = "admin.json"
_LONGEST_SOCKET_PATH: Final = 100


class StateFolder:
    """``id`` marks the processes that belong to whoever holds this folder."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path, self._lock = path, lock
        # a copy of the folder is another one, whose processes are not these
        self.id = f"{_kept(path / 'id', lambda: str(uuid.uuid4()))}-{os.fstat(lock).st_ino}"
        self.admin_token = _kept(path / "admin-token", lambda: secrets.token_urlsafe(32))
        self._socket_folder = SocketFolder()

    @classmethod
    def open(cls, path: Path) -> StateFolder:
        """``ConfigurationError`` if another orchestrator holds it, or it cannot be made."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(f"the state folder {path} cannot be used: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise ConfigurationError(
                f"an orchestrator runs with the state folder {path}: stop it, or set orchestrator.state in the stack"
            ) from None
        return cls(path, lock)

    def publish(self, url: str | None) -> str:
        """Where to serve the admin API; it is written down for ``sdk runtime ps`` and its like."""
        inside = str(self.path / "admin.sock")
        path = inside if len(inside) <= _LONGEST_SOCKET_PATH else f"{self._socket_folder.path}/admin.sock"
        Path(path).unlink(missing_ok=True)
        _write(self.path / _SOCKET, orjson.dumps({"socket": path, "url": url, "pid": os.getpid()}))
        return path

    def close(self) -> None:
        (self.path / _SOCKET).unlink(missing_ok=True)
        self._socket_folder.close()
        os.close(self._lock)


def admin_socket(path: Path) -> str | None:
    """The socket of the orchestrator that holds a folder; None if none runs there."""
    try:
        found = orjson.loads((path / _SOCKET).read_bytes())["socket"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def _kept(path: Path, make: object) -> str:
    assert callable(make)
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        value = str(make())
        _write(path, value.encode())
        return value


def _write(path: Path, data: bytes) -> None:
    beside = path.with_name(f"{path.name}.new")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    beside.replace(path)
