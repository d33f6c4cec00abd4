"""Sources of secrets: one contract, and what is particular to each."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
import tomllib
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keyring
import keyring.backend
import keyring.errors
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.errors import ConfigurationError, PluginNotFound
from sdk.module_runtime.errors import Unsupported
from sdk.module_runtime.orchestrator.secrets.keeper import ModuleSecrets
from sdk.module_runtime.orchestrator.secrets.keys import MasterKeys
from sdk.module_runtime.orchestrator.secrets.rights import SecretRights
from sdk.module_runtime.orchestrator.secrets.store import SecretStore
from sdk.module_runtime.secrets import (
    ChainedProvider,
    Change,
    EnvironmentProvider,
    FileProvider,
    KeyringProvider,
    MemoryProvider,
    OrchestratorProvider,
    SecretClient,
    chosen_provider,
)
from sdk.module_runtime.secrets.errors import (
    SecretBackendError,
    SecretDenied,
    SecretError,
    SecretInvalid,
    SecretNotFound,
    SecretUnsupported,
)
from sdk.module_runtime.secrets.providers.file import read_table, written
from sdk.module_runtime.secrets.redaction import redact_secrets
from sdk.module_runtime.storage.migrations import MIGRATIONS
from sdk.service.database import Database
from sdk.service.migrations import upgrade
from support.secret_rig import KeeperLink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sdk.module_runtime.secrets import SecretProvider

ENCODABLE = st.characters(exclude_categories=["Cs"])
EVERYTHING = SecretRights(read=("*",), write=("*",))


class PlainKeyring(keyring.backend.KeyringBackend):
    """The library's interface over a dictionary: this machine has no desktop session to keep a keyring."""

    priority = 1

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        if username == "BROKEN":
            raise keyring.errors.KeyringLocked("the value was hunter2-hunter2")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.kept.pop((service, username), None) is None:
            raise keyring.errors.PasswordDeleteError("none")


@pytest_asyncio.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[ModuleSecrets]:
    async with await Database.open(f"sqlite:///{tmp_path}/secrets.db") as database:
        await upgrade(database, [MIGRATIONS])
        store = await SecretStore.open(database, MasterKeys([bytes(32)]))
        yield ModuleSecrets(store, {"m": EVERYTHING, "limited": SecretRights(read=("MINE_*",))})


@pytest_asyncio.fixture(params=["memory", "toml", "json", "keyring", "orchestrator", "chained"])
async def provider(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keeper: ModuleSecrets
) -> AsyncIterator[SecretProvider]:
    """Every source that can be written to."""
    for name in ("table.toml", "table.json"):
        (tmp_path / name).write_text("{}" if name.endswith("json") else "")
    monkeypatch.setattr(keyring.core, "_keyring_backend", PlainKeyring())
    make: dict[str, Callable[[], SecretProvider]] = {
        "memory": lambda: MemoryProvider(),
        "toml": lambda: FileProvider(tmp_path / "table.toml"),
        "json": lambda: FileProvider(tmp_path / "table.json"),
        "keyring": lambda: KeyringProvider("test"),
        "orchestrator": lambda: OrchestratorProvider(KeeperLink(keeper, "m")),
        "chained": lambda: ChainedProvider([EnvironmentProvider(environ={}), MemoryProvider()]),
    }
    made = make[request.param]()
    yield made
    await made.close()


@pytest.mark.parametrize("value", ["plain-value", 'q"uo\\te\n\tü\x7f\x01 end', "é" * 1_000])
async def test_what_is_set_is_read_changed_and_deleted(provider: SecretProvider, value: str) -> None:
    with pytest.raises(SecretNotFound):
        await provider.get("K_1")
    await provider.set("K_1", value)
    assert (await provider.get("K_1")).secret.expose() == value
    await provider.set("K_1", f"{value} two")
    assert (await provider.get("K_1")).secret.expose() == f"{value} two"
    await provider.set("K_2", "other")
    if provider.kind != "keyring":
        assert await provider.names() == ["K_1", "K_2"]
    await provider.delete("K_1")
    with pytest.raises(SecretNotFound):
        await provider.get("K_1")
    assert (await provider.get("K_2")).secret.expose() == "other"


