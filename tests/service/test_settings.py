"""Settings: who wins over whom, what is refused, and what is never printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.errors import ConfigurationError
from sdk.service.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


class Sample(Settings, component="sample-app"):
    host: str = "127.0.0.1"
    port: int = pydantic.Field(default=8080, ge=0, le=65535)
    debug: bool = False
    urls: list[str] = pydantic.Field(default=[])
    limits: dict[str, int] | None = None
    api_key: pydantic.SecretStr | None = None


class Needy(Settings, component="needy"):
    root_key: pydantic.SecretStr


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "sdk.toml"
    file.write_text('[sample-app]\nhost = "file"\nport = 1\ndebug = true\n[other]\nanything = 1\n')
    environ = {
        "SDK_CONFIG": str(file),
        "SDK_SAMPLE_APP_PORT": "2",
        "SDK_SAMPLE_APP_HOST": "environment",
        "PATH": "/bin",
    }
    found = Sample.load(environ=environ, host="given", port=None)
    assert (found.host, found.port, found.debug) == ("given", 2, True)
    assert Sample.load(environ={}, file=file).port == 1
    assert Sample.load(environ={}) == Sample()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a", ["a"]), ("a, b,", ["a", "b"]), ("", []), ('["a,b", "c"]', ["a,b", "c"])],
)
def test_lists_from_the_environment(text: str, expected: list[str]) -> None:
    assert Sample.load(environ={"SDK_SAMPLE_APP_URLS": text}).urls == expected


def test_tables_from_the_environment() -> None:
    assert Sample.load(environ={"SDK_SAMPLE_APP_LIMITS": '{"a": 1}'}).limits == {"a": 1}


def test_secrets_from_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hush\n")
    found = Sample.load(environ={"SDK_SAMPLE_APP_API_KEY_FILE": str(tmp_path / "key")})
    assert found.api_key is not None
    assert found.api_key.get_secret_value() == "hush"
    assert "hush" not in repr(found)
    assert "hush" not in str(found.model_dump())


@pytest.mark.parametrize(
    ("environ", "complaint"),
    [
        (
            {"SDK_SAMPLE_APP_PROT": "1"},
            "SDK_SAMPLE_APP_PROT is no setting of sample-app; did you mean SDK_SAMPLE_APP_PORT",
        ),
        ({"SDK_SAMPLE_APP_ZZZ_FILE": "1"}, "SDK_SAMPLE_APP_ZZZ_FILE is no setting of sample-app"),
        ({"SDK_SAMPLE_APP_PORT": "eighty"}, "SDK_SAMPLE_APP_PORT: .*integer"),
        ({"SDK_SAMPLE_APP_PORT": "70000"}, "SDK_SAMPLE_APP_PORT: .*65535"),
        ({"SDK_SAMPLE_APP_LIMITS": '{"a": "b"}'}, r"SDK_SAMPLE_APP_LIMITS \(a\): .*integer"),
        ({"SDK_SAMPLE_APP_LIMITS": "{"}, "SDK_SAMPLE_APP_LIMITS is not JSON"),
        ({"SDK_SAMPLE_APP_API_KEY_FILE": "/no/such/file"}, "SDK_SAMPLE_APP_API_KEY_FILE: /no/such/file cannot be read"),
        ({"SDK_SAMPLE_APP_API_KEY_FILE": "x", "SDK_SAMPLE_APP_API_KEY": "y"}, "both set: keep one"),
        ({"SDK_CONFIG": "/no/such/file"}, "settings file /no/such/file cannot be read"),
    ],
)
def test_what_is_wrong_is_named(environ: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as raised:
        Sample.load(environ=environ)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[sample-app]\nprot = 1\n", "prot in .* is no setting of sample-app; did you mean port"),
        ("[sample-app]\nport = [1]\n", "port in .*: .*integer"),
        ("sample-app = 3\n", r"under a line \[sample-app\]"),
        ("= =", "is not TOML"),
        ("\x00", "is not TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "sdk.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=complaint):
        Sample.load(environ={}, file=file)


def test_a_file_is_bounded(tmp_path: Path) -> None:
    file = tmp_path / "sdk.toml"
    file.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigurationError, match="no settings file"):
        Sample.load(environ={}, file=file)


def test_what_is_missing_names_its_variable() -> None:
    with pytest.raises(ConfigurationError, match="set SDK_NEEDY_ROOT_KEY: Field required"):
        Needy.load(environ={})


def refusal(settings: type[Settings], environ: dict[str, str]) -> ConfigurationError | None:
    try:
        settings.load(environ=environ)
    except ConfigurationError as error:
        return error
    return None


@given(st.text(min_size=8).filter(lambda text: "\x00" not in text and text not in "set SDK_SAMPLE_APP settings"))
def test_no_error_repeats_a_value(secret: str) -> None:
    class Strict(Settings, component="strict"):
        api_key: int
        port: int = 1

    values: list[dict[str, Any]] = [
        {"SDK_STRICT_API_KEY": secret},
        {"SDK_STRICT_API_KEY": "1", "SDK_STRICT_PORT": secret},
    ]
    for environ in values:
        found = refusal(Strict, environ)
        assert secret not in str(found)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Sample().port = 1
