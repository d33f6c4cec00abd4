"""What redaction adds to a line of the log, measured in processor time."""

from __future__ import annotations

import io
import logging
import time
from typing import TYPE_CHECKING

import pytest

from sdk.module_runtime.secrets.redaction import SecretRegistry
from sdk.service.logging import configure_logging, get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS, LINES = 20, 50


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    for handler in [each for each in root.handlers if each not in handlers]:
        root.removeHandler(handler)
    root.setLevel(level)


def microseconds_a_line(stream: io.StringIO, registry: SecretRegistry | None) -> float:
    configure_logging("json", "info", stream=stream, redact=None if registry is None else registry.redact)
    log = get_logger("sdk.speed")
    fields = {"txid": "ab" * 32, "url": "https://db.example/wallet", "satoshis": 5_000, "labels": ["payment", "shop"]}
    rounds = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        for _ in range(LINES):
            log.info("payment sent", **fields)
        rounds.append((time.process_time() - begin) / LINES)
    return min(rounds) * 1e6


def test_a_thousand_secrets_add_less_than_fifty_microseconds_to_a_line(stream: io.StringIO) -> None:
    registry = SecretRegistry()
    for index in range(1_000):
        registry.register(f"{index:04}/{index * 7919:032x}+")
    without, with_secrets = (microseconds_a_line(stream, each) for each in (None, registry))
    assert stream.getvalue().count("payment sent") == 2 * ROUNDS * LINES
    assert with_secrets - without < 50, f"{without:.0f} without, {with_secrets:.0f} with a thousand secrets"


def test_secrets_that_come_one_by_one_between_lines_cost_little_each() -> None:
    registry = SecretRegistry()
    begin = time.process_time()
    for index in range(1_000):
        registry.register(f"{index:04}/{index * 7919:032x}+")
        assert registry.redact(f"<{index:04}/{index * 7919:032x}+>") == "<[redacted]>"
    assert time.process_time() - begin < 10
