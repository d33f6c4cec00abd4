"""Where the keys come from: ``file:PATH``, ``environment:VARIABLE`` or ``keyring:SERVICE/USER``.

Each holds keys as 64 hexadecimal digits, one a line (in a variable, spaces will do); the first seals, the others open
what older keys have sealed. Lines that begin with ``#`` are comments.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.atomic_file import replace_file, sync_folder
from sdk.module_runtime.orchestrator.secrets.keys import KEY_BYTES, MasterKeys, key_id

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_LARGEST: Final = 16_384
_KEY: Final = re.compile(rf"[0-9A-Fa-f]{{{2 * KEY_BYTES}}}", re.ASCII)


def load_keys(source: str, environ: Mapping[str, str] | None = None) -> MasterKeys:
    """Raises ``ConfigurationError``, which says where and what to do, and shows no key."""
    environ = os.environ if environ is None else environ
    return MasterKeys(_parse(_read(source, environ), source), again=lambda: load_keys(source, environ))


def create_key(source: str) -> MasterKeys:
    """A new random key in a new file or an empty keyring entry; ``ConfigurationError`` if there is one already."""
    kind, place = _split(source)
    key = os.urandom(KEY_BYTES)
    if kind == "file":
        _write_new(Path(place), f"{key.hex()}\n")
    elif kind == "keyring":
        if _from_keyring(place) is not None:
            raise ConfigurationError(f"{source} holds a key already")
        _to_keyring(place, key.hex())
    else:
        raise ConfigurationError("an environment variable is set outside: make a key with `openssl rand -hex 32`")
    return load_keys(source)


def add_key(source: str) -> MasterKeys:
    """A new key before the present ones, which stay to open what they have sealed."""
    return _replace(source, [os.urandom(KEY_BYTES), *_parse(_read(source, os.environ), source)])


def keep_keys(source: str, ids: Collection[str]) -> MasterKeys:
    """Drop the keys that are not in use, as ``ids`` are. ``ConfigurationError`` if one of those is missing."""
    keys = _parse(_read(source, os.environ), source)
    kept = [key for key in keys if key_id(key) in ids]
    if len(kept) != len(ids):
        raise ConfigurationError(f"{source} lacks a key that is in use, so none was dropped")
    return load_keys(source) if kept == keys else _replace(source, kept)


def is_writable(source: str) -> bool:
    """Whether keys can be added here; those of an environment variable are set outside."""
    return _split(source)[0] != "environment"


def _replace(source: str, keys: list[bytes]) -> MasterKeys:
    MasterKeys(keys)  # refuses too many
    kind, place = _split(source)
    text = "".join(f"{key.hex()}\n" for key in keys)
    if kind == "file":
        try:
            replace_file(Path(place), text)
        except OSError as error:
            raise ConfigurationError(f"the key file {place} cannot be written: {error.strerror}") from None
    elif kind == "keyring":
        _to_keyring(place, text)
    else:
        raise ConfigurationError("an environment variable is set outside: put the new key first, then a space")
    return load_keys(source)


def _split(source: str) -> tuple[str, str]:
    kind, _, place = source.partition(":")
    if kind not in ("file", "environment", "keyring") or not place:
        raise ConfigurationError("name the source of keys as file:PATH, environment:VARIABLE or keyring:SERVICE/USER")
    return kind, place


def _read(source: str, environ: Mapping[str, str]) -> str:
    kind, place = _split(source)
    if kind == "file":
        return _from_file(Path(place))
    text = environ.get(place) if kind == "environment" else _from_keyring(place)
    if text is None:
        raise ConfigurationError(f"{source} holds no key: `sdk runtime secrets init` makes one")
    return text


def _parse(text: str, source: str) -> list[bytes]:
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    words = [word for line in lines for word in line.replace(",", " ").split()]
    if not words or any(_KEY.fullmatch(word) is None for word in words):
        raise ConfigurationError(f"{source} must hold keys of {2 * KEY_BYTES} hexadecimal digits, one a line")
    return [bytes.fromhex(word) for word in dict.fromkeys(words)]


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ConfigurationError(f"the key file {path} is no regular file")
            if stat.S_IMODE(found.st_mode) & 0o077 or found.st_uid not in (0, os.geteuid()):
                raise ConfigurationError(f"the key file {path} must be yours alone: chown it to you and chmod 600 it")
            data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigurationError(
            f"the key file {path} cannot be read ({error.strerror}): `sdk runtime secrets init` makes one"
        ) from None
    if len(data) > _LARGEST:
        raise ConfigurationError(f"{path} is larger than {_LARGEST} bytes: that is no key file")
    return data.decode("ascii", "replace")


def _write_new(path: Path, text: str) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigurationError(f"the key file {path} cannot be made: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    sync_folder(path.parent)


def _from_keyring(place: str) -> str | None:
    keyring, service, user = _keyring(place)
    try:
        found: str | None = keyring.get_password(service, user)
    except Exception as error:  # noqa: BLE001 - backends raise what they like besides KeyringError
        raise ConfigurationError(f"the keyring cannot be read: {type(error).__name__}") from None
    return found


def _to_keyring(place: str, text: str) -> None:
    keyring, service, user = _keyring(place)
    try:
        keyring.set_password(service, user, text)
    except Exception as error:  # noqa: BLE001 - see above
        raise ConfigurationError(f"the keyring cannot be written: {type(error).__name__}") from None


def _keyring(place: str) -> tuple[Any, str, str]:
    try:
        import keyring
        import keyring.errors
    except ImportError:
        raise ConfigurationError("for a keyring, install sdk-module-runtime[keyring]") from None
    service, _, user = place.partition("/")
    return keyring, service, user or "secrets"
