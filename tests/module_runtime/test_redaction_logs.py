"""Redaction of log records, structlog events and uncaught exceptions, as handlers write them."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from sdk.module_runtime.secrets.redaction import (
    SECRETS,
    SecretRedactionFilter,
    SecretRegistry,
    install_secret_redaction_filter,
    redact_secrets,
    register_secret,
    secret_redaction_processor,
)
from sdk.service.logging import REDACTED, configure_logging, get_logger

SECRET = "hunter22-of-the-log-tests"


@pytest.fixture
def written() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger of its own with one filtered handler, and what it wrote."""
    registry = SecretRegistry()
    registry.register(SECRET)
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(logging.Formatter("%(message)s %(extra_field)s", defaults={"extra_field": "-"}))
    handler.addFilter(SecretRedactionFilter(registry))
    logger = logging.getLogger("test_redaction_logs")
    logger.addHandler(handler)
    logger.propagate = False
    yield logger, output
    logger.removeHandler(handler)
    logger.propagate = True


def test_messages_arguments_and_fields_are_redacted(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, output = written
    logger.error("one %s", SECRET)
    logger.error("two %(a)s", {"a": [SECRET]})
    logger.error("three", extra={"extra_field": {"a": SECRET}})
    logger.error("four %d of %s", 4, "five")
    assert output.getvalue().splitlines() == [
        f"one {REDACTED} -",
        f"two ['{REDACTED}'] -",
        f"three {{'a': '{REDACTED}'}}",
        "four 4 of five -",
    ]


def test_a_message_that_does_not_format_is_written_without_the_secret(
    written: tuple[logging.Logger, io.StringIO], capsys: pytest.CaptureFixture[str]
) -> None:
    logger, output = written
    logger.error("one %s", SECRET, 2)  # noqa: PLE1205 - the fault under test
    assert output.getvalue() == f"one %s ('{REDACTED}', 2) -\n"
    assert capsys.readouterr().err == ""


def test_tracebacks_and_stacks_are_redacted_and_clean_ones_left(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, output = written
    for secret in (SECRET, "harmless"):
        try:
            raise ValueError(f"bad password {secret}")
        except ValueError:
            logger.exception("failed")
    shown = output.getvalue()
    assert SECRET not in shown
    assert f"ValueError: bad password {REDACTED}" in shown
    assert "ValueError: bad password harmless" in shown


@pytest.fixture
def process_secret() -> Iterator[None]:
    register_secret(SECRET)
    uninstall = install_secret_redaction_filter()
    yield
    uninstall()
    SECRETS.retire(SECRET)


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.usefixtures("process_secret")
def test_the_programs_own_logging_is_redacted(style: str) -> None:
    output = io.StringIO()
    before, level = list(logging.root.handlers), logging.root.level
    configure_logging(style, stream=output, redact=redact_secrets)  # type: ignore[arg-type]
    uninstall = install_secret_redaction_filter()
    try:
        get_logger("program_under_redaction").error(
            "login", user="ann", answer=f"no {SECRET}", long="x" * 1990 + SECRET
        )
        try:
            raise ValueError(f"bad {SECRET}")
        except ValueError:
            get_logger("program_under_redaction").exception("failed")
    finally:
        uninstall()
        logging.root.handlers[:] = before
        logging.root.setLevel(level)
    shown = output.getvalue()
    assert SECRET[:8] not in shown, "not even the beginning of one that was cut with its field"
    assert f"ValueError: bad {REDACTED}" in shown
    if style == "json":
        assert [json.loads(line)["event"] for line in shown.splitlines()] == ["login", "failed"]


@pytest.mark.usefixtures("process_secret")
def test_the_structlog_processor_redacts_events_and_exceptions() -> None:
    output = io.StringIO()
    log = structlog.wrap_logger(
        structlog.PrintLogger(output),
        processors=[
            secret_redaction_processor,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
    )
    try:
        raise ValueError(SECRET)
    except ValueError:
        log.error("failed", details={"password": SECRET}, exc_info=True)
    event = json.loads(output.getvalue())
    assert event["details"] == {"password": REDACTED}
    assert f"ValueError: {REDACTED}" in event["exception"]
    assert SECRET not in output.getvalue()


def test_installing_twice_filters_once_and_can_be_taken_back() -> None:
    registry = SecretRegistry()
    handler = logging.NullHandler()
    logging.root.addHandler(handler)
    hook = sys.excepthook
    try:
        first = install_secret_redaction_filter(registry)
        second = install_secret_redaction_filter(registry)
        assert [type(each) for each in handler.filters] == [SecretRedactionFilter]
        second()
        first()
        assert handler.filters == []
        assert sys.excepthook is hook
    finally:
        logging.root.removeHandler(handler)


PROGRAM = """
import threading
from sdk.module_runtime.secrets.redaction import install_secret_redaction_filter, register_secret
register_secret("hunter22")
install_secret_redaction_filter()
def fail(): raise ValueError("thread " + "hunter" + "22")
thread = threading.Thread(target=fail); thread.start(); thread.join()
raise ValueError("main " + "hunter" + "22")
"""


def test_uncaught_exceptions_of_a_process_are_redacted() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert f"ValueError: thread {REDACTED}" in ended.stderr
    assert f"ValueError: main {REDACTED}" in ended.stderr
    assert "hunter22" not in ended.stderr
