"""What stands in the way of a start is told in one line that says what to do, and leaves everything as it was.

Each case is a real process; those of ``COLD`` start the console script, the others are forked where everything is
imported already. Two run at a time, from the first test on.
"""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from queue import Queue
from typing import TYPE_CHECKING

import pytest

from support.commands import Warm, closed_port, contents, locked, permissions, sdk, taken_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future
    from contextlib import AbstractContextManager
    from pathlib import Path

    from support.commands import Ended

KEY = "07" * 32
DATABASE = "wallet.sqlite"


@dataclass
class Place:
    """A folder with a wallet; ``{...}`` in a case's arguments and environment is filled in from here."""

    folder: Path
    port: int

    @property
    def database(self) -> Path:
        return self.folder / DATABASE

    def fill(self, text: str) -> str:
        return text.format(home=self.folder, url=f"sqlite:///{self.database}", port=self.port)


@dataclass(frozen=True)
class Case:
    """``says`` is part of the one line. ``keeps``: nothing at all may have changed in the folder."""

    name: str
    arguments: str
    says: str
    fault: Callable[[Place], AbstractContextManager[object]] = lambda _place: nullcontext()
    environ: dict[str, str] = field(default_factory=dict)
    keeps: bool = True
    file_limit: int | None = None

    def __str__(self) -> str:
        return self.name


def read_only_file(place: Place) -> AbstractContextManager[object]:
    return permissions(place.database, 0o444)


def read_only_directory(place: Place) -> AbstractContextManager[object]:
    return permissions(place.folder, 0o555)


def locked_database(place: Place) -> AbstractContextManager[object]:
    return locked(place.database)


def corrupted(place: Place) -> AbstractContextManager[object]:
    """The first page, which holds the header, is whole."""
    data = bytearray(place.database.read_bytes())
    data[4096:] = b"\x5a" * (len(data) - 4096)
    place.database.write_bytes(data)
    return nullcontext()


def no_database(place: Place) -> AbstractContextManager[object]:
    place.database.write_bytes(b"Dear diary, " * 1000)
    return nullcontext()


def newer(place: Place) -> AbstractContextManager[object]:
    with closing(sqlite3.connect(place.database)) as database, database:
        for component in ("wallet", "monitor", "chaintracks"):
            database.execute(f"UPDATE alembic_version_{component} SET version_num = '9999'")
    return nullcontext()


def missing_directory(place: Place) -> AbstractContextManager[object]:
    shutil.rmtree(place.folder)
    return nullcontext()


@contextmanager
def busy_port(place: Place) -> Iterator[None]:
    with taken_port() as place.port:
        yield


@contextmanager
def small_disk(place: Place) -> Iterator[None]:
    """The folder becomes a file system of 64 KiB, empty; in the end there are all tables in it or none."""
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place.folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system can only be mounted by root")
    try:
        yield
        copy = shutil.copytree(place.folder, place.folder.with_name("copy"))
    finally:
        subprocess.run(["umount", str(place.folder)], check=True)
    if (copy / DATABASE).exists():
        assert_all_tables_or_none(copy / DATABASE)


