"""Logging: libraries log through structlog over the standard library and configure nothing; programs configure once."""

from __future__ import annotations

import logging
import re
import sys
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from structlog.typing import EventDict, WrappedLogger

logging.getLogger("sdk").addHandler(logging.NullHandler())

request_id_variable: Final[ContextVar[str | None]] = ContextVar("sdk_request_id", default=None)
"""The request being worked on; it is added to every event."""

REDACTED: Final = "[redacted]"

_SECRET_NAMES = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|secret|token|authorization|cookie|credential|api_?key|private_?key|priv_?key"
    r"|root_?key|primary_?key_?hex|mnemonic|seed|wif|xprv|shares?)s?(?:_|$)",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(@)", re.IGNORECASE)
_BEARER = re.compile(r"(\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_EXTENDED_KEY = re.compile(r"\b[xt]prv[1-9A-HJ-NP-Za-km-z]{20,}")
_LONGEST = 2_000


class Logger:
    """A bound logger. What is switched off costs next to nothing, and structlog is imported on first use."""

    __slots__ = ("_bound", "_fields", "_stdlib")

    def __init__(self, stdlib: logging.Logger, fields: dict[str, Any] | None = None) -> None:
        self._stdlib = stdlib
        self._fields = fields or {}
        self._bound: Any = None

    def bind(self, **fields: Any) -> Logger:
        """A logger that adds ``fields`` to every event."""
        return Logger(self._stdlib, {**self._fields, **fields})

    def debug(self, event: str, **fields: Any) -> None:
        if self._stdlib.isEnabledFor(logging.DEBUG):
            self._structlog().debug(event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        if self._stdlib.isEnabledFor(logging.INFO):
            self._structlog().info(event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        if self._stdlib.isEnabledFor(logging.WARNING):
            self._structlog().warning(event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        if self._stdlib.isEnabledFor(logging.ERROR):
            self._structlog().error(event, **fields)

    def critical(self, event: str, **fields: Any) -> None:
        if self._stdlib.isEnabledFor(logging.CRITICAL):
            self._structlog().critical(event, **fields)

    def exception(self, event: str, **fields: Any) -> None:
        """An error with the traceback of the exception being handled."""
        if self._stdlib.isEnabledFor(logging.ERROR):
            self._structlog().exception(event, **fields)

    def _structlog(self) -> Any:
        if self._bound is None:
            import structlog

            self._bound = structlog.wrap_logger(
                self._stdlib,
                wrapper_class=structlog.stdlib.BoundLogger,
                processors=[
                    structlog.contextvars.merge_contextvars,
                    _add_request_id,
                    _rename_reserved,
                    structlog.stdlib.render_to_log_kwargs,
                ],
            ).bind(**self._fields)
        return self._bound


def get_logger(name: str) -> Logger:
    """A logger for ``name`` (a module's ``__name__``); silent until the application configures logging.

    The event is a fixed string, everything else a field: ``log.info("action created", txid=txid)``.
    """
    return Logger(logging.getLogger(name))


_RESERVED: Final = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime"}) - {"exc_info", "stack_info"}


def _add_request_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    request_id = request_id_variable.get()
    if request_id is not None:
        event.setdefault("request_id", request_id)
    return event


def _rename_reserved(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The standard library raises for a field with a name of its own, such as ``name``: it becomes ``name_``."""
    for name in _RESERVED.intersection(event):
        event[f"{name}_"] = event.pop(name)
    return event


def _drop_rendered(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What other handlers' formatters leave on the record."""
    event.pop("message", None)
    event.pop("asctime", None)
    return event


def configure_logging(
    style: Literal["json", "console"] = "json",
    level: str = "info",
    *,
    stream: TextIO | None = None,
    redact: Callable[[str], str] | None = None,
) -> None:
    """For programs: all logging of the process to ``stream`` (default: standard error), one event a line, redacted.

    ``redact`` hides secrets that only the program knows. It is applied to every text before anything else, because what
    is cut or hidden in part is not recognised any more, and to every finished line.
    """
    import structlog

    renderer: Any = (
        structlog.processors.JSONRenderer(default=str, sort_keys=False)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=(stream or sys.stderr).isatty())
    )
    shared: list[Any] = [
        structlog.stdlib.ExtraAdder(),
        _drop_rendered,
        structlog.contextvars.merge_contextvars,
        _add_request_id,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: list[Any] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,  # here, as the console's own way prints all local variables
    ]
    if redact is None:
        final += [redact_event, renderer]
    else:
        final += [partial(redact_event, redact=redact), renderer, lambda _logger, _method, line: redact(line)]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=final))
    root = logging.getLogger()
    for old in list(root.handlers):
        if getattr(old, "_sdk", False):
            root.removeHandler(old)
    handler._sdk = True  # type: ignore[attr-defined]
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)  # it names each of its own parts at a start


def _nothing_known(text: str) -> str:
    return text


def redact_event(
    _logger: WrappedLogger, _method: str, event: EventDict, *, redact: Callable[[str], str] = _nothing_known
) -> MutableMapping[str, Any]:
    """Processor: hides values whose name says secret, passwords in URLs, and cuts what is too long to log."""
    return {name: redact_value(name, value, redact) for name, value in event.items()}


def redact_value(name: str, value: Any, redact: Callable[[str], str] = _nothing_known) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if _SECRET_NAMES.search(_CAMEL.sub("_", name)):
        return REDACTED
    if isinstance(value, str):
        return redact_text(value, redact)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if isinstance(value, dict):
        return {str(key): redact_value(str(key), each, redact) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [redact_value("", each, redact) for each in value]
    return redact_text(str(value), redact) if name not in ("exc_info", "_record", "_from_structlog") else value


def redact_text(text: str, redact: Callable[[str], str] = _nothing_known) -> str:
    """``text`` without what ``redact`` knows, then without what looks like a secret, then cut."""
    text = _URL_PASSWORD.sub(rf"\1{REDACTED}\2", redact(text))
    text = _BEARER.sub(rf"\1{REDACTED}", text)
    text = _EXTENDED_KEY.sub(REDACTED, text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