async def test_a_value_is_redacted_as_soon_as_a_source_knows_it(provider: SecretProvider) -> None:
    value = f"redacted-at-once-{provider.kind}"
    await provider.set("K_1", value)
    assert value not in redact_secrets(f"connect with {value}")
    with pytest.raises(SecretInvalid):
        await provider.set("bad name", f"refused {value}")
    assert (await provider.get("K_1")).secret.expose() == value


@pytest.mark.parametrize("name", ["", "a b", "x" * 200, "../etc/passwd", "a\nb", "-x", "ü"])
async def test_bad_names_are_refused_by_all(provider: SecretProvider, name: str) -> None:
    with pytest.raises(SecretInvalid):
        await provider.set(name, "a value")
    with pytest.raises(SecretError):
        await provider.get(name)


async def test_sources_tell_what_is_new_changed_and_gone(provider: SecretProvider) -> None:
    if provider.kind == "orchestrator":
        await provider.set("K_1", "one")  # it tells holders, and of rotations alone
        await provider.get("K_1")
    changes: list[Change] = []

    async def listener(change: Change) -> None:
        changes.append(change)

    end = provider.on_change(listener)
    for value in ("one", "two", "two"):
        await provider.set("K_1", value)
    await provider.delete("K_1")
    end()
    await provider.set("K_1", "untold")
    if provider.kind == "orchestrator":
        assert [change.changed for change in changes] == [frozenset({"K_1"})] * 4
        assert all(change.rotation_id for change in changes)
    else:
        k1 = frozenset({"K_1"})
        assert changes == [Change(added=k1), Change(changed=k1), Change(removed=k1)]


async def test_the_environment_is_read_only_and_lists_only_what_has_its_prefix() -> None:
    provider = EnvironmentProvider("APP_", {"APP_B": "b value", "APP_A": "a value", "HOME": "/root"})
    assert (await provider.get("A")).secret.expose() == "a value"
    assert await provider.names() == ["A", "B"]
    assert await EnvironmentProvider(environ={"HOME": "/root"}).names() == []
    for refused in (provider.set("A", "x"), provider.delete("A")):
        with pytest.raises(SecretUnsupported, match="'env' cannot"):
            await refused
    with pytest.raises(SecretNotFound, match="APP_HOME is not set"):
        await provider.get("HOME")


async def test_a_file_is_followed_values_too_and_a_damaged_one_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "secrets.toml"
    path.write_text('A = "one a"\nB = "one b"\n')
    provider, changes = FileProvider(path), asyncio.Queue[Change]()
    provider.on_change(changes.put)
    provider.start()
    try:
        _write(path, 'A = "two a"\nC = "one c"\n')
        change = await asyncio.wait_for(changes.get(), 10)
        assert change == Change(added=frozenset("C"), changed=frozenset("A"), removed=frozenset("B"))
        _write(path, 'A = "thr')
        _write(path.with_name("another.toml"), 'A = "nobody reads this"\n')
        _write(path, 'A = "three a"\nC = "one c"\n', replace=True)
        assert (await asyncio.wait_for(changes.get(), 10)).changed == {"A"}
        assert (await provider.get("A")).secret.expose() == "three a"
    finally:
        await provider.close()


