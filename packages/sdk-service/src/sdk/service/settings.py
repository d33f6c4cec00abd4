"""Component settings: defaults, a TOML file, the environment, the command line; each over the one before.

    class ServerSettings(Settings, component="chaintracks"):
        host: str = "127.0.0.1"
        port: int = 8080
        api_key: SecretStr | None = None

    settings = ServerSettings.load()

``SDK_CHAINTRACKS_PORT=9000`` sets ``port``; ``SDK_CHAINTRACKS_API_KEY_FILE=/run/secrets/key`` reads ``api_key`` from a
file. In the TOML file (``file=``, else ``SDK_CONFIG``) each component has a table of its name. A key no setting has
is refused: a mistyped limit must not become no limit.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, Union, get_args, get_origin

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from sdk.core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONFIG_VARIABLE: Final = "SDK_CONFIG"
_FILE: Final = "_FILE"
_MAX_FILE: Final = 1024 * 1024


class Settings(BaseModel):
    """Base class; give the subclass its ``component``. Use ``SecretStr`` for what must never be printed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    component: ClassVar[str] = ""

    def __init_subclass__(cls, *, component: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if component:
            cls.component = component

    @classmethod
    def variable(cls, name: str) -> str:
        """The environment variable of a setting."""
        return f"{cls._prefix()}{name.upper()}"

    @classmethod
    def load(
        cls,
        *,
        environ: Mapping[str, str] | None = None,
        file: str | Path | None = None,
        **given: Any,
    ) -> Self:
        """Read from everywhere; ``given`` (None is "not given") comes from the command line and wins.

        Raises ``ConfigurationError`` naming each wrong setting and where it stands, never its value.
        """
        environ = os.environ if environ is None else environ
        origin: dict[str, str] = {}
        values: dict[str, Any] = {}
        named = file if file is not None else environ.get(CONFIG_VARIABLE)
        if named:
            for name, value in cls._from_file(Path(named)).items():
                values[name], origin[name] = value, f"{name} in {named}"
        for name, (value, variable) in cls._from_environment(environ).items():
            values[name], origin[name] = value, variable
        for name, value in given.items():
            if value is not None:
                values[name], origin[name] = value, f"--{name.replace('_', '-')}"
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigurationError(cls._explain(error, origin)) from None

    @classmethod
    def _prefix(cls) -> str:
        return f"SDK_{cls.component.upper().replace('-', '_')}_"

    @classmethod
    def _from_file(cls, path: Path) -> dict[str, Any]:
        try:
            if path.stat().st_size > _MAX_FILE:
                raise ConfigurationError(f"{path} is larger than 1 MiB: that is no settings file")
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"the settings file {path} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the settings file {path} is not TOML: {error}") from error
        table = document.get(cls.component, {})
        if not isinstance(table, dict):
            raise ConfigurationError(f"{path}: write the settings of {cls.component} under a line [{cls.component}]")
        for name in table:
            cls._known(name, f"{name} in {path}", cls.model_fields)
        return table

    @classmethod
    def _from_environment(cls, environ: Mapping[str, str]) -> dict[str, tuple[Any, str]]:
        found: dict[str, tuple[Any, str]] = {}
        prefix = cls._prefix()
        for variable in sorted(name for name in environ if name.startswith(prefix)):
            name = variable[len(prefix) :].lower()
            if name in cls.model_fields:
                found[name] = (cls._parsed(name, environ[variable]), variable)
            elif variable.endswith(_FILE) and name[: -len(_FILE)] in cls.model_fields:
                name = name[: -len(_FILE)]
                if name in found:
                    raise ConfigurationError(f"{variable} and {cls.variable(name)} are both set: keep one")
                found[name] = (cls._parsed(name, _secret_file(environ[variable], variable)), variable)
            else:
                cls._known(name, variable, map(str.upper, cls.model_fields), prefix)
        return found

    @classmethod
    def _known(cls, name: str, where: str, names: Iterable[str], prefix: str = "") -> None:
        if name in cls.model_fields:
            return
        close = difflib.get_close_matches(name.upper() if prefix else name, list(names), n=1)
        hint = f"; did you mean {prefix}{close[0]}?" if close else ""
        raise ConfigurationError(f"{where} is no setting of {cls.component}{hint}")

    @classmethod
    def _parsed(cls, name: str, text: str) -> Any:
        """Lists and tables are JSON, or a comma-separated list; everything else pydantic reads from text."""
        if not _is_collection(cls.model_fields[name].annotation):
            return text
        if text.lstrip()[:1] in ("[", "{"):
            try:
                return orjson.loads(text)
            except orjson.JSONDecodeError as error:
                raise ConfigurationError(f"{cls.variable(name)} is not JSON: {error.msg}") from None
        return [part.strip() for part in text.split(",") if part.strip()]

    @classmethod
    def _explain(cls, error: ValidationError, origin: Mapping[str, str]) -> str:
        lines = []
        for each in error.errors(include_url=False, include_input=False, include_context=False):
            name = str(each["loc"][0]) if each["loc"] else ""
            inner = ".".join(map(str, each["loc"][1:]))
            where = origin.get(name) or (f"set {cls.variable(name)}" if name else cls.component)
            lines.append(f"{where}{f' ({inner})' if inner else ''}: {each['msg']}")
        return f"{cls.component} settings: {'; '.join(lines)}"


def _secret_file(path: str, variable: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(_MAX_FILE).rstrip("\r\n")
    except OSError as error:
        raise ConfigurationError(f"{variable}: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"{variable}: {path} is not text") from None


def _is_collection(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        return any(_is_collection(each) for each in get_args(annotation))
    kind = origin or annotation
    return isinstance(kind, type) and issubclass(kind, (list, tuple, set, frozenset, dict, BaseModel))
