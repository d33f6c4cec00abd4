"""``sdk chaintracks sync|export|info`` as processes, while a service runs and without one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from sdk.chaintracks.errors import StoreMoved
from sdk.chaintracks.export import export_file, export_folder
from sdk.chaintracks.sources.cdn import CdnSource
from sdk.chaintracks.store.reading import stored_chain
from support.commands import SDK
from support.header_cdn import HeaderCdn
from support.header_rig import GENESIS, HeaderNetwork, grown, raw
from support.requirements import vectors
from support.store_rig import store_rig

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SDK_")}
HEADERS = grown([GENESIS], 650)
KINDS = ("sql-sqlite", "sql-postgresql", "files-sqlite", "files-postgresql", "files-mariadb")


def clock() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


async def sdk(folder: Path, *args: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        str(SDK), "chaintracks", *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder, env=ENVIRONMENT
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_headers_are_fetched_told_and_exported_as_they_came(tmp_path: Path) -> None:
    """Reason for its time: five processes."""
    folder = vectors("headers", "cdnTest349")
    code, _, err = await sdk(tmp_path, "sync", "--source", f"cdn:{folder}")
    assert code == 1
    assert "height 349 was reached; the tip at height 349 is" in err  # the chain of 2009 is nobody's tip
    code, out, err = await sdk(tmp_path, "info")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert found["tip"]["height"] == 349
    assert found["tip"]["hash"] == "00000000c4f49e3bffbd95679dc5684e388bf65b0c5160a64b34ab9a22ebc6d3"
    assert found["tip"]["work"].endswith("15e015e015e")
    assert found["files"]["headers"] == 350
    url = "http://localhost:8349/blockheaders"
    code, out, err = await sdk(tmp_path, "export", "out", "--per-file", "100", "--url", url)
    assert (code, err) == (0, "")
    assert out.startswith("350 headers, heights 0-349, tip 00000000c4f49e")
    for each in folder.iterdir():
        written = (tmp_path / "out" / each.name).read_bytes()
        if each.suffix == ".json":
            assert json.loads(written) == json.loads(each.read_bytes())
        else:
            assert written == each.read_bytes()
    code, out, err = await sdk(tmp_path, "export", "part.bin", "--from-height", "120", "--to-height", "129")
    assert (code, err) == (0, "")
    assert (tmp_path / "part.bin").read_bytes() == (folder / "mainNet_1.headers").read_bytes()[20 * 80 : 30 * 80]


async def test_an_option_that_is_wrong_costs_nothing(tmp_path: Path) -> None:
    """Reason for its time: eight processes."""
    headers = vectors("headers", "cdnTest402")
    assert (await sdk(tmp_path, "sync", "--source", f"cdn:{headers}"))[0] == 1
    before = json.loads((await sdk(tmp_path, "info"))[1])
    other = ("--network", "test")
    for args in (("sync", *other, "--source", f"cdn:{headers}"), ("info", *other), ("export", "x.bin", *other)):
        code, out, err = await sdk(tmp_path, *args)
        assert (code, out) == (1, "")
        assert "holds headers of main, not of test" in err.splitlines()[-1]
    code, _, err = await sdk(tmp_path, "info", *other, "--store", "files:elsewhere")  # the database says so too
    assert (code, "the database holds headers of main, not of test" in err) == (1, True)
    code, _, err = await sdk(tmp_path, "export", "x.bin", "--from-height", "403")
    assert (code, "no headers of main from height 403 on" in err) == (1, True)
    code, _, err = await sdk(tmp_path, "export", "x.bin", "--from-height", "9", "--to-height", "8")
    assert (code, "--to-height 8 lies below --from-height 9" in err) == (2, True)
    assert not [each for each in os.listdir(tmp_path) if each.startswith("x.bin")]
    assert json.loads((await sdk(tmp_path, "info"))[1]) == before


async def test_a_port_that_is_taken_is_said_before_anything_is_begun(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, out, err = await sdk(tmp_path, "serve", "--network", "mock", "--source", "devnet", "--port", port)
    assert (code, out) == (1, "")
    assert err == f"sdk: port {port} on 127.0.0.1 is taken by another program: stop it, or choose another port\n"
    assert os.listdir(tmp_path) == []


async def test_a_chain_is_made_current_and_read_while_a_service_runs(tmp_path: Path) -> None:
    """Reason for its time: four processes."""
    network = HeaderNetwork()
    network.chain = HEADERS[:321]
    async with network.served() as source:
        args = ("--network", "mock", "--database", "sqlite:///h.sqlite")
        code, out, _ = await sdk(tmp_path, "sync", *args, "--source", source)
        assert code == 0
        assert out.startswith(f"headers of mock up to 320: {HEADERS[320].hash()}\n320 new ones in ")
        process = await asyncio.create_subprocess_exec(
            str(SDK), "chaintracks", "serve", *args, "--source", source, "--port", "0",
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=tmp_path, env=ENVIRONMENT,
        )  # fmt: skip
        assert process.stdout is not None
        network.reorganise(2, 4)
        await asyncio.wait_for(process.stdout.readline(), 60)
        code, out, err = await sdk(tmp_path, "export", "all.bin", *args)
        process.terminate()
        await process.wait()
        assert (code, err) == (0, "")
        assert (tmp_path / "all.bin").read_bytes() == raw(network.chain)


async def test_a_terminal_is_shown_how_far_it_is(tmp_path: Path) -> None:
    cdn = HeaderCdn.of(HEADERS)
    async with cdn.served() as url:
        terminal, theirs = os.openpty()
        process = await asyncio.create_subprocess_exec(
            str(SDK), "chaintracks", "sync", "--network", "mock", "--database", "sqlite:///h.sqlite",
            "--source", f"cdn:{url}",
            stdout=subprocess.PIPE, stderr=theirs, cwd=tmp_path, env={**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "100"},
        )  # fmt: skip
        os.close(theirs)
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while part := os.read(terminal, 65536):
                shown += part
        os.close(terminal)
    assert process.returncode == 0
    assert out.startswith(b"headers of mock up to 650: ")
    assert b"headers of mock" in shown
    assert b"650/650" in shown


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_read_is_what_the_chain_holds(kind: str, tmp_path: Path) -> None:
    async with store_rig(kind, tmp_path) as rig:
        chain = await rig.chain(clock)
        folder = rig.folder / "headers" if kind.startswith("files") else None
        await chain.extend(raw(HEADERS[1:200]))  # buried at once
        for upto in (200, 230, 500, 600):
            for at in range(chain.tip.height + 1, upto, 50):
                await chain.extend(raw(HEADERS[at : min(at + 50, upto)]))
            assert b"".join([each.raw async for each in stored_chain(chain.store.live, folder, "mock")]) == raw(
                HEADERS[:upto]
            )
        branch = grown(HEADERS[:400], 260, salt="deep")
        await chain.extend(raw(branch[400:]))
        assert b"".join([each.raw async for each in stored_chain(chain.store.live, folder, "mock")]) == raw(branch)
        if folder is not None:
            with pytest.raises((StoreMoved, FileNotFoundError)):
                async for _ in stored_chain(chain.store.live, tmp_path / "elsewhere", "mock"):
                    pass


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rig's folders have small files."""
    monkeypatch.setattr("sdk.chaintracks.store.reading.PER_FILE", 30)


