"""Logging: libraries configure nothing, programs get one redacted line for each event."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from sdk.service.logging import REDACTED, configure_logging, get_logger, redact_text, redact_value

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    for handler in list(root.handlers):
        if handler not in handlers:
            root.removeHandler(handler)
    root.setLevel(level)


def test_a_library_prints_nothing_in_an_application_that_configured_nothing() -> None:
    program = (
        "from sdk.service.logging import get_logger; log = get_logger('sdk.x'); log.error('oops', a=1); log.info('b')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_one_json_object_a_line(stream: io.StringIO) -> None:
    configure_logging("json", "debug", stream=stream)
    log = get_logger("sdk.sample")
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        log.info("action created", txid="ab" * 32, satoshis=5, raw=b"12345", items=[1, "two"])
        logging.getLogger("foreign").warning("from %s", "elsewhere", extra={"height": 7})
    try:
        raise ValueError("inner\nline")
    except ValueError:
        log.exception("failed")
    log.debug("last")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["action created", "from elsewhere", "failed", "last"]
    assert lines[0] | {"timestamp": ""} == {
        "event": "action created",
        "txid": "ab" * 32,
        "satoshis": 5,
        "raw": "<5 bytes>",
        "items": [1, "two"],
        "request_id": "r1",
        "level": "info",
        "logger": "sdk.sample",
        "timestamp": "",
    }
    assert lines[1]["height"] == 7
    assert lines[1]["request_id"] == "r1"
    assert "ValueError: inner" in lines[2]["exception"]


def test_fields_may_have_any_name(stream: io.StringIO) -> None:
    configure_logging("json", "info", stream=stream)
    fields = dict.fromkeys(("name", "args", "msg", "message", "levelname", "asctime", "module", "thread"), "x")
    get_logger("sdk.sample").info("event", **fields)
    line = json.loads(stream.getvalue())
    assert line["event"] == "event"
    assert all(line[f"{name}_"] == "x" for name in fields)


def test_levels_and_the_console(stream: io.StringIO) -> None:
    configure_logging("console", "warning", stream=stream, redact=lambda line: line.replace("hunter2", "***"))
    log = get_logger("sdk.sample")
    log.info("not shown")
    log.warning("shown", note="hunter2")
    assert "not shown" not in stream.getvalue()
    assert "shown" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()
    assert "***" in stream.getvalue()


def test_configuring_twice_logs_once(stream: io.StringIO) -> None:
    for _ in range(2):
        configure_logging("json", "info", stream=stream)
    get_logger("sdk.sample").info("once")
    assert len(stream.getvalue().splitlines()) == 1


SECRET_NAMES = [
    "password",
    "db_password",
    "apiKey",
    "api_key",
    "rootKeyHex",
    "privateKey",
    "private_key",
    "Authorization",
    "mnemonic",
    "refresh_token",
    "cookie",
    "wif",
    "seed",
    "secret",
    "client_secret",
    "primaryKeyHex",
    "tokens",
    "shares",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_values_named_secret_are_hidden_wherever_they_stand(name: str) -> None:
    assert redact_value(name, "abc") == REDACTED
    assert redact_value("outer", {"inner": [{name: "abc"}]}) == {"inner": [{name: REDACTED}]}


@pytest.mark.parametrize(
    "name", ["txid", "identity_key", "public_key", "key_id", "satoshis", "seedling", "event", "tokenize"]
)
def test_values_that_are_not_secret_stay(name: str) -> None:
    assert redact_value(name, "abc") == "abc"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql+psycopg://sdk:hunter22@host/db",
        "Authorization: Bearer hunter22hunter22",
        "Basic aHVudGVyMjI6aHVudGVyMjI=",
        "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
    ],
)
def test_secrets_inside_text_are_hidden(text: str) -> None:
    redacted = redact_text(f"before {text} after")
    assert REDACTED in redacted
    assert redacted.startswith("before ")
    assert redacted.endswith(" after")
    for part in ("hunter22", "aHVudGVyMjI", "9s21ZrQH"):
        assert part not in redacted


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=10,
))  # fmt: skip
def test_anything_can_be_logged(value: Any) -> None:
    stream = io.StringIO()
    rendered = structlog.processors.JSONRenderer(default=str)(None, "info", {"value": redact_value("value", value)})
    stream.write(str(rendered))
    assert "\n" not in stream.getvalue()


@pytest.mark.parametrize("style", ["json", "console"])
def test_what_the_program_knows_is_hidden_before_anything_is_cut_or_hidden_in_part(
    stream: io.StringIO, style: Any
) -> None:
    secret = "https://user:pass-word@host/path-of-the-secret"
    configure_logging(style, "info", stream=stream, redact=lambda text: text.replace(secret, "***"))
    log = get_logger("sdk.sample")
    for offset in range(1_950, 2_001, 5):
        log.info("long", text="x" * offset + secret, inner={"list": ["y" * offset + secret]})
    log.info("whole", url=secret)
    a_local_variable = secret
    try:
        raise ValueError("z" * 1_990 + a_local_variable)
    except ValueError:
        log.exception("failed")
    assert "ValueError: zzz" in stream.getvalue()
    for part in ("user:", "host/path", "https:"):
        assert part not in stream.getvalue()


def test_long_values_are_cut() -> None:
    assert len(redact_value("body", "x" * 1_000_000)) < 2_100
