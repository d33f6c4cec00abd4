"""Nothing that is printed shows a registered value, in whatever encoding and by whatever way it gets there."""

from __future__ import annotations

import asyncio
import base64
import html
import io
import json
import logging
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import pytest_asyncio
import structlog
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from sdk.module_runtime.auth import JwtKey, KeySet, LocalTokens, OrchestratorTokens
from sdk.module_runtime.cli import command
from sdk.module_runtime.errors import LinkClosed, ServiceOperationFailed
from sdk.module_runtime.orchestrator.secrets.keeper import ModuleSecrets
from sdk.module_runtime.orchestrator.secrets.keys import MasterKeys
from sdk.module_runtime.orchestrator.secrets.rights import SecretRights
from sdk.module_runtime.orchestrator.secrets.store import SecretStore
from sdk.module_runtime.secrets import (
    ChainedProvider,
    EnvironmentProvider,
    Fetched,
    FileProvider,
    MemoryProvider,
    OrchestratorProvider,
    Secret,
    SecretClient,
    SecretProvider,
)
from sdk.module_runtime.secrets.redaction import SecretRegistry, install_secret_redaction_filter
from sdk.module_runtime.secrets.redaction.forms import forms_of
from sdk.module_runtime.secrets.typed import as_base64, as_hex, as_int
from sdk.module_runtime.storage.migrations import MIGRATIONS
from sdk.service.database import Database
from sdk.service.logging import configure_logging, get_logger
from sdk.service.migrations import upgrade
from support.secret_rig import KeeperLink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

# No character of the marker or of what the log writes around it, so that nothing is found by chance.
VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=12, max_size=60).filter(
    lambda text: len(set(text)) > 6 and not text.isascii()
) | st.text("QXZ!%&+/=<>\\\"'~ \n\u00fc\u4e2d\U0001f511", min_size=12, max_size=60).filter(
    lambda text: len(set(text)) > 5
)
ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "repr": repr,
    "json": json.dumps,
    "json in json": lambda value: json.dumps(json.dumps(value)),
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64url": lambda value: base64.urlsafe_b64encode(value.encode()).decode().rstrip("="),
    "base64 within": lambda value: base64.b64encode(f"user:{value}:x".encode()).decode(),
    "hex": lambda value: value.encode().hex(),
    "url": lambda value: quote(value, safe=""),
    "html": html.escape,
    "bytes": lambda value: repr(value.encode()),
}


@pytest.fixture
def logging_restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in [each for each in root.handlers if each not in handlers]:
        root.removeHandler(handler)
    root.setLevel(level)


def shown_forms(value: str, output: str) -> list[str]:
    """Forms of ``value`` that ``output`` shows, of those long enough not to be there by chance."""
    return [form.text for form in forms_of(value) if len(form.text) >= 8 and form.text in output]


class _Telling:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"<Telling {self.text}>"


def fail_with(text: str) -> None:
    local_variable = {"password": text, "n": [text]}
    try:
        raise KeyError(text)
    except KeyError as cause:
        error = RuntimeError("connecting failed", {"with": text}, local_variable)
        error.add_note(f"tried {text}")
        raise error from cause


def log_everywhere(text: str) -> None:
    log, plain = get_logger("sdk.attack"), logging.getLogger("foreign")
    log.info(f"event {text}")
    log.info(
        "fields", plain=text, nested={"list": [text, (text, {text: text})]}, raw=text.encode(), telling=_Telling(text)
    )
    log.info("long", field="x" * 1_990 + text + "y" * 50)
    log.bind(bound=text).warning("bound")
    plain.warning("args %s %r", text, {"a": text}, extra={"field": [text]})
    plain.warning("stack", stack_info=True, extra={"more": _Telling(text)})
    with structlog.contextvars.bound_contextvars(context=text):
        log.error("context")
    for logger in (log, plain):
        try:
            fail_with(text)
        except RuntimeError:
            logger.exception("failed")
    try:
        raise ExceptionGroup("several", [ValueError(text), OSError(5, text)])
    except ExceptionGroup:
        log.exception("group")


@pytest.mark.parametrize("style", ["json", "console"])
@settings(max_examples=60)
@given(VALUES, st.sampled_from(sorted(ENCODINGS)))
@pytest.mark.usefixtures("logging_restored")
def test_no_log_shows_a_secret_by_any_way_in_any_encoding(style: Any, value: str, encoding: str) -> None:
    registry, output = SecretRegistry(), io.StringIO()
    registry.register(value)
    configure_logging(style, "debug", stream=output, redact=registry.redact)
    uninstall = install_secret_redaction_filter(registry)
    try:
        log_everywhere(ENCODINGS[encoding](value))
    finally:
        uninstall()
    written = output.getvalue()
    assert "RuntimeError" in written
    assert shown_forms(value, written) == []


