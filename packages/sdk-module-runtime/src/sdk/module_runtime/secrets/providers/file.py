"""Secrets in a file: a flat TOML or JSON table of texts, or a folder with one file for each."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import orjson

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.atomic_file import replace_file
from sdk.module_runtime.secrets.errors import SecretBackendError, SecretError, SecretNotFound, SecretUnsupported
from sdk.module_runtime.secrets.names import LARGEST_VALUE, check_name, check_value
from sdk.module_runtime.secrets.provider import Change, Fetched, SecretProvider
from sdk.module_runtime.secrets.typed import Secret
from sdk.service.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_log = get_logger(__name__)
_LARGEST: Final = 1 << 20
_MOST: Final = 10_000
_LOOK_EVERY: Final = 2_000
"""Milliseconds. Some file systems tell of no change, and one before the watch began is told of by none."""


class FileProvider(SecretProvider):
    """Values are those of the last good reading: a file that is being edited, or damaged, changes nothing.

    ``start`` follows changes, of values too. A table is rewritten whole by ``set`` and ``delete``, without comments;
    processes that do so at once wait for one another. A folder is read-only.
    """

    kind: ClassVar[str] = "file"

    def __init__(self, path: Path | str) -> None:
        """Raises ``ConfigurationError`` if ``path`` cannot be read now."""
        super().__init__()
        self.path = Path(path)
        self._is_folder = self.path.is_dir()
        self._read = read_folder if self._is_folder else read_table
        self._secrets = self._wrapped(self._read(self.path))
        self._watcher: asyncio.Task[None] | None = None
        self._stop, self._reading = asyncio.Event(), asyncio.Lock()

    async def get(self, name: str) -> Fetched:
        secret = self._secrets.get(check_name(name))
        if secret is None:
            raise SecretNotFound(name, f"it is not in {self.path}")
        return Fetched(secret)

    async def set(self, name: str, value: str) -> None:
        check_value(name, value)
        secret = Secret(value)
        check_name(name)
        self._require_table(name)
        await asyncio.to_thread(self._rewrite, name, secret)
        await self.refresh()

    async def delete(self, name: str) -> None:
        check_name(name)
        self._require_table(name)
        await asyncio.to_thread(self._rewrite, name, None)
        await self.refresh()

    async def names(self) -> list[str]:
        return sorted(self._secrets)

    async def refresh(self) -> Change:
        """Read again, and tell what is different."""
        async with self._reading:
            found = self._wrapped(await asyncio.to_thread(self._read, self.path))
            known, self._secrets = self._secrets, found
        change = Change(
            added=frozenset(found.keys() - known.keys()),
            changed=frozenset(name for name in found.keys() & known.keys() if found[name] != known[name]),
            removed=frozenset(known.keys() - found.keys()),
        )
        await self._tell(change)
        return change

    def start(self) -> None:
        """Follow changes from now on, until ``close``."""
        if self._watcher is None:
            self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        self._stop.set()
        if self._watcher is not None:
            await self._watcher

    async def _watch(self) -> None:
        seen = None
        while not self._stop.is_set():
            try:
                async for _ in self._signs():
                    seen, before = await asyncio.to_thread(_signature, self.path, self._is_folder), seen
                    if seen != before:
                        await self.refresh()
            except (ConfigurationError, OSError, RuntimeError) as error:  # the last is the library's, for what is gone
                _log.warning("secret_file_unreadable", path=str(self.path), reason=str(error))
                await self._pause()

    async def _signs(self) -> AsyncIterator[None]:
        """Whenever something may have changed, and from time to time."""
        try:
            from watchfiles import awatch
        except ImportError:  # the extra is not installed: look instead of being told
            while not self._stop.is_set():
                yield
                await self._pause()
            return
        folder = self.path if self._is_folder else self.path.parent  # a file that is replaced is another file
        async for _changes in awatch(
            folder,
            stop_event=self._stop,
            recursive=False,
            step=20,
            debounce=200,
            rust_timeout=_LOOK_EVERY,
            yield_on_timeout=True,
        ):
            yield

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), _LOOK_EVERY / 1000)

    def _wrapped(self, values: dict[str, str]) -> dict[str, Secret[str]]:
        return {name: Secret(value) for name, value in values.items()}

    def _require_table(self, name: str) -> None:
        if self._is_folder:
            raise SecretUnsupported(name, f"{self.path} is a folder, which is not written to")

    def _rewrite(self, name: str, secret: Secret[str] | None) -> None:
        try:
            with _locked(self.path):
                values = read_table(self.path)
                if secret is not None:
                    values[name] = secret.expose()
                elif values.pop(name, None) is None:
                    raise SecretNotFound(name, f"it is not in {self.path}")
                replace_file(self.path, written(self.path, values))
        except OSError as error:
            raise SecretBackendError(name, f"{self.path} cannot be written: {error.strerror}") from None


def read_table(path: Path) -> dict[str, str]:
    """Raises ``ConfigurationError``, which shows no value."""
    data = _content(path, _LARGEST)
    try:
        document = orjson.loads(data) if path.suffix == ".json" else tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, orjson.JSONDecodeError):  # they keep the text
        raise ConfigurationError(f"{path} is no {'JSON' if path.suffix == '.json' else 'TOML'}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path} holds no table")
    if len(document) > _MOST:
        raise ConfigurationError(f"{path} holds more than {_MOST} secrets")
    for name, value in document.items():
        if not isinstance(value, str):
            raise ConfigurationError(f"{path}: write {name} as a text, in quotes")
        _check(path, name, value)
    return document


def read_folder(path: Path) -> dict[str, str]:
    """One file a secret, as Kubernetes and Docker mount them; without dot files, and without one newline at the end."""
    try:
        files = sorted(each for each in path.iterdir() if not each.name.startswith(".") and each.is_file())
    except OSError as error:
        raise ConfigurationError(f"the folder {path} cannot be read: {error.strerror}") from None
    if len(files) > _MOST:
        raise ConfigurationError(f"{path} holds more than {_MOST} files")
    return {each.name: _from_file(path, each) for each in files}


def _from_file(folder: Path, path: Path) -> str:
    try:
        text = _content(path, LARGEST_VALUE + 1).decode()
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path} is no text") from None
    text = text.removesuffix("\n")
    _check(folder, path.name, text)
    return text


def _signature(path: Path, is_folder: bool) -> tuple[tuple[str, int, int, int], ...] | None:
    """Differs once something was written; None if it is gone."""
    try:
        found = [(each, each.stat()) for each in (sorted(path.iterdir()) if is_folder else (path,))]
    except OSError:
        return None
    return tuple((each.name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for each, stat in found)


def _check(path: Path, name: str, value: str) -> None:
    try:
        check_value(check_name(name), value)
    except SecretError as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _content(path: Path, largest: int) -> bytes:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ConfigurationError(f"{path} is no regular file")
            data = file.read(largest + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > largest:
        raise ConfigurationError(f"{path} is larger than {largest} bytes")
    return data


def written(path: Path, values: dict[str, str]) -> str:
    """The text of a table; ``read_table`` is the inverse."""
    if path.suffix == ".json":
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    return "".join(f"{_quoted(name)} = {_quoted(value)}\n" for name, value in values.items())


def _quoted(text: str) -> str:
    """JSON's escapes are TOML's, which wants DEL escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