def assert_all_tables_or_none(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        versions = {name for name in tables if name.startswith("alembic_version_")}
        assert bool(tables) == bool(versions)
        for name in versions:
            assert database.execute(f"SELECT version_num FROM {name}").fetchone() == ("0001",)


def foreign_journal(place: Place) -> AbstractContextManager[object]:
    (place.folder / "chain.journal").write_bytes(b"nonsense" * 100)
    return nullcontext()


def binary_key(place: Place) -> AbstractContextManager[object]:
    (place.folder / "binary.key").write_bytes(bytes(range(128, 200)))
    return nullcontext()


BALANCE = "wallet --home {home} balance"
CREATE = "wallet --home {home}/new create --chain mock"
ONCE = "monitor once"
RUN = "monitor run --port {port}"
HEADERS = "chaintracks serve --network mock --port {port} --database {url} --source http://127.0.0.1:{port}/v1/bsv/mock"
CHAIN = "devnet serve --port {port} --directory {home}"
UPGRADE, STATUS = "db upgrade --url {url}", "db status --url {url}"
SERVICES = {
    "SDK_WALLET_CHAIN": "mock",
    "SDK_WALLET_DATABASE": "{url}",
    "SDK_WALLET_ARC_URL": "http://127.0.0.1:{port}",
    "SDK_WALLET_WHATSONCHAIN_URL": "http://127.0.0.1:{port}/v1/bsv/mock",
}
HASTY = {"SDK_WALLET_DATABASE_TIMEOUT": "0.2"}
HERE = {"SDK_WALLET_DATABASE": "{url}", "SDK_WALLET_ROOT_KEY": KEY}
LOCKED, READ_ONLY = "is locked by another process; stop it, or try again", "is read-only; change the permissions"
NOT_WRITABLE = "cannot be written by this user; change its permissions"
DAMAGED = "is damaged; stop all programs that use it and restore a backup"
NO_SQLITE = "is not an SQLite database; name another file"
NO_DIRECTORY = "does not exist; create it, or name another database file"
TOO_NEW = "were written by a newer sdk-{}; upgrade it"
TAKEN = "is taken by another program: stop it, or choose another port"
UNREACHABLE = "cannot be reached at 127.0.0.1:{port} (Connection refused): check that it runs there"

CASES = [
    Case("wallet, locked", BALANCE, LOCKED, locked_database, HASTY),
    Case("wallet, read-only file", BALANCE, NOT_WRITABLE, read_only_file),
    Case("wallet, read-only directory", BALANCE, READ_ONLY, read_only_directory),
    Case("wallet, corrupted", BALANCE, DAMAGED, corrupted),
    Case("wallet, not a database", BALANCE, NO_SQLITE, no_database),
    Case("wallet, newer", BALANCE, TOO_NEW.format("wallet"), newer),
    Case("wallet, missing directory", BALANCE, "there is no wallet in {home}: make one", missing_directory),
    Case(
        "wallet, unreachable",
        "wallet --home {home} update",
        UNREACHABLE,
        environ={**SERVICES, "SDK_WALLET_WHATSONCHAIN_MIN_INTERVAL": "0"},
        keeps=False,
    ),
    Case("wallet, unknown setting", BALANCE, "did you mean SDK_WALLET_CHAIN?", environ={"SDK_WALLET_CHAIM": "mock"}),
    Case("wallet, wrong value", BALANCE, "SDK_WALLET_CHAIN: Input should be 'main'", environ={"SDK_WALLET_CHAIN": "x"}),
    Case(
        "wallet, no address",
        BALANCE,
        "SDK_WALLET_ARC_URL: Value error, write an address such as https://host/path",
        environ={"SDK_WALLET_ARC_URL": "localhost:9090"},
    ),
    Case("new wallet, read-only directory", CREATE, "cannot make the folder {home}/new", read_only_directory),
    Case("new wallet, no space", CREATE, "{home}/new/wallet.sqlite", small_disk),
    Case("new wallet, file limit", CREATE, "cannot write {home}/new/root.key", file_limit=0),
    Case("new wallet, wrong fee rate", f"{CREATE} --fee-rate lots", "is a number such as 1 or 0.5"),
    Case(
        "new wallet, key of bytes",
        f"{CREATE} --root-key-file {{home}}/binary.key",
        "holds no root key, which is 64 hex digits",
        binary_key,
    ),
    Case("a wallet again", "wallet --home {home} create", "holds a wallet already: choose another folder"),
    Case("monitor once, locked", ONCE, LOCKED, locked_database, {**SERVICES, **HASTY}),
    Case("monitor once, corrupted", ONCE, DAMAGED, corrupted, SERVICES),
    Case("monitor once, missing directory", ONCE, NO_DIRECTORY, missing_directory, SERVICES),
    Case("monitor once, unreachable", "monitor once new-header", UNREACHABLE, environ=SERVICES, keeps=False),
    Case("monitor once, no such task", "monitor once nonsense", "no task is named", environ=SERVICES, keeps=False),
    Case("monitor run, read-only file", RUN, NOT_WRITABLE, read_only_file, SERVICES),
    Case("monitor run, newer", RUN, TOO_NEW.format("wallet"), newer, SERVICES),
    Case("monitor run, taken port", RUN, TAKEN, busy_port, SERVICES, keeps=False),
    Case(
        "monitor, wrong value",
        ONCE,
        "SDK_MONITOR_POLL: Input should be a valid number",
        environ={"SDK_MONITOR_POLL": "x"},
    ),
    Case("monitor, unknown setting", ONCE, "did you mean SDK_MONITOR_POLL?", environ={"SDK_MONITOR_POL": "1"}),
    Case("headers, not a database", HEADERS, NO_SQLITE, no_database),
    Case("headers, read-only directory", HEADERS, READ_ONLY, read_only_directory),
    Case("headers, newer", HEADERS, TOO_NEW.format("chaintracks"), newer),
    Case("headers, no space", HEADERS, "{home}/wallet.sqlite", small_disk, keeps=False),
    Case("headers, taken port", HEADERS, TAKEN, busy_port, keeps=False),
    Case("headers, no source", "chaintracks serve --network mock --database {url}", "name one with --source"),
    Case(
        "headers, unknown setting", HEADERS, "did you mean SDK_CHAINTRACKS_PORT?", environ={"SDK_CHAINTRACKS_POTR": "1"}
    ),
    Case("verify, no file", "chaintracks verify --from-height 0 {home}/none", "{home}/none cannot be read"),
    Case("verify, text", "chaintracks verify --from-height 0 {home}/wallet.toml", "not headers of 80 bytes each"),
    Case("devnet, taken port", "devnet serve --port {port}", TAKEN, busy_port),
    Case("devnet, read-only directory", CHAIN, "cannot keep a chain in {home}: Permission denied", read_only_directory),
    Case("devnet, foreign journal", CHAIN, "move it away to start a new chain", foreign_journal),
    Case("devnet, wrong value", CHAIN, "SDK_DEVNET_PREMINE", environ={"SDK_DEVNET_PREMINE": "-1"}),
    Case("devnet, unreachable", "devnet mine --url http://127.0.0.1:{port}", UNREACHABLE),
    Case("upgrade, locked", f"{UPGRADE} --timeout 0.2", LOCKED, locked_database),
    Case("upgrade, newer", UPGRADE, TOO_NEW.format("chaintracks"), newer),
    Case("upgrade, no space", UPGRADE, "{home}/wallet.sqlite", small_disk, keeps=False),
    Case("upgrade, read-only file", UPGRADE, NOT_WRITABLE, read_only_file),
    Case("status, corrupted", STATUS, DAMAGED, corrupted),
    Case("status, missing directory", STATUS, NO_DIRECTORY, missing_directory),
    Case("status, another kind", "db status --url oracle://x", "use sqlite:///path"),
]


AT_ONCE = 2
COLD = (
    "wallet, corrupted",
    "new wallet, file limit",
    "monitor once, locked",
    "headers, not a database",
    "devnet, taken port",
    "upgrade, newer",
)


@dataclass(frozen=True)
class Outcome:
    ended: Ended
    says: str
    before: dict[str, bytes | None]
    after: dict[str, bytes | None]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wallet, with the tables of every component in its database."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "given.key").write_text(KEY)
    home = folder / "home"
    for arguments in (
        ("wallet", "--home", str(home), "create", "--chain", "mock", "--root-key-file", str(folder / "given.key")),
        ("db", "upgrade", "--url", f"sqlite:///{home / DATABASE}"),
    ):
        ended = sdk(*arguments, environ={})
        assert ended.code == 0, ended.err
    return home


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Outcome]]]:
    """Of the cases that this run selected."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function) and item.path == request.path]
    selected = {item.callspec.id for item in items if hasattr(item, "callspec")}
    with ExitStack() as stack:
        warm: Queue[Warm] = Queue()
        for _ in range(AT_ONCE):
            warm.put(Warm(tmp_path_factory.mktemp("warm")))
            stack.callback(warm.queue[-1].close)
        pool = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
        stack.callback(pool.shutdown, cancel_futures=True)
        yield {
            each.name: pool.submit(run, each, template, tmp_path_factory.mktemp("place") / "home", warm)
            for each in CASES
            if each.name in selected
        }


def run(case: Case, template: Path, folder: Path, warm: Queue[Warm]) -> Outcome:
    shutil.copytree(template, folder)
    place = Place(folder, closed_port())
    with case.fault(place):
        before = contents(folder)
        environ = {name: place.fill(value) for name, value in case.environ.items()}
        arguments = [place.fill(each) for each in case.arguments.split()]
        runner = warm.get()
        try:
            if case.name in COLD:
                ended = sdk(*arguments, environ=environ, file_limit=case.file_limit)
            else:
                ended = runner.sdk(*arguments, environ=environ)
        finally:
            warm.put(runner)
        return Outcome(ended, place.fill(case.says), before, contents(folder))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_start_that_cannot_be_is_one_clear_line(case: Case, outcomes: dict[str, Future[Outcome]]) -> None:
    outcome = outcomes[case.name].result()
    ended = outcome.ended
    assert ended.code == 1, ended
    assert "Traceback" not in ended.err
    lines = ended.complaint.splitlines()
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("sdk: ")
    assert outcome.says in lines[0]
    if case.keeps:
        assert outcome.after == outcome.before


def test_a_lock_does_not_keep_anybody_from_reading(template: Path, tmp_path: Path) -> None:
    shutil.copytree(template, tmp_path / "home")
    database = tmp_path / "home" / DATABASE
    with locked(database):
        ended = sdk("db", "status", "--url", f"sqlite:///{database}", environ={})
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert len(lines) >= 3, ended
    assert all(line.endswith("(head)") for line in lines), ended