@pytest.mark.parametrize("library", ["watchfiles", "none"])
async def test_a_folder_that_goes_and_comes_back_is_followed_with_the_library_or_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    if library == "none":
        monkeypatch.setitem(sys.modules, "watchfiles", None)
    path = tmp_path / "folder" / "secrets.toml"
    path.parent.mkdir()
    path.write_text('A = "one a"')
    heard = asyncio.Queue[str]()
    async with SecretClient(FileProvider(path)) as secrets:
        secrets.subscribe(["A"], lambda _name, secret: heard.put_nowait(secret.expose() if secret else "gone"))
        path.parent.rename(tmp_path / "away")
        assert (await secrets.get("A")).expose() == "one a"
        path.parent.mkdir()
        path.write_text('A = "two a"')
        assert await asyncio.wait_for(heard.get(), 20) == "two a"
        assert (await secrets.get("A", "cache_only")).expose() == "two a"


def _write(path: Path, text: str, *, replace: bool = False) -> None:
    if replace:
        path.with_suffix(".new").write_text(text)
        path.with_suffix(".new").replace(path)
    else:
        path.write_text(text)


async def test_a_folder_of_files_is_read_and_followed_as_kubernetes_mounts_it(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "TOKEN").write_text(f"token {version}\n")
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "TOKEN").symlink_to("..data/TOKEN")
    provider, changes = FileProvider(tmp_path), asyncio.Queue[Change]()
    assert await provider.names() == ["TOKEN"]
    assert (await provider.get("TOKEN")).secret.expose() == "token 1"
    provider.on_change(changes.put)
    provider.start()
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert (await asyncio.wait_for(changes.get(), 10)).changed == {"TOKEN"}
    assert (await provider.get("TOKEN")).secret.expose() == "token 2"
    await provider.close()
    with pytest.raises(SecretUnsupported):
        await provider.set("TOKEN", "token 3")


def _set_many(path: str, writer: int) -> None:
    async def run() -> None:
        provider = FileProvider(path)
        for number in range(10):
            await provider.set(f"W{writer}_{number}", f"value of {writer}")

    asyncio.run(run())


def test_processes_that_write_one_file_at_once_lose_nothing_of_one_another(tmp_path: Path) -> None:
    path = tmp_path / "secrets.toml"
    path.write_text("")
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_set_many, args=(str(path), writer)) for writer in range(3)]
    for each in writers:
        each.start()
    for each in writers:
        each.join(60)
    assert [each.exitcode for each in writers] == [0, 0, 0]
    assert len(read_table(path)) == 30
    assert os.stat(path).st_mode & 0o777 == 0o600


@given(st.dictionaries(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,20}", fullmatch=True), st.text(ENCODABLE)))
def test_any_table_that_is_written_is_read_back(values: dict[str, str]) -> None:
    assert tomllib.loads(written(Path("a.toml"), values)) == values
    assert json.loads(written(Path("a.json"), values)) == values


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.toml", b'A = "hunter2-hunter2', "is no TOML"),
        ("a.toml", b"\xff\xfe", "is no TOML"),
        ("a.json", b'{"A": "hunter2-hunter2"', "is no JSON"),
        ("a.json", b'["hunter2-hunter2"]', "holds no table"),
        ("a.toml", b"A = 5", "write A as a text"),
        ("a.toml", b"[A]\nB = 'hunter2-hunter2'", "write A as a text"),
        ("a.toml", b"A = ''", "is empty"),
        ("a.toml", b"'a b' = 'hunter2-hunter2'", "a name has"),
        ("a.toml", b"#" * (1 << 21), "is larger than"),
    ],
)
def test_a_file_that_is_no_table_of_texts_is_refused_without_showing_it(
    tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=expected) as caught:
        FileProvider(tmp_path / name)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        FileProvider(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match="no regular file"):
        FileProvider("/dev/null")


