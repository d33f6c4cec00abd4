"""Redaction where text leaves the process: logging handlers, structlog, uncaught exceptions."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, Final

from sdk.module_runtime.secrets.redaction.registry import SECRETS
from sdk.module_runtime.secrets.redaction.values import redact_exception, redact_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from structlog.typing import EventDict, WrappedLogger

    from sdk.module_runtime.secrets.redaction.registry import SecretRegistry

_STANDARD_FIELDS: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


class RedactedException(Exception):
    """Stands in a log record for an exception whose traceback showed a secret; its text is the redacted traceback."""


class SecretRedactionFilter(logging.Filter):
    """Redacts message, arguments, extra fields, exception and stack of each record, in place; all records pass."""

    def __init__(self, registry: SecretRegistry = SECRETS) -> None:
        super().__init__()
        self.registry = registry

    def filter(self, record: logging.LogRecord) -> bool:
        self._redact_message(record)
        if record.exc_info and record.exc_info[1] is not None:
            stand_in = _stand_in(record.exc_info[1], self.registry)
            if stand_in is not None:
                record.exc_info = (RedactedException, stand_in, None)
                record.exc_text = str(stand_in)
        if record.exc_text:
            record.exc_text = self.registry.redact(record.exc_text)
        if record.stack_info:
            record.stack_info = self.registry.redact(record.stack_info)
        for name, value in list(record.__dict__.items()):
            if name not in _STANDARD_FIELDS:
                record.__dict__[name] = redact_value(value, self.registry)
        return True

    def _redact_message(self, record: logging.LogRecord) -> None:
        if isinstance(record.msg, dict):  # an event of structlog on its way to a ProcessorFormatter
            record.msg = _redact_event(record.msg, self.registry)
            return
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):  # logging would print the arguments to standard error
            message = f"{record.msg} {record.args!r}"
            record.msg, record.args = self.registry.redact(message), None
            return
        clean = self.registry.redact(message)
        if clean != message or redact_value(record.args, self.registry) != record.args:
            record.msg, record.args = clean, None


def secret_redaction_processor(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Processor of structlog; stands before the renderer."""
    return _redact_event(event, SECRETS)


def install_secret_redaction_filter(registry: SecretRegistry = SECRETS) -> Callable[[], None]:
    """Redact what any present logging handler writes, and tracebacks of uncaught exceptions, threads' too.

    Handlers made afterwards need another call, which adds no second filter to the others. Answers what takes it back.
    """
    added = [handler for handler in _handlers() if not _is_filtered(handler, registry)]
    redaction = SecretRedactionFilter(registry)
    for handler in added:
        handler.addFilter(redaction)
    hook, thread_hook = sys.excepthook, threading.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if _stand_in(error, registry) is None:
            hook(kind, error, trace)
        else:
            sys.stderr.write(redact_exception(error, registry))

    def show_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is None or _stand_in(args.exc_value, registry) is None:
            thread_hook(args)
        else:
            name = args.thread.name if args.thread else "?"
            sys.stderr.write(
                registry.redact(f"Exception in thread {name}:\n") + redact_exception(args.exc_value, registry)
            )

    sys.excepthook, threading.excepthook = show, show_thread

    def uninstall() -> None:
        for handler in added:
            handler.removeFilter(redaction)
        if sys.excepthook is show:
            sys.excepthook = hook
        if threading.excepthook is show_thread:
            threading.excepthook = thread_hook

    return uninstall


def _redact_event(event: Any, registry: SecretRegistry) -> dict[str, Any]:
    clean: dict[str, Any] = {}
    for name, value in event.items():
        if name in ("_record", "_from_structlog"):
            clean[name] = value
        elif name == "exc_info":
            clean[name] = _redact_exc_info(value, registry)
        else:
            clean[registry.redact(name)] = redact_value(value, registry)
    return clean


def _redact_exc_info(value: Any, registry: SecretRegistry) -> Any:
    """Every shape structlog takes: ``True``, an exception, or the triple of ``sys.exc_info``."""
    error = value[1] if isinstance(value, tuple) else sys.exc_info()[1] if value is True else value
    if not isinstance(error, BaseException):
        return value
    stand_in = _stand_in(error, registry)
    return value if stand_in is None else (RedactedException, stand_in, None)


def _stand_in(error: BaseException, registry: SecretRegistry) -> RedactedException | None:
    shown = "".join(traceback.format_exception(error))
    clean = registry.redact(shown)
    return None if clean == shown else RedactedException(clean.rstrip("\n"))


def _handlers() -> Iterator[logging.Handler]:
    seen: set[int] = set()
    named = (each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger))
    last = [] if logging.lastResort is None else [logging.lastResort]
    for handler in [*last, *logging.root.handlers, *(handler for logger in named for handler in logger.handlers)]:
        if id(handler) not in seen:
            seen.add(id(handler))
            yield handler


def _is_filtered(handler: logging.Handler, registry: SecretRegistry) -> bool:
    return any(isinstance(each, SecretRedactionFilter) and each.registry is registry for each in handler.filters)
