"""Logging: libraries log through structlog over the standard library and configure nothing; programs configure once."""

from __future__ import annotations

import logging
from typing import Any

import structlog

logging.getLogger("sdk").addHandler(logging.NullHandler())


def get_logger(name: str) -> Any:
    """A logger for ``name`` (a module's ``__name__``); silent until the application configures logging.

    The event is a fixed string, everything else a field: ``log.info("action created", txid=txid)``.
    """
    return structlog.wrap_logger(
        logging.getLogger(name),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.render_to_log_kwargs,
        ],
    )
