"""Which build this is: written into the package when it is built, read when it runs."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from sdk.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from aiohttp import web

FILE: Final = "build_info.json"
UNKNOWN: Final = "unknown"
GIT_HASH: Final = "SDK_BUILD_GIT_HASH"
BUILD_TIME: Final = "SDK_BUILD_TIME"
_GIT_LIMIT: Final = 10.0


class BuildInfo(BaseModel):
    """``build_time_utc`` is ISO 8601. What nobody has written down is ``unknown``."""

    model_config = ConfigDict(frozen=True)

    version: str = UNKNOWN
    git_hash: str = UNKNOWN
    build_time_utc: str = UNKNOWN
    python_version: str = platform.python_version()

    @classmethod
    def made_now(cls, folder: Path, version: str = UNKNOWN, environ: Mapping[str, str] | None = None) -> Self:
        """For the build: of the variables ``SDK_BUILD_GIT_HASH`` and ``SDK_BUILD_TIME``, else of git and the clock."""
        environ = os.environ if environ is None else environ
        return cls(
            version=version,
            git_hash=environ.get(GIT_HASH) or _git_hash(folder),
            build_time_utc=environ.get(BUILD_TIME) or datetime.now(UTC).isoformat(timespec="seconds"),
        )

    @classmethod
    def of(cls, package: str) -> Self:
        """For the program: of ``build_info.json`` in ``package``, and of the installed distribution's version."""
        try:
            found = cls.model_validate_json(files(package).joinpath(FILE).read_text(encoding="utf-8"))
        except (FileNotFoundError, ModuleNotFoundError):
            found = cls()
        except (ValidationError, UnicodeDecodeError):
            raise ConfigurationError(f"{FILE} of {package} was damaged: build it again") from None
        update: dict[str, Any] = {"python_version": platform.python_version()}
        if found.version == UNKNOWN:
            update["version"] = _installed_version(package)
        return found.model_copy(update=update)

    def write(self, folder: Path) -> Path:
        """``build_info.json`` in the folder of the package."""
        path = folder / FILE
        try:
            path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be written: {error.strerror}") from None
        return path


def add_health(app: web.Application, info: BuildInfo, path: str = "/health") -> None:
    """``{"git", "time", "python", "version", "status": "OK"}``, as the Rust SDK answers with its compiler."""
    from aiohttp import web as aiohttp_web

    body = {
        "git": info.git_hash,
        "time": info.build_time_utc,
        "python": info.python_version,
        "version": info.version,
        "status": "OK",
    }

    async def health(_request: web.Request) -> web.Response:
        return aiohttp_web.json_response(body)

    app.router.add_get(path, health)


def _git_hash(folder: Path) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=_GIT_LIMIT,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return done.stdout.strip()


def _installed_version(package: str) -> str:
    try:
        return version(package.replace("_", "-"))
    except PackageNotFoundError:
        return UNKNOWN
