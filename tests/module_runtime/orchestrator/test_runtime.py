"""``sdk runtime up`` as a program: its admin API, its commands, its records, and what it does after it was killed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession, UnixConnector

from sdk.module_runtime.orchestrator.state_folder import StateFolder
from support.commands import SDK
from support.processes import ends

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = Path(__file__).parent / "programs"
ANNOUNCE = {"send": {"op": "announce", "listen": "127.0.0.1:1", "endpoints": [{"path": "/x", "methods": ["GET"]}]}}
PATIENCE = 30
HUNG_AFTER = 8

pytestmark = pytest.mark.timeout(120)


def module(name: str, *steps: dict[str, Any], more: str = "") -> str:
    command = [sys.executable, str(PROGRAMS / "scripted.py"), json.dumps(steps), f"{name}.record"]
    return f'[modules.{name}]\nkind = "module"\ncommand = {json.dumps(command)}\n{more}\n'


@contextmanager
def up(folder: Path, *modules: str, head: str = "", ready: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """``sdk runtime up`` once ``ready`` modules (by default all) are; told to stop at the end."""
    (folder / "stack.toml").write_text(head + "\n".join(modules))
    with subprocess.Popen([SDK, "runtime", "up"], cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            left = len(modules) if ready is None else ready
            assert process.stderr is not None
            while left:
                line = process.stderr.readline()
                assert line, "it ended before its modules were ready"
                left -= '"ready"' in line
            yield process
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)
            assert process.returncode == 0
        finally:
            process.kill()


def run(folder: Path, *arguments: str, ok: bool = True) -> str:
    ended = subprocess.run(
        [SDK, "runtime", *arguments], cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (ended.returncode == 0) is ok, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended.stdout if ok else ended.stderr


def listed(folder: Path) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in json.loads(run(folder, "ps", "--json"))}


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    database = sqlite3.connect(folder / ".runtime" / "runtime.sqlite")
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def test_an_operator_sees_and_steers_what_runs(tmp_path: Path) -> None:
    with up(tmp_path, module("one", {"log": "hello from one"}, ANNOUNCE), module("two", ANNOUNCE)):
        before = listed(tmp_path)
        assert {name: each["state"] for name, each in before.items()} == {"one": "ready", "two": "ready"}
        assert "hello from one" in run(tmp_path, "logs", "one")
        assert "one is ready" in run(tmp_path, "restart", "one")
        assert "two is stopped" in run(tmp_path, "stop", "two")
        assert "one is ready" in run(tmp_path, "replace", "one")
        after = listed(tmp_path)
        assert (after["two"]["state"], after["two"]["pid"]) == ("stopped", None)
        assert after["one"]["pid"] != before["one"]["pid"]
        assert "two is ready" in run(tmp_path, "start", "two")
        assert "one" in run(tmp_path, "ps")
        assert "no module 'three'" in run(tmp_path, "stop", "three", ok=False)
        kinds = [each["kind"] for each in json.loads(run(tmp_path, "events", "--json", "--module", "one"))]
        assert kinds.count("instance_started") == 3
        assert "module_replaced" in kinds
    assert "no orchestrator runs" in run(tmp_path, "ps", ok=False)
    assert rows(tmp_path, "SELECT COUNT(*), COUNT(ended_at), COUNT(ready_at) FROM runtime_instances") == [(5, 5, 5)]
    assert rows(tmp_path, "SELECT module_id, state FROM runtime_modules ORDER BY 1") == [
        ("one", "stopped"),
        ("two", "stopped"),
    ]
    assert rows(tmp_path, "SELECT module_id, path, methods FROM runtime_endpoints ORDER BY 1") == [
        ("one", "/x", "GET"),
        ("two", "/x", "GET"),
    ]
    logged = (tmp_path / ".runtime" / "logs" / "one.log").read_text()
    assert json.loads(logged.splitlines()[0])["line"] == "hello from one"
    assert (tmp_path / ".runtime").stat().st_mode & 0o077 == 0


def test_who_follows_a_log_misses_no_line_and_a_count_that_is_none_is_refused(tmp_path: Path) -> None:
    chatty = [{"log": f"line {number}"} for number in range(300)]
    with up(tmp_path, module("one", ANNOUNCE, *chatty)):
        following = [str(SDK), "runtime", "logs", "one", "-f", "-n", "1000"]
        with subprocess.Popen(following, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            seen = [next(process.stdout).split()[-1] for _ in range(300)]
            process.kill()
        assert seen == [str(number) for number in range(300)]
        for wrong in ("-1", "abc", "9" * 30, "\u0661"):
            answer = asked(tmp_path, f"/v1/modules/one/logs?lines={quote(wrong)}")
            assert "The lines parameter must be a number" in answer


def asked(folder: Path, path: str) -> str:
    """What the admin API answers."""
    socket = json.loads((folder / ".runtime" / "admin.json").read_text())["socket"]

    async def ask() -> str:
        async with ClientSession(connector=UnixConnector(socket)) as client, client.get(f"http://x{path}") as answer:
            return await answer.text()

    return asyncio.run(ask())


def test_modules_are_not_to_blame_for_the_time_in_which_the_orchestrator_was_stopped(tmp_path: Path) -> None:
    command = json.dumps([sys.executable, str(PROGRAMS / "web_module.py"), "messages"])
    quick = f'[modules.web]\nkind = "module"\ncommand = {command}\nhung_after = {HUNG_AFTER}\n'
    with up(tmp_path, quick) as orchestrator:
        before = listed(tmp_path)["web"]
        orchestrator.send_signal(signal.SIGSTOP)
        time.sleep(1.5 * HUNG_AFTER)
        orchestrator.send_signal(signal.SIGCONT)
        while (now := listed(tmp_path)["web"])["seconds"] < before["seconds"] + HUNG_AFTER / 2:  # two heartbeats
            assert now["pid"] == before["pid"]
        assert (now["state"], now["restarts"]) == ("ready", 0)


def test_ten_crashes_in_a_row_leave_the_admin_api_answering(tmp_path: Path) -> None:
    crash = "restart = { limit = 9, first_delay = 0.01, longest_delay = 0.01 }"
    with up(tmp_path, module("bad", {"exit": 3}, more=crash), module("good", ANNOUNCE), ready=1) as process:
        assert process.stderr is not None
        while '"failed"' not in process.stderr.readline():
            pass
        modules = listed(tmp_path)
        assert (modules["bad"]["state"], modules["good"]["state"]) == ("failed", "ready")
        assert modules["bad"]["restarts"] == 9
        assert "it crashes" in run(tmp_path, "start", "bad", ok=False)


def test_a_stack_ends_when_it_is_told_to(tmp_path: Path) -> None:
    with up(tmp_path, module("one", ANNOUNCE)) as process:
        run(tmp_path, "stop")
        assert process.wait(PATIENCE) == 0


def test_after_a_kill_what_was_left_is_ended_and_the_records_are_put_right(tmp_path: Path) -> None:
    fork = {"fork": True}
    with up(tmp_path, module("one", fork, {"send": {"op": "port_request", "request_id": "a"}}, ANNOUNCE)) as first:
        one = listed(tmp_path)["one"]
        record = [json.loads(line) for line in (tmp_path / "one.record").read_text().splitlines()]
        escaped = next(each["escaped"] for each in record if "escaped" in each)
        assert len(one["ports"]) == 1
        os.kill(first.pid, signal.SIGKILL)
        first.wait(PATIENCE)
        assert ends(one["pid"])  # the kernel saw to it
        os.kill(escaped, 0)  # but not to this one
        with up(tmp_path, module("two", ANNOUNCE)):
            assert ends(escaped)
            assert rows(tmp_path, "SELECT COUNT(*) FROM runtime_instances WHERE ended_at IS NULL") == [(1,)]
            assert rows(tmp_path, "SELECT COUNT(*) FROM runtime_ports") == [(0,)]
            assert rows(tmp_path, "SELECT state FROM runtime_modules WHERE module_id = 'one'") == [("stopped",)]
        first.returncode = 0


def test_what_has_left_the_group_of_its_module_dies_with_it(tmp_path: Path) -> None:
    with up(tmp_path, module("one", {"fork": True}, ANNOUNCE)):
        record = [json.loads(line) for line in (tmp_path / "one.record").read_text().splitlines()]
        escaped = next(each["escaped"] for each in record if "escaped" in each)
        run(tmp_path, "stop", "one")
        assert ends(escaped)


def test_two_orchestrators_do_not_share_a_state(tmp_path: Path) -> None:
    with up(tmp_path, module("one", ANNOUNCE)):
        assert "an orchestrator runs with the state folder" in run(tmp_path, "up", ok=False)


def test_the_copy_of_a_state_folder_has_nothing_to_do_with_the_first_ones_processes(tmp_path: Path) -> None:
    first = StateFolder.open(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    second = StateFolder.open(tmp_path / "two")
    assert first.id != second.id
    first.close()
    again = StateFolder.open(tmp_path / "one")
    assert again.id == first.id
    again.close()
    second.close()


def test_the_admin_api_over_tcp_wants_its_token_and_tells_health_and_figures(tmp_path: Path) -> None:
    import urllib.error
    import urllib.request

    head = '[orchestrator]\nadmin = "127.0.0.1:0"\n[gateway]\n'
    with up(tmp_path, module("one", ANNOUNCE), head=head):
        where = json.loads((tmp_path / ".runtime" / "admin.json").read_text())
        token = (tmp_path / ".runtime" / "admin-token").read_text()

        def get(path: str, **headers: str) -> tuple[int, str]:
            try:
                with urllib.request.urlopen(urllib.request.Request(where["url"] + path, headers=headers)) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                return error.code, error.read().decode()

        bearer = {"Authorization": f"Bearer {token}"}
        assert get("/v1/modules")[0] == 401
        assert get("/v1/modules", Authorization="Bearer wrong")[0] == 401
        status, text = get("/v1/modules", **bearer)
        assert (status, json.loads(text)[0]["name"]) == (200, "one")
        assert get("/healthz", **bearer)[0] == 200
        assert json.loads(get("/readyz", **bearer)[1])["status"] == "ready"
        figures = get("/metrics", **bearer)[1]
        assert 'runtime_module_state{module="one",state="ready"} 1.0' in figures
        assert json.loads(get("/v1/endpoints", **bearer)[1]) == [
            {"module": "one", "path": "/x", "methods": ["GET"], "auth": None}
        ]


def test_secrets_of_a_stack_are_set_outside_given_by_right_and_rotated_while_it_runs(tmp_path: Path) -> None:
    asking = [{"send": {"op": "get_secret", "name": name}} for name in ("OTHER", "KEY")]
    once: list[dict[str, Any]] = [*asking, {"wait": "secret"}, ANNOUNCE]
    again: list[dict[str, Any]] = [{"wait": "rotated"}, *asking[1:], {"wait": "secret"}, {"log": "got"}]
    head = '[secrets]\nkey = "file:runtime.key"\n'
    one = module("one", *once, *again, more='secrets = { read = ["KEY"] }')
    (tmp_path / "stack.toml").write_text(head + one)
    assert "made key" in run(tmp_path, "secrets", "init")
    for name, value in (("KEY", "open sesame one"), ("OTHER", "not for modules")):
        set_secret(tmp_path, name, value)
    with up(tmp_path, one, head=head) as process:
        set_secret(tmp_path, "KEY", "open sesame two")
        assert process.stderr is not None
        written = ""
        while '"line": "got"' not in written:
            written += process.stderr.readline()
        assert "open sesame" not in written
    lines = [json.loads(line) for line in (tmp_path / "one.record").read_text().splitlines()]
    assert [each["value"] for each in lines if each.get("op") == "secret"] == ["open sesame one", "open sesame two"]
    assert "waiting for 1" in run(tmp_path, "secrets", "list")
    assert "denied" in run(tmp_path, "secrets", "audit", "--name", "OTHER")


def set_secret(folder: Path, name: str, value: str) -> None:
    done = subprocess.run(
        [SDK, "runtime", "secrets", "set", name], cwd=folder, input=value, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_token_made_with_the_key_of_the_stack_opens_an_endpoint(tmp_path: Path) -> None:
    import time
    import urllib.error
    import urllib.request

    import jwt

    shared = "a shared key of at least thirty-two bytes"
    head = (
        '[gateway]\n[secrets]\nkey = "file:runtime.key"\n'
        '[jwt]\nsecret = "JWT_KEY"\naudience = ["stack"]\n[orchestrator]\nadmin = "127.0.0.1:0"\n'
    )
    command = json.dumps([sys.executable, str(PROGRAMS / "web_module.py")])
    web = f'[modules.web]\nkind = "module"\ncommand = {command}\n'
    (tmp_path / "stack.toml").write_text(head + web)
    run(tmp_path, "secrets", "init")
    set_secret(tmp_path, "JWT_KEY", shared)
    with up(tmp_path, web, head=head):
        url = json.loads(run(tmp_path, "status", "--json"))["gateway"]

        def status(token: str) -> int:
            asked = urllib.request.Request(f"{url}/secret", headers={"Authorization": f"Bearer {token}"})
            try:
                with urllib.request.urlopen(asked) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                return error.code

        claims = {"sub": "alice", "aud": "stack", "exp": time.time() + 60}
        assert status(jwt.encode(claims, shared, "HS256")) == 200
        assert status(jwt.encode(claims, "another key, which is as long as the first", "HS256")) == 401
        assert status(jwt.encode({**claims, "exp": time.time() - 600}, shared, "HS256")) == 401
        assert status(jwt.encode({**claims, "aud": "other"}, shared, "HS256")) == 401
