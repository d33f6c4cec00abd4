"""What whoever writes modules is given: projects that run, checks that find what is wrong, routes, completion."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import ClientSession, web
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from sdk.core.errors import ConfigurationError
from sdk.module_runtime.cli import command
from sdk.module_runtime.orchestrator.endpoints import RouteTable, route_of
from sdk.module_runtime.orchestrator.lifecycle import State
from sdk.module_runtime.orchestrator.orchestrator import run_stack
from sdk.module_runtime.orchestrator.stack import read_stack
from sdk.module_runtime.orchestrator.switchboard import Switchboard
from sdk.module_runtime.tooling.build_info import BuildInfo, add_health
from sdk.module_runtime.tooling.checks import check
from sdk.module_runtime.tooling.project import create_project, package_of, templates
from sdk.module_runtime.tooling.routers import discover
from sdk.service.http_app.server import running as http_running
from support.requirements import missing

if TYPE_CHECKING:
    from collections.abc import Callable

BIN = Path(sys.executable).parent


def sdk(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "sdk"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.mark.parametrize("template", templates())
def test_a_new_projects_own_tests_and_checks_pass(tmp_path: Path, template: str) -> None:
    made = sdk("runtime", "new", "my-module", "--template", template, "-o", str(tmp_path))
    assert made.returncode == 0, made.stderr
    project = tmp_path / "my-module"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=project,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"[2-9] passed", done.stdout)
    validated = sdk("runtime", "validate", str(project))
    assert (validated.returncode, validated.stderr) == (0, "")


def test_a_new_project_is_clean_for_a_linter_and_has_no_place_left_open(tmp_path: Path) -> None:
    for template in templates():
        project = create_project(
            f"my-{template}", tmp_path, template=template, description='It\'s "$5" worth'.replace('"', "'")
        )
        texts = [path.read_text() for path in project.rglob("*") if path.is_file()]
        assert len(texts) == 8
        assert not any(re.search(r"\$[a-z{]", text) for text in texts)
        ruff = [str(BIN / "ruff"), "check", "--isolated", "--select", "E,F,W,I,B", "--line-length", "120"]
        done = subprocess.run(ruff, capture_output=True, text=True, timeout=60, check=False, cwd=project)
        assert done.returncode == 0, done.stdout


PATHS = {"basic": "/greet/world", "notes": "/notes/1"}


@pytest.mark.parametrize("template", templates())
async def test_a_new_projects_stack_runs(tmp_path: Path, template: str) -> None:
    project = create_project("my-module", tmp_path, template=template)
    stack = read_stack(project / "stack.toml")
    assert stack.gateway is not None
    stack = stack.model_copy(update={"gateway": stack.gateway.model_copy(update={"listen": "127.0.0.1:0"})})
    board, stop, ready = Switchboard(), asyncio.Event(), asyncio.Event()

    def changed(_name: str, state: State) -> None:
        if state is State.READY:
            ready.set()

    task = asyncio.create_task(run_stack(stack, stop, dict(os.environ), changed, board=board))
    try:
        await asyncio.wait_for(ready.wait(), 30)
        async with ClientSession(board.api) as client:
            if template == "notes":
                assert (await client.post("/notes", data="buy milk")).status == 201
            async with client.get(PATHS[template]) as answer:
                assert answer.status == 200
                assert await answer.json() in ({"message": "Hello, world!"}, {"text": "buy milk"})
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "My-Module",
        "my_module",
        "-x",
        "x-",
        "a--b",
        "1a",
        "../up",
        "a/b",
        "class",
        "json",
        "sdk",
        "x" * 51,
        "ü",
        "a\n",
    ],
)
def test_names_that_make_no_package_are_refused_and_nothing_is_made(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError):
        create_project(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "my-module").mkdir()
    (tmp_path / "my-module" / "work.txt").write_text("of years")
    with pytest.raises(ConfigurationError, match="there already"):
        create_project("my-module", tmp_path)
    assert (tmp_path / "my-module" / "work.txt").read_text() == "of years"
    assert [path.name for path in tmp_path.iterdir()] == ["my-module"]
    for wrong in ({"template": "none"}, {"description": 'a"b'}, {"description": "a\nb"}):
        with pytest.raises(ConfigurationError):
            create_project("other", tmp_path, **wrong)


@given(st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,8}){0,3}", fullmatch=True))
def test_every_name_that_is_accepted_can_be_imported(name: str) -> None:
    try:
        package = package_of(name)
    except ConfigurationError:
        return
    assert package.isidentifier()


# --- checks ---


def project_with(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


PROJECT = """
[project]
name = "m"
dependencies = ["sdk-module-runtime>=0.1"]
[project.entry-points."sdk.module_runtime.modules"]
m = "m:program"
"""


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "has no pyproject.toml"),
        ({"pyproject_dot_toml": "[project"}, "is not TOML"),
        ({"pyproject_dot_toml": "[tool]"}, "no table [project]"),
        ({"pyproject_dot_toml": PROJECT.replace("sdk-module-runtime>=0.1", "x")}, "add sdk-module-runtime"),
        ({"pyproject_dot_toml": PROJECT.replace("m = ", "#")}, "name the module under"),
        ({"pyproject_dot_toml": PROJECT}, "No module named 'm'"),
        ({"pyproject_dot_toml": PROJECT, "m_dot_py": "program = 5"}, "is a int, not a module"),
        ({"pyproject_dot_toml": PROJECT, "m_dot_py": "x = 5"}, "has no attribute 'program'"),
        ({"pyproject_dot_toml": PROJECT, "m_dot_py": "import os; os._exit(0)"}, "standard output|without a word"),
        ({"pyproject_dot_toml": PROJECT, "m_dot_py": "print('hi')\nprogram = 5"}, "writes to standard output"),
    ],
)
def test_a_project_is_told_what_is_wrong_with_it(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    assert re.search(
        expected, "\n".join(check(project_with(tmp_path, **files))).replace("[", "\\["), re.IGNORECASE
    ) or (expected in "\n".join(check(tmp_path)))


def test_a_stack_is_told_everything_that_is_wrong_with_it(tmp_path: Path) -> None:
    (tmp_path / "stack.toml").write_text(
        """