@settings(max_examples=40)
@given(VALUES)
async def test_no_error_of_a_value_that_cannot_be_used_shows_it(value: str) -> None:
    """With every local variable of every frame printed beside it, as crash reporters do, after redaction."""
    registry = SecretRegistry()
    held = Secret(value, registry=registry)

    class Failing(SecretProvider):
        kind = "failing"

        async def get(self, name: str) -> Fetched:
            raise RuntimeError(f"{name} is {value}")

    class Lying:
        extensions = frozenset({"secrets"})

        async def open_service(self, *_args: Any, **_options: Any) -> str:
            return "c"

        async def operate(self, *_args: Any, **_options: Any) -> Any:
            raise ServiceOperationFailed("Jwt", "validate", value)

        async def extension_call(self, *_args: Any, **_options: Any) -> Any:
            raise LinkClosed(value)

        def on_rotated(self, _listener: Any) -> Any:
            return lambda: None

    link: Any = Lying()
    key = JwtKey.secret(Secret(b"k" * 32, registry=registry))
    attempts: list[Any] = [
        SecretClient(Failing()).get("DB"),
        SecretClient(MemoryProvider({"DB": "x" * 20})).get(value),
        MemoryProvider().set("DB", value * 2_000),
        OrchestratorProvider(link).get("DB"),
        OrchestratorTokens(link).validate("eyJhbGciOiJIUzI1NiJ9.e30.x"),
        LocalTokens(KeySet([key])).validate(value),
        LocalTokens(KeySet([key]), signer=key).generate({"exp": value}),
    ]
    calls: list[Callable[[], Any]] = [
        lambda: as_int("DB", held),
        lambda: as_base64("DB", held),
        lambda: as_hex("DB", held),
        lambda: JwtKey.secret(value[:10]),
        lambda: JwtKey.pem(value),
        lambda: JwtKey.pem(f"-----BEGIN PRIVATE KEY-----\n{value}\n-----END PRIVATE KEY-----"),
        lambda: SecretRights(read=(value,)).may_read(None),  # type: ignore[arg-type]
    ]
    errors = [each for each in await asyncio.gather(*attempts, return_exceptions=True) if isinstance(each, Exception)]
    for call in calls:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
            errors.append(error)
    assert len(errors) >= len(attempts) + 5
    for each in errors:
        told = traceback.TracebackException.from_exception(each, capture_locals=True)
        assert shown_forms(value, registry.redact("".join(told.format()))) == []


def test_nothing_that_holds_a_secret_shows_it_when_it_is_looked_at(tmp_path: Path) -> None:
    value = "QXZ-the-value/of+this test"
    (tmp_path / "s.toml").write_text(f'DB = "{value}"')
    providers = [
        MemoryProvider({"DB": value}),
        EnvironmentProvider(environ={"DB": value}),
        FileProvider(tmp_path / "s.toml"),
    ]
    keys = [JwtKey.secret(f"{value} and more of it, so it is long"), JwtKey.secret(value * 2, kid="k")]
    objects: list[Any] = [
        *providers,
        ChainedProvider(providers),
        SecretClient(providers[0]),
        Fetched(Secret(value)),
        keys,
        KeySet(keys[1:]),
        LocalTokens(KeySet(keys[:1]), signer=keys[0]),
        MasterKeys([bytes(32)]),
    ]
    for each in objects:
        if isinstance(each, EnvironmentProvider):
            assert value not in repr(each)
            continue
        seen = f"{each} {each!r} {getattr(each, '__dict__', '')}"
        for inner in getattr(each, "__dict__", {}).values():
            seen += f"{inner!r}{getattr(inner, '__dict__', '')}"
        assert value not in seen


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[SecretStore]:
    async with await Database.open(f"sqlite:///{tmp_path}/secrets.db") as database:
        await upgrade(database, [MIGRATIONS])
        yield await SecretStore.open(database, MasterKeys([bytes(32)]), registry=SecretRegistry())


async def test_a_module_that_knows_a_secret_cannot_put_it_into_the_audit_or_the_log(
    store: SecretStore, caplog: pytest.LogCaptureFixture
) -> None:
    """By asking for it as a name, naming it as a rotation, or giving it as the reason of a failure."""
    value = "QXZ-known-to-the-module-0123"
    keeper = ModuleSecrets(store, {"m": SecretRights(read=("DB",))})
    link = KeeperLink(keeper, "m")
    await store.set({"DB": value}, actor="operator:test")
    await keeper.get("m", "DB")
    rotation = (await store.set({"DB": f"{value}-2"}, actor="operator:test")).rotation_id
    for name in (value, value.encode().hex(), f"\x1b[2J{value}\n"):
        await keeper.call("m", "get", {"name": name})
        await keeper.call("m", "delete", {"name": name})
    await link.acknowledge_rotation(value, success=False, message=value)
    await link.acknowledge_rotation(rotation, success=False, message=f"no {base64.b64encode(value.encode()).decode()}")
    rows = [repr(row) for row in await store.audit(limit=1_000)] + [repr(row) for row in await store.holders("DB")]
    assert len(rows) > 8
    for text in (*rows, caplog.text):
        assert shown_forms(value, text) == []
        assert "\x1b" not in text


async def test_what_is_damaged_in_the_database_is_told_without_what_it_was(tmp_path: Path) -> None:
    value = "QXZ-stored-and-damaged-0123"
    url, key = f"sqlite:///{tmp_path}/secrets.db", tmp_path / "key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    environment = {"SDK_DATABASE_URL": url, "SDK_RUNTIME_SECRET_KEY": f"file:{key}"}
    async with await Database.open(url) as database:
        await upgrade(database, [MIGRATIONS])
        store = await SecretStore.open(database, MasterKeys([bytes.fromhex("ab" * 32)]), registry=SecretRegistry())
        await store.set({"DB": value}, actor="operator:test")
    key.write_text("cd" * 32)
    told = await asyncio.to_thread(CliRunner(env=environment).invoke, command, ["secrets", "get", "DB"])
    assert told.exception is not None
    output = told.output + "".join(traceback.format_exception(told.exception))
    assert "which is not among those given" in output
    for hidden in (value, "ab" * 32, "cd" * 32):
        assert hidden not in output