async def test_a_chain_asks_in_order_and_stops_at_a_source_that_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyring.core, "_keyring_backend", PlainKeyring())
    chain = ChainedProvider(
        [EnvironmentProvider(environ={"A": "from env"}), KeyringProvider(), MemoryProvider({"A": "x2", "B": "y2"})]
    )
    assert (await chain.get("A")).secret.expose() == "from env"
    assert (await chain.get("B")).secret.expose() == "y2"
    with pytest.raises(SecretBackendError, match="KeyringLocked") as caught:
        await chain.get("BROKEN")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(SecretNotFound, match="env, keyring, memory"):
        await chain.get("C")
    await chain.set("C", "to the keyring")
    assert (await KeyringProvider().get("C")).secret.expose() == "to the keyring"
    assert await chain.names() == ["A", "B"]
    with pytest.raises(SecretUnsupported):
        await ChainedProvider([EnvironmentProvider(environ={})]).set("A", "x")


async def test_the_environment_chooses_the_chain(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('B = "from file"')
    environ = {"SECRET_PROVIDER_CHAIN": "env, file", "SECRET_FILE_PATH": str(tmp_path / "s.toml"), "A": "from env"}
    chain = chosen_provider(environ)
    assert [(await chain.get(name)).secret.expose() for name in "AB"] == ["from env", "from file"]
    first = chosen_provider(environ, first=MemoryProvider({"A": "from the first"}))
    assert (await first.get("A")).secret.expose() == "from the first"
    assert chosen_provider({}).kind == "env"
    with pytest.raises(PluginNotFound, match="'vault'"):
        chosen_provider({"SECRET_PROVIDER_CHAIN": "vault"})
    with pytest.raises(ConfigurationError, match="SECRET_FILE_PATH"):
        chosen_provider({"SECRET_PROVIDER_CHAIN": "file"})
    with pytest.raises(ConfigurationError, match="names no provider"):
        chosen_provider({"SECRET_PROVIDER_CHAIN": " , "})


async def test_under_a_foreign_orchestrator_only_reading_works_and_silence_is_no_answer(keeper: ModuleSecrets) -> None:
    await keeper.call("m", "set", {"name": "K_1", "value": "one"})
    provider = OrchestratorProvider(KeeperLink(keeper, "m", foreign=True))
    assert (await provider.get("K_1")).secret.expose() == "one"
    for refused in (provider.set("K_1", "x"), provider.delete("K_1"), provider.names()):
        with pytest.raises(Unsupported):
            await refused
    with pytest.raises(SecretBackendError, match="did not answer"):
        await provider.get("K_2")


async def test_our_own_orchestrator_without_secrets_is_not_waited_for(keeper: ModuleSecrets) -> None:
    link = KeeperLink(keeper, "m")
    link.extensions = frozenset({"correlation", "hello", "routed_answer", "drain"})
    with pytest.raises(SecretNotFound, match="keeps no secrets"):
        await OrchestratorProvider(link).get("K_1")


async def test_an_orchestrator_refuses_what_a_module_has_no_right_to(keeper: ModuleSecrets) -> None:
    await keeper.call("m", "set", {"name": "MINE_1", "value": "one"})
    await keeper.call("m", "set", {"name": "ROOT_KEY", "value": "two"})
    provider = OrchestratorProvider(KeeperLink(keeper, "limited"))
    assert (await provider.get("MINE_1")).secret.expose() == "one"
    assert await provider.names() == ["MINE_1"]
    for refused in (provider.get("ROOT_KEY"), provider.set("MINE_1", "x"), provider.delete("MINE_1")):
        with pytest.raises(SecretDenied):
            await refused


@pytest.mark.parametrize(
    "answer", [None, 5, {}, {"status": "ok"}, {"status": "new"}, {"status": "ok", "value": 5}, {"status": ["ok"]}]
)
async def test_nonsense_from_an_orchestrator_is_an_error_of_the_backend(
    keeper: ModuleSecrets, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    link = KeeperLink(keeper, "m")

    async def call(*_args: Any, **_options: Any) -> Any:
        return answer

    monkeypatch.setattr(link, "extension_call", call)
    with pytest.raises(SecretBackendError):
        await OrchestratorProvider(link).get("K_1")
    with pytest.raises(SecretBackendError):
        await OrchestratorProvider(link).names()