[gateway]
listen = "127.0.0.1:8080"
http_tcp = "127.0.0.1:8081"
[registration]
listen = "127.0.0.1:8081"
[modules.a]
kind = "module"
command = ["no-such-program"]
listen = "127.0.0.1:8080"
[modules.b]
kind = "module"
command = ["sh"]
pass_environment = ["NOT_SET_ANYWHERE"]
listen = "/tmp/b.sock"
[modules.c]
kind = "module"
command = ["sh"]
listen = "/tmp/b.sock"
"""
    )
    found = sdk("runtime", "validate", str(tmp_path / "stack.toml"))
    assert found.returncode == 1
    for expected in (
        "modules.a.command: 'no-such-program'",
        "NOT_SET_ANYWHERE",
        "gateway and modules.a both listen",
        "gateway.http_tcp and registration both listen",
        "modules.b and modules.c both listen",
    ):
        assert expected in found.stderr
    assert len(found.stderr.splitlines()) == 5
    (tmp_path / "stack.toml").write_text("[modules]")
    assert sdk("runtime", "validate", cwd=tmp_path).returncode == 1


# --- routes ---


async def nothing(*_args: Any, **_options: Any) -> Any:
    raise AssertionError("only the route is read")


def of_aiohttp() -> Any:
    app, inner = web.Application(), web.Application()
    inner.add_routes([web.get("/items/{id}", nothing)])
    app.add_routes([web.get("/", nothing), web.post("/items/{id}", nothing), web.get("/files/{path:.*}", nothing)])
    app.add_subapp("/v1", inner)
    return app


def of_starlette() -> Any:
    applications = pytest.importorskip("starlette.applications")
    routing = pytest.importorskip("starlette.routing")
    inner = [routing.Route("/items/{id:int}", nothing, methods=["GET"])]
    return applications.Starlette(
        routes=[
            routing.Route("/", nothing),
            routing.Route("/items/{id:int}", nothing, methods=["POST"]),
            routing.Route("/files/{path:path}", nothing),
            routing.Mount("/v1", routes=inner),
        ]
    )


def of_fastapi() -> Any:
    fastapi = pytest.importorskip("fastapi")
    app, router = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None), fastapi.APIRouter(prefix="/v1")
    router.get("/items/{id}")(lambda id: None)
    app.get("/")(lambda: None)
    app.post("/items/{id}")(lambda id: None)
    app.get("/files/{path:path}")(lambda path: None)
    app.include_router(router)
    return app


def of_flask() -> Any:
    flask = pytest.importorskip("flask")
    app, blueprint = flask.Flask("x", static_folder=None), flask.Blueprint("v1", "v1", url_prefix="/v1")
    blueprint.add_url_rule("/items/<int:id>", "v1_item", nothing)
    app.add_url_rule("/", "root", nothing)
    app.add_url_rule("/items/<any(a,b):id>", "item", nothing, methods=["POST"])
    app.add_url_rule("/files/<path:path>", "files", nothing)
    app.register_blueprint(blueprint)
    return app


@pytest.mark.parametrize("make", [of_aiohttp, of_starlette, of_fastapi, of_flask])
def test_what_an_application_routes_is_read_as_the_gateway_understands_it(make: Callable[[], Any]) -> None:
    endpoints = discover(make())
    table = RouteTable(route_of("m", each) for each in endpoints)
    for method, path, is_known in (
        ("GET", "/", True),
        ("HEAD", "/", True),
        ("POST", "/", False),
        ("POST", "/items/5", True),
        ("GET", "/items/5", False),
        ("GET", "/v1/items/5", True),
        ("GET", "/v1/items/5/x", False),
        ("GET", "/files/a/b/c", True),
        ("GET", "/items", False),
        ("GET", "/nowhere", False),
    ):
        found = table.find(method, path)
        assert (found is not None and found.route is not None) is is_known, (method, path, endpoints)


def test_websockets_mounted_applications_and_class_views_are_routes_too() -> None:
    applications, routing = pytest.importorskip("starlette.applications"), pytest.importorskip("starlette.routing")
    foreign = routing.Mount("/foreign", app=nothing)
    deep: Any = routing.Route("/end", nothing)
    for number in range(5):
        deep = routing.Mount(f"/d{number}", routes=[deep])
    app = applications.Starlette(routes=[foreign, deep, routing.WebSocketRoute("/ws/{room}", nothing)])
    assert {(each.path, *each.methods) for each in discover(app)} == {
        ("/foreign/{path:.*}", "*"),
        ("/d4/d3/d2/d1/d0/end", "GET", "HEAD"),
        ("/ws/{room}", "GET"),
    }
    for _ in range(30):
        deep = routing.Mount("/x", routes=[deep])
    with pytest.raises(ConfigurationError, match="deep in one another"):
        discover(applications.Starlette(routes=[deep]))


@pytest.mark.parametrize("strange", [None, 5, "app", object(), Switchboard, {"routes": []}])
def test_what_is_no_application_is_refused(strange: Any) -> None:
    with pytest.raises(ConfigurationError, match="is no application"):
        discover(strange)


def test_the_endpoints_command_reads_an_application_by_name(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from aiohttp import web\nasync def h(r): ...\n"
        "app = web.Application()\napp.add_routes([web.get('/a/{b}', h)])\n"
    )
    found = sdk("runtime", "endpoints", "mine:app", cwd=tmp_path)
    assert found.stdout.split() == ["HEAD,GET", "/a/{b}"], found.stderr
    for target in ("mine", "mine:none", "no_such_module:app"):
        failed = sdk("runtime", "endpoints", target, cwd=tmp_path)
        assert failed.returncode == 1
        assert failed.stderr.startswith("sdk: ")


# --- build information ---


async def test_build_information_is_written_once_and_told_by_health(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "built_package"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert BuildInfo.of("built_package").git_hash == "unknown"
    environment = {"SDK_BUILD_GIT_HASH": "abc123", "SDK_BUILD_TIME": "2026-01-31T12:00:00+00:00"}
    done = CliRunner(env=environment).invoke(command, ["build-info", str(package), "--version", "1.2.3"])
    assert done.exit_code == 0
    info = BuildInfo.of("built_package")
    assert (info.git_hash, info.build_time_utc, info.version) == ("abc123", "2026-01-31T12:00:00+00:00", "1.2.3")
    app = web.Application()
    add_health(app, info)
    async with (
        http_running(app, "127.0.0.1", 0) as server,
        ClientSession(server.url) as client,
        client.get("/health") as told,
    ):
        assert await told.json() == {
            "git": "abc123",
            "time": "2026-01-31T12:00:00+00:00",
            "python": ".".join(map(str, sys.version_info[:3])),
            "version": "1.2.3",
            "status": "OK",
        }
    (package / "build_info.json").write_text('{"git_hash": 5')
    with pytest.raises(ConfigurationError, match="damaged"):
        BuildInfo.of("built_package")


def test_build_information_of_a_git_repository_and_of_none(tmp_path: Path) -> None:
    assert BuildInfo.made_now(tmp_path, environ={}).git_hash == "unknown"
    for arguments in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, timeout=30)
    assert re.fullmatch("[0-9a-f]{40}", BuildInfo.made_now(tmp_path, environ={}).git_hash)
    assert BuildInfo.of("sdk.module_runtime").version == "0.1.0"


# --- completion ---


COMPLETE = 'COMP_WORDS=(sdk runtime "%s"); COMP_CWORD=2; _sdk_completion sdk; echo "${COMPREPLY[@]}"'


def test_bash_completes_the_commands() -> None:
    bash = shutil.which("bash")
    if bash is None:
        missing("bash", "install it")
    for begun, expected in (("va", ["validate"]), ("se", ["secrets"]), ("zz", [])):
        program = f'eval "$(sdk runtime completion bash)"; {COMPLETE % begun}'
        done = subprocess.run(
            [bash, "-c", program],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
            check=True,
        )
        assert done.stdout.split() == expected, done.stderr


@pytest.mark.parametrize(("shell", "sign"), [("zsh", "compdef"), ("fish", "complete --no-files --command sdk")])
def test_other_shells_get_what_they_read(shell: str, sign: str) -> None:
    told = sdk("runtime", "completion", shell)
    assert sign in told.stdout
    assert "_SDK_COMPLETE" in told.stdout
    answer = sdk(
        "x", _SDK_COMPLETE=f"{shell}_complete", COMP_WORDS="sdk runtime va", COMP_CWORD="2" if shell == "zsh" else "va"
    )
    assert "validate" in answer.stdout
    assert json.dumps(answer.stderr) == '""'