async def test_an_export_is_a_folder_that_can_be_followed_and_grows_in_place(tmp_path: Path) -> None:
    async with store_rig("files-sqlite", tmp_path) as rig:
        chain = await rig.chain(clock)
        out = tmp_path / "out"
        for upto, written in ((260, 4), (261, 2), (300, 2), (301, 2), (301, 0)):
            if chain.tip.height + 1 < upto:
                await chain.extend(raw(HEADERS[chain.tip.height + 1 : upto]))
            headers = stored_chain(chain.store.live, rig.folder / "headers", "mock")
            found = await export_folder("mock", headers, out, per_file=100)
            assert (found.last, found.tip, found.written) == (upto - 1, HEADERS[upto - 1].hash(), written)
            source = CdnSource(str(out), "mock")
            assert (await source.tip()).height == upto - 1
            assert await source.headers(0, upto - 1) == raw(HEADERS[:upto])
        expected = HeaderCdn.of(HEADERS[:301])
        index = json.loads((out / "mockNetBlockHeaders.json").read_bytes())
        for ours, theirs in zip(index["files"], expected.index["files"], strict=True):
            assert {**ours, "sourceUrl": ""} == {**theirs, "sourceUrl": ""}
        assert not [*out.glob("*.new")]


@pytest.mark.parametrize(("first", "last"), [(0, None), (0, 0), (7, 7), (29, 31), (100, 649), (640, 9999)])
async def test_a_file_holds_exactly_the_heights_that_were_asked_for(
    tmp_path: Path, first: int, last: int | None
) -> None:
    async with store_rig("files-sqlite", tmp_path) as rig:
        chain = await rig.chain(clock)
        await chain.extend(raw(HEADERS[1:]))
        path = tmp_path / "x.bin"
        headers = stored_chain(chain.store.live, rig.folder / "headers", "mock")
        found = await export_file(headers, path, first=first, last=last)
        expected = HEADERS[first : None if last is None else last + 1]
        assert path.read_bytes() == raw(expected)
        assert (found.count, found.tip) == (len(expected), expected[-1].hash())


async def test_what_cannot_be_exported_is_said_in_one_line(tmp_path: Path) -> None:
    code, _, err = await sdk(tmp_path, "export", "x.bin")
    assert (code, err.count("\n")) == (1, 1)
    assert "does not exist" in err
    code, _, err = await sdk(tmp_path, "export", "x", "--from-height", "5")
    assert code == 2
    assert "begins at height 0" in err
