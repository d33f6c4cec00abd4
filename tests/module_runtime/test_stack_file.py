"""Reading stack.toml: what is wrong is said with its place, before anything was started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.orchestrator.database_urls import with_database_urls
from sdk.module_runtime.orchestrator.services import Services, open_data
from sdk.module_runtime.orchestrator.stack import environment_of, program_of, read_stack

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
[modules.base]
command = ["sh", "-c", "true"]
ready_url = "http://127.0.0.1:1/healthz"
environment = { COLOUR = "blue" }
pass_environment = ["TOKEN"]

[modules.upper]
command = ["sh"]
ready_url = "http://127.0.0.1:2/"
after = ["base"]
restart = { limit = 1 }
"""


def written(directory: Path, text: str) -> Path:
    path = directory / "stack.toml"
    path.write_text(text)
    return path


def test_a_stack_is_read_with_its_defaults(tmp_path: Path) -> None:
    stack = read_stack(written(tmp_path, GOOD))
    assert list(stack.modules) == ["base", "upper"]
    assert stack.modules["upper"].restart.limit == 1
    assert stack.modules["base"].restart.limit == 5
    assert stack.modules["base"].directory == tmp_path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('ready_url = "http://127.0.0.1:2/"', ""), "modules.upper: a command needs a ready_url"),
        (("ready_url", "readyurl"), "modules.base.readyurl"),
        (('after = ["base"]', 'after = ["bass"]'), "modules.upper.after names 'bass'"),
        (("environment = {", 'after = ["upper"]\nenvironment = {'), "wait for one another"),
        (("limit = 1", "limit = -1"), "modules.upper.restart.limit"),
        (("modules.upper", "modules.Upper"), "modules.Upper"),
        (('command = ["sh"]', "command = []"), "modules.upper.command"),
        (("[modules.base]", "[modules.base"), "is not TOML"),
        (('command = ["sh"]', 'command = ["${upper.url}"]'), "refers to ${upper.url}"),
        ((GOOD, ""), "modules: Field required"),
        (("[modules.base]", '[orchestrator]\ndatabase_schema = "x"\n[modules.base]'), "database_schema is of a server"),
        (("[modules.base]", '[orchestrator]\ndatabase_schema = "x;"\n[modules.base]'), "orchestrator.database_schema"),
        (
            ("[modules.upper]", '[modules.upper.caches.a]\npassword_secret = "A"\n[modules.upper]'),
            "needs a table [secrets]",
        ),
        ((GOOD, "#" * (1 << 20) + "\n"), "larger than 1 MiB"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_stack(written(tmp_path, GOOD.replace(*change)))
    assert said in str(refused.value)


def test_a_wrong_value_is_not_repeated(tmp_path: Path) -> None:
    text = GOOD.replace('COLOUR = "blue"', 'COLOUR = ["hunter2"]')
    with pytest.raises(ConfigurationError, match=r"modules\.base\.environment\.COLOUR") as refused:
        read_stack(written(tmp_path, text))
    assert "hunter2" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml cannot be read"):
        read_stack(tmp_path / "none.toml")


def test_a_module_sees_only_what_it_was_given(tmp_path: Path) -> None:
    base = read_stack(written(tmp_path, GOOD)).modules["base"]
    seen = environment_of("base", base, {"PATH": "/bin", "TOKEN": "t", "AWS_SECRET": "s"})
    assert seen == {"PATH": "/bin", "TOKEN": "t", "COLOUR": "blue"}
    with pytest.raises(ConfigurationError, match="TOKEN, which is not set"):
        environment_of("base", base, {})


def test_a_program_or_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    base = read_stack(written(tmp_path, GOOD)).modules["base"]
    with pytest.raises(ConfigurationError, match=r"modules\.base\.command: 'sh' is no program"):
        program_of("base", base, {"PATH": str(tmp_path)})
    with pytest.raises(ConfigurationError, match=r"modules\.base\.directory"):
        program_of("base", base.model_copy(update={"directory": tmp_path / "none"}), {"PATH": "/bin"})


LENDING = """
[modules.wallet]
kind = "module"
command = ["sh"]
[modules.wallet.databases.own]
db_type = "sqlite"
database = "own.sqlite"
access = "{access}"
url_environment = "OWN"
[modules.wallet.databases.server]
db_type = "postgres"
host = "db"
port = 5433
database = "wallet"
username = "w"
password_environment = "PASSWORD"
access = "{access}"
url_environment = "SERVER"
"""


@pytest.mark.parametrize(
    ("access", "own", "server"),
    [
        ("proxied", "lent+sqlite://own", "lent+postgresql://server"),
        ("direct", "sqlite:///{folder}/own.sqlite", "postgresql+psycopg://w:p%40ss@db:5433/wallet"),
    ],
)
def test_one_word_says_who_opens_a_modules_database(tmp_path: Path, access: str, own: str, server: str) -> None:
    stack = read_stack(written(tmp_path, LENDING.format(access=access)))
    told = with_database_urls(stack, {"PASSWORD": "p@ss"}).modules["wallet"].environment
    assert told == {"OWN": own.format(folder=tmp_path), "SERVER": server}
    services = Services()
    open_data(stack, {"PASSWORD": "p@ss"}, services)
    assert ("Database" in services.hosts) == (access == "proxied")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('url_environment = "OWN"', ""), "say in url_environment"),
        (('url_environment = "OWN"', 'url_environment = "SERVER"'), "SERVER is given twice"),
        (
            ('command = ["sh"]', 'command = ["sh"]\nenvironment = { OWN = "x" }'),
            "OWN is given twice, or in environment",
        ),
        (("password_environment", "password_secret"), "give it in password_environment"),
    ],
)
def test_a_database_that_could_not_be_found_is_refused(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        read_stack(written(tmp_path, LENDING.format(access="direct").replace(*change)))
    assert said in str(refused.value)


def test_a_command_cannot_be_lent_a_database(tmp_path: Path) -> None:
    text = LENDING.format(access="proxied").replace('kind = "module"', 'ready_url = "http://127.0.0.1:1/"')
    with pytest.raises(ConfigurationError, match="no module"):
        read_stack(written(tmp_path, text))
