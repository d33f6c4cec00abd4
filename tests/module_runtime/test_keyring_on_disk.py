"""Secrets, and the key of secrets, in a real keyring: the file backend of ``keyrings.alt``, which needs no desktop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import keyring
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyrings.alt.file import PlaintextKeyring  # type: ignore[import-untyped]

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.orchestrator.secrets.key_sources import create_key, load_keys
from sdk.module_runtime.secrets.errors import SecretBackendError, SecretNotFound
from sdk.module_runtime.secrets.providers.keyring import KeyringProvider
from support.commands import SDK, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

READ = """
import asyncio, sys
from sdk.module_runtime.secrets.providers.chosen import chosen_provider
print(asyncio.run(chosen_provider().get(sys.argv[1])).secret.expose())
"""
_VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=200)


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    backend = PlaintextKeyring()
    path = tmp_path / "python_keyring" / "keyring_pass.cfg"
    backend.file_path = str(path)
    monkeypatch.setattr(keyring.core, "_keyring_backend", backend)
    return path


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=_VALUES)
async def test_any_value_comes_back_as_it_was_given(file: Path, value: str) -> None:
    provider = KeyringProvider("shop")
    await provider.set("TOKEN", value)
    assert (await KeyringProvider("shop").get("TOKEN")).secret.expose() == value
    with pytest.raises(SecretNotFound):
        await KeyringProvider("other").get("TOKEN")
    await provider.delete("TOKEN")
    with pytest.raises(SecretNotFound):
        await provider.get("TOKEN")


async def test_a_keyring_that_is_broken_is_a_typed_error_without_the_value(file: Path) -> None:
    provider = KeyringProvider("shop")
    await provider.set("TOKEN", "hunter2-hunter2")
    await asyncio.to_thread(file.write_text, "no keyring, but hunter2-hunter2")
    for work in (provider.get("TOKEN"), provider.set("TOKEN", "hunter2-again"), provider.delete("TOKEN")):
        with pytest.raises(SecretBackendError) as failed:
            await work
        assert "hunter2" not in str(failed.value)
    with pytest.raises(ConfigurationError, match="the keyring cannot be read"):
        load_keys("keyring:shop/key")


def test_the_key_of_secrets_is_made_once_and_read_again(file: Path) -> None:
    made = create_key("keyring:shop/key")
    assert load_keys("keyring:shop/key").current == made.current
    with pytest.raises(ConfigurationError, match="holds a key already"):
        create_key("keyring:shop/key")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """A process of its own, on a keyring in its data folder."""
    environment = clean_environment(
        PYTHON_KEYRING_BACKEND="keyrings.alt.file.PlaintextKeyring",
        XDG_DATA_HOME=str(tmp_path),
        SECRET_PROVIDER_CHAIN="keyring",
        SECRET_KEYRING_SERVICE="shop",
        SDK_DATABASE_URL=f"sqlite:///{tmp_path / 'runtime.db'}",
        SDK_RUNTIME_SECRET_KEY="keyring:shop/key",
    )

    def run(*command: str, given: str = "") -> str:
        ended = subprocess.run(
            command, env=environment, cwd=tmp_path, input=given, capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run


def test_the_store_is_sealed_with_a_key_of_the_keyring_and_follows_its_change(run: Callable[..., str]) -> None:
    sdk = str(SDK)
    run(sdk, "db", "upgrade", "--component", "module-runtime")
    run(sdk, "runtime", "secrets", "init")
    run(sdk, "runtime", "secrets", "set", "DB", given="hunter2-hunter2\n")
    run(sdk, "runtime", "secrets", "rekey")
    assert run(sdk, "runtime", "secrets", "get", "DB") == "hunter2-hunter2\n"


def test_a_program_reads_what_the_keyrings_own_command_has_stored(run: Callable[..., str]) -> None:
    run(sys.executable, "-m", "keyring", "set", "shop", "TOKEN", given="hunter2-hunter2\n")
    assert run(sys.executable, "-c", READ, "TOKEN") == "hunter2-hunter2\n"
